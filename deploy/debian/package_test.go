// Package debian makes the Debian package, by nfpm and nfpm.yaml, and holds its test.
//
// One case: the package is installed, its programs run from where it puts them, with the configuration that it brings,
// as the user that it makes; then it is removed, and purged, and nothing is left. The test does that in a layer over this
// very machine, in namespaces of its own, so that dpkg sees what is installed here, HAProxy among it, every port is free,
// and nothing of it reaches the machine.
package debian

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/tools/find"
)

// patience bounds the whole; it takes about ten seconds.
const patience = 3 * time.Minute

// needed is what the test cannot do without.
func needed(t *testing.T) (consul string) {
	t.Helper()
	lack := func(what string) {
		t.Helper()
		t.Skip("NOT RUN, for want of " + what)
	}
	if os.Geteuid() != 0 {
		lack("root, for namespaces and a layer over the file system")
	}
	for _, program := range []string{"unshare", "dpkg", "chroot", "ip", "setpriv", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			lack(program)
		}
	}
	if output, err := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "true").CombinedOutput(); err != nil {
		lack("namespaces: " + string(output))
	}
	if _, err := find.FindHAProxy(); err != nil {
		lack(err.Error())
	}
	consul, err := find.FindConsul()
	if err != nil {
		lack(err.Error())
	}
	return consul
}

// built makes the package, as `make package` does.
func built(t *testing.T) (deb string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "make", "package", "RELEASE=v1.2.3", "PACKAGE_DIR="+t.TempDir())
	cmd.Dir = filepath.Join("..", "..")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, output.String())
	}
	for line := range strings.Lines(output.String()) {
		if path, is := strings.CutPrefix(strings.TrimSpace(line), "created package: "); is {
			return path
		}
	}
	t.Fatalf("make package does not say what it made: %s", output.String())
	return ""
}

func TestThePackageInstallsRunsAndLeavesNothing(t *testing.T) {
	consul := needed(t)
	deb := built(t)
	script, err := filepath.Abs("trial.sh")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The first process of the namespace ends with the script, and all that it started with it.
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", script, deb, consul)
	cmd.Dir = t.TempDir()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	t.Log(output.String())
	if strings.Contains(output.String(), "NOT RUN") {
		t.Skip("NOT RUN, for want of a layer over the file system")
	}
	if err != nil || !strings.Contains(output.String(), "nothing is left") {
		t.Errorf("%v", err)
	}
}
