package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What an engine is given. The first build gets the images that ours begin with, and compiles.
const (
	answering = 10 * time.Second
	building  = 6 * time.Minute // of all images
)

// errNoEngine says that images cannot be built here, and why.
var errNoEngine = errors.New("NOT RUN")

// base are the images that ours are made of, and not the stages of the file itself.
var base = regexp.MustCompile(`(?m)^FROM (\S+\.\S+/\S+) AS \S+$`)

// buildImages builds the image of each program by the first engine that answers.
func buildImages(ctx context.Context, containerfile string) error {
	engine, err := findEngine(ctx)
	if err != nil {
		return err
	}
	for _, match := range base.FindAllStringSubmatch(containerfile, -1) {
		if output, err := exec.CommandContext(ctx, engine, "pull", match[1]).CombinedOutput(); err != nil {
			return fmt.Errorf("%w, for want of the image %s: %w: %s", errNoEngine, match[1], err, end(output))
		}
	}
	for _, target := range slices.Sorted(maps.Keys(programs)) {
		line := []string{"build", "-f", "Containerfile", "--target", target, "-t", "zatoha-test-" + target, "../.."}
		if output, err := exec.CommandContext(ctx, engine, line...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", engine, strings.Join(line, " "), err, end(output))
		}
		if output, err := exec.CommandContext(ctx, engine, "rmi", "zatoha-test-"+target).CombinedOutput(); err != nil {
			return fmt.Errorf("%s rmi zatoha-test-%s: %w: %s", engine, target, err, end(output))
		}
	}
	return nil
}

// findEngine asks engines whether they can work: docker's client may be there without its daemon.
func findEngine(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	said := []string{}
	for _, engine := range []string{"docker", "podman", "buildah"} {
		output, err := exec.CommandContext(ctx, engine, "info").CombinedOutput()
		if err == nil {
			return engine, nil
		}
		if !errors.Is(err, exec.ErrNotFound) {
			said = append(said, fmt.Sprintf("%s: %s", engine, end(output)))
		}
	}
	return "", fmt.Errorf("%w: images are not built, for want of docker, podman or buildah that answers: %s", errNoEngine, strings.Join(said, "; "))
}

// end is the last of what a program says.
func end(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

func TestTheImagesAreBuilt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), building)
	defer cancel()
	err := buildImages(ctx, read(t, "Containerfile"))
	switch {
	case errors.Is(err, errNoEngine):
		t.Skip(err)
	case ctx.Err() != nil:
		t.Skipf("NOT RUN to its end: the images are not built within %v: %v", building, err)
	case err != nil:
		t.Error(err)
	}
}

func TestHowImagesAreBuilt(t *testing.T) {
	const noted = `echo "$*" >> "${0%/*}/calls"; `
	file := read(t, "Containerfile")
	for name, test := range map[string]struct {
		engine, says string
		notRun       bool
		calls        int
	}{
		"built":                {"exit 0", "", false, 1 + 4 + 6},
		"no daemon":            {"echo is the daemon running; exit 1", "docker: is the daemon running", true, 1},
		"no registry":          {`case $1 in pull) echo no route; exit 1; esac`, "for want of the image docker.io/library/golang:", true, 2},
		"an image is not made": {`case "$*" in *target?server*) echo no such file; exit 1; esac`, "--target server", false, 1 + 4 + 5},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			t.Setenv("PATH", folder)
			if err := os.WriteFile(filepath.Join(folder, "docker"), []byte("#!/bin/sh\n"+noted+test.engine+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			err := buildImages(t.Context(), file)
			if (err == nil) != (test.says == "") || err != nil && (!strings.Contains(err.Error(), test.says) || errors.Is(err, errNoEngine) != test.notRun) {
				t.Errorf("%v, want %q", err, test.says)
			}
			calls, err := os.ReadFile(filepath.Join(folder, "calls"))
			if n := strings.Count(string(calls), "\n"); err != nil || n != test.calls {
				t.Errorf("%d calls, want %d, %v:\n%s", n, test.calls, err, calls)
			}
		})
	}
}
