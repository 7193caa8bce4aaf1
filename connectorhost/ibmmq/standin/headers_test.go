package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"zatoha/connectorhost/ibmmq/testqm/layout"
)

// ibmPackage is the npm package that has IBM's headers. It is fetched when the test runs, and never kept here.
const ibmPackage = "ibmmq@2.1.9"

// need skips, aloud, without the programs; a run that must have them all fails.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "there is no "+program)
		}
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("ZATOHA_REQUIRE_TOOLS") != "" {
		t.Fatal(why)
	}
	t.Skip("SKIPPED: " + why)
}

// assertions is a C program that compiles if each structure lies in memory as we think.
func assertions() string {
	var c strings.Builder
	c.WriteString("#include <stddef.h>\n#include <cmqc.h>\n#include <cmqxc.h>\n")
	for _, s := range layout.All {
		for _, f := range s.Fields {
			fmt.Fprintf(&c, "_Static_assert(offsetof(%s, %s) == %d, \"%[1]s.%[2]s\");\n", s.Name, f.Name, f.Offset)
			fmt.Fprintf(&c, "_Static_assert(sizeof(((%s *)0)->%s) == %d, \"size of %[1]s.%[2]s\");\n", s.Name, f.Name, f.Size)
		}
		relation := "=="
		if s.Name == "MQCD" {
			relation = ">=" // it grows with the releases; mq-golang knows it as it was in MQ 9.4
		}
		fmt.Fprintf(&c, "_Static_assert(sizeof(%s) %s %d, \"size of %[1]s\");\n", s.Name, relation, s.Size)
	}
	return c.String()
}

// moving are constants that say how far a release has come, and so differ between releases.
var moving = regexp.MustCompile(`_CURRENT_(VERSION|LENGTH)$|_LAST(_USED)?$|^MQCMDL_|^MQCA_LAST|^MQIA_LAST`)

// agreements compile if each constant, where the header has it, has the value that we know.
func agreements(constants []constant) string {
	var c strings.Builder
	for _, one := range constants {
		if strings.ContainsAny(one.value, `"'`) || moving.MatchString(one.name) {
			continue
		}
		fmt.Fprintf(&c, "#ifdef %s\n_Static_assert((%[1]s) == (%s), \"%[1]s\");\n#endif\n", one.name, one.value)
	}
	return c.String()
}

func compileCheck(t *testing.T, include, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check.c")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := output(compiler(), "-std=gnu11", "-Wno-overflow", "-fsyntax-only", "-I"+include, path); err != nil {
		t.Errorf("%.3000s", err)
	}
}

func TestOurHeadersDeclareTheLayout(t *testing.T) {
	need(t, compiler(), "go")
	dir, err := build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	compileCheck(t, filepath.Join(dir, "inc"), assertions())
	again, err := build(filepath.Dir(dir))
	if err != nil || again != dir {
		t.Errorf("built again as %s, %v; was %s", again, err, dir)
	}
}

func TestIBMsHeadersAgree(t *testing.T) {
	need(t, compiler(), "go", "npm", "tar")
	constants, err := constantsOfModule()
	if err != nil {
		t.Fatal(err)
	}
	headers := fetchHeaders(t)
	include := t.TempDir()
	for _, one := range []string{"unix/cmqc.h", "cmqxc.h"} {
		text, err := os.ReadFile(filepath.Join(headers, one))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(include, filepath.Base(one)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compileCheck(t, include, assertions()+agreements(constants))
}

// fetchHeaders has npm fetch IBM's package, running nothing of it.
func fetchHeaders(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pack := exec.CommandContext(ctx, "npm", "pack", ibmPackage, "--ignore-scripts", "--silent", "--prefer-offline", "--pack-destination", dir)
	pack.Dir = dir
	pack.WaitDelay = time.Second
	if text, err := pack.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("npm cannot fetch %s, so nothing was compared with IBM's headers: %v: %.300s", ibmPackage, err, text))
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("npm packed %q, %v", archives, err)
	}
	if _, err := output("tar", "-xzf", archives[0], "-C", dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "package", "src")
}

// TestTheQueueManagerKnowsTheConstants compares the constants that it has, each with its name in the MQI behind it.
func TestTheQueueManagerKnowsTheConstants(t *testing.T) {
	need(t, "go")
	constants, err := constantsOfModule()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, one := range constants {
		values[one.name] = one.value
	}
	text, err := os.ReadFile("../testqm/constants.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`= (\S+) +// (MQ\w+)\n`).FindAllStringSubmatch(string(text), -1)
	for _, constant := range found {
		if want := values[constant[2]]; constant[1] != want {
			t.Errorf("%s is %s, want %s", constant[2], constant[1], want)
		}
	}
	if len(found) < 60 {
		t.Errorf("only %d constants were found", len(found))
	}
}

func TestABadFolderIsRefused(t *testing.T) {
	if _, err := build(filepath.Join(t.TempDir(), "with space")); err == nil || !strings.Contains(err.Error(), "spaces") {
		t.Errorf("%v", err)
	}
	for _, args := range [][]string{nil, {"a", "b"}, {"--help"}} {
		if status := run(args); status != 2 {
			t.Errorf("run(%q) = %d", args, status)
		}
	}
}
