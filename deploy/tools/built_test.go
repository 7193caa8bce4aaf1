package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"zatoha/deploy/tools/find"
)

// golang is a go that "compiles" two packages into a consul; COMPILE is run where it would compile.
const golang = `echo "$PWD $*" >> "$FAKES/calls"
case "$1" in
env) echo "$FAKES/go.mod";;
list) echo "go: downloading example.com v1.0.0" >&2
	printf 'example.com/a\t%s\tgo\n\nexample.com/b\t%s\tgo\n' "$FAKES" "$FAKES";;
build) echo example.com/a >&2; echo example.com/b >&2
	eval "$COMPILE"
	for target; do [ "$last" = -o ] && break; last=$target; done
	printf '#!/bin/sh\necho Consul v1.20.1\n' > "$target"; /bin/chmod +x "$target";;
esac`

// newRepository is a bare machine with go and the module that pins Consul.
func newRepository(t *testing.T, compile string) *bare {
	t.Helper()
	b := newBare(t, map[string]string{"go": golang})
	t.Setenv("COMPILE", compile)
	module := filepath.Join(b.path, "deploy", "tools", "consul")
	if err := os.MkdirAll(module, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// cached lists the files in Consul's folder of the cache.
func cached(t *testing.T) (path, files string) {
	t.Helper()
	path, err := find.CachedConsul()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return path, strings.Join(names, " ")
}

func TestConsulIsBuiltOnce(t *testing.T) {
	b := newRepository(t, "")
	path, err := find.CachedConsul()
	if err != nil {
		t.Fatal(err)
	}
	b.expect(t, "-print consul", 0, path+"\n", "consul: there is none in PATH; building 1.20.1+raft1.7.3", "4-12 minutes", "consul: built in")
	if _, files := cached(t); files != "consul consul.lock" {
		t.Errorf("left in the cache: %s", files)
	}
	calls := filepath.Join(b.path, "calls")
	got, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	if line := b.path + "/deploy/tools/consul build -v -ldflags=-s -w -o " + path + ".part-"; !strings.Contains(string(got), line) {
		t.Errorf("%q is not in the calls of go:\n%s", line, got)
	}
	if err := os.Remove(calls); err != nil {
		t.Fatal(err)
	}
	b.stdout.Reset()
	b.stderr.Reset()
	b.expect(t, "-print consul", 0, path+"\n")
	if _, err := os.Stat(calls); err == nil {
		t.Error("go was called again")
	}
}

func TestAnotherProgramHasAModuleOfItsOwn(t *testing.T) {
	b := newRepository(t, "")
	b.expect(t, "consul-template", 2, "", "tools: consul-template cannot be built", "change into the folder of the repository")
	module := filepath.Join(b.path, "deploy", "tools", "consul-template")
	if err := os.MkdirAll(module, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	path, err := find.CachedConsulTemplate()
	if err != nil {
		t.Fatal(err)
	}
	b.expect(t, "-print consul-template", 0, path+"\n", "consul-template: there is none in PATH; building 0.41.1", "consul-template: built in")
}

func TestOfTwoRunsOneBuilds(t *testing.T) {
	b := newRepository(t, "")
	var runs sync.WaitGroup
	for range 2 {
		runs.Go(func() {
			if status := b.main(t.Context(), []string{"consul"}); status != 0 {
				t.Errorf("status %d", status)
			}
		})
	}
	runs.Wait()
	calls, err := os.ReadFile(filepath.Join(b.path, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	if builds := strings.Count(string(calls), " build "); builds != 1 {
		t.Errorf("%d builds:\n%s", builds, b.stderr.String())
	}
}

func TestConsulThatCannotBeBuilt(t *testing.T) {
	for _, test := range []struct {
		name, compile string
		says          []string
	}{
		{
			"compiler fails", "echo '# example.com/b' >&2; echo b.go:1: no space left on device >&2; exit 1",
			[]string{"  | b.go:1: no space left on device\n", "tools: build consul: exit status 1: try again", "put a consul into PATH"},
		},
		{
			"no network", `echo 'go: example.com@v1: Get "https://proxy": dial tcp: lookup proxy: no such host' >&2; exit 1`,
			[]string{"  | go: example.com", "tools: build consul: no network: try again"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			newRepository(t, test.compile).expect(t, "consul", 2, "", test.says...)
			if _, files := cached(t); files != "consul.lock" {
				t.Errorf("left in the cache: %s", files)
			}
		})
	}
	t.Run("no go", func(t *testing.T) {
		newBare(t, nil).expect(t, "consul", 2, "", "tools: ask go where the repository is", "put go into PATH, or a consul")
	})
	t.Run("outside of the repository", func(t *testing.T) {
		newBare(t, map[string]string{"go": golang}).expect(t, "consul", 2, "", "tools: consul cannot be built", "change into the folder of the repository")
	})
	t.Run("no cache", func(t *testing.T) {
		b := newRepository(t, "")
		t.Setenv("ZATOHA_CACHE", filepath.Join(b.path, "go")) // a file
		b.expect(t, "consul", 2, "", "tools: make a folder for consul", "set ZATOHA_CACHE to a folder that can be written")
	})
}

func TestAnInterruptLeavesNothing(t *testing.T) {
	// The build says that it is under way by opening the pipe, and goes on until it is interrupted.
	b := newRepository(t, `trap 'exit 1' INT; : > "$FAKES/building"; while :; do /bin/sleep 0.05; done`)
	building := filepath.Join(b.path, "building")
	if err := syscall.Mkfifo(building, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if status := b.main(ctx, []string{"consul"}); status != 1 {
			t.Errorf("status %d, want 1", status)
		}
	})
	if _, err := os.ReadFile(building); err != nil { // until the build has opened and closed it
		t.Error(err)
	}
	interrupt()
	run.Wait()
	if !strings.HasSuffix(b.stderr.String(), "tools: interrupted\n") {
		t.Errorf("it said:\n%s", b.stderr.String())
	}
	if _, files := cached(t); files != "consul.lock" {
		t.Errorf("left in the cache: %s", files)
	}
}
