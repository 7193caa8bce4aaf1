package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// apt returns a function that installs a package of the distribution.
//
// The package haproxy starts its service where systemd or init runs. That is harmless: the haproxy.cfg that comes with
// it has no frontend, so that it listens on no port, and ours has its sockets and its file elsewhere. To prevent it
// would mean to change the machine's policy for all packages, or to leave a masked unit behind.
func (m *machine) apt(pkg string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		install := []string{"install", "-y", "--no-install-recommends", pkg}
		byHand := fmt.Sprintf(`as root, run "apt-get update && apt-get %s", then try again`, strings.Join(install, " "))
		apt, err := m.asRoot(ctx, "apt-get")
		if err != nil {
			return fmt.Errorf("%s is missing and cannot be installed: %w: %s", pkg, err, byHand)
		}
		output := &transcript{}
		// A mirror that cannot be reached does not matter if the package can be installed from another, or from what is
		// known already; if it does matter, the second command fails and the transcript tells why.
		_ = m.runApt(ctx, output, append(apt, "update"))
		if err := m.runApt(ctx, output, append(apt, install...)); err != nil {
			return output.fail(ctx, "install "+pkg, err, byHand)
		}
		return nil
	}
}

// withoutService returns a function that gets a package and leaves its service neither running nor to be started with the
// machine: unlike haproxy's it would listen, at the port that everybody expects a broker at. Who had it before keeps it
// as it was, because then there was nothing to get.
func (m *machine) withoutService(service string, get func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := get(ctx); err != nil {
			return err
		}
		for _, words := range [][]string{{"service", service, "stop"}, {"systemctl", "disable", service}} {
			program, err := m.asRoot(ctx, words[0])
			if err != nil {
				continue // what cannot start services cannot stop them either
			}
			line := append(program, words[1:]...)
			m.screen.say("$ " + strings.Join(line, " "))
			// It fails where there is no service to stop, as in a container.
			_ = command(ctx, &transcript{}, line[0], line[1:]...).Run()
		}
		return nil
	}
}

// asRoot returns the words that run the program as root: its path, with sudo before it where that is needed.
func (m *machine) asRoot(ctx context.Context, program string) ([]string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("there is no %s in PATH, so this is no Debian or Ubuntu: "+
			"install it by the system's own means, or on Debian", program)
	}
	if m.uid == 0 {
		return []string{path}, nil
	}
	sudo, err := exec.LookPath("sudo")
	if err != nil {
		return nil, errors.New("this needs root, and there is no sudo")
	}
	if err := exec.CommandContext(ctx, sudo, "-n", path, "--version").Run(); err != nil {
		return nil, fmt.Errorf("this needs root, and sudo asks for a password (%w)", err)
	}
	return []string{sudo, "-n", path}, nil
}

func (m *machine) runApt(ctx context.Context, output *transcript, words []string) error {
	m.screen.say("$ " + strings.Join(words, " "))
	defer m.screen.follow(func(elapsed time.Duration) string {
		return fmt.Sprintf("  %s %s", clock(elapsed), output.line())
	})()
	// The machine may be busy with its own upgrades.
	cmd := command(ctx, output, words[0], append(words[1:], "-o", "DPkg::Lock::Timeout=120")...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return cmd.Run()
}
