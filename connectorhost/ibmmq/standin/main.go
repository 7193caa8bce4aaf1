package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed c/mqi.c
var source string

const module = "github.com/ibm-messaging/mq-golang/v5"

// runTime bounds each program that is run.
const runTime = 2 * time.Minute

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		fmt.Fprintln(os.Stderr, "usage: standin DIR: builds the stand-in for IBM's MQ client library below DIR, and prints CGO_CFLAGS and CGO_LDFLAGS for it")
		return 2
	}
	dir, err := build(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		return 1
	}
	fmt.Printf("export CGO_CFLAGS='-g -O2 -I%s'\n", filepath.Join(dir, "inc"))
	library := filepath.Join(dir, "lib64")
	fmt.Printf("export CGO_LDFLAGS='-g -O2 -L%s -Wl,-rpath,%s'\n", library, library)
	return 0
}

// build makes headers and library, unless they are there, and returns their folder.
func build(below string) (dir string, err error) {
	below, err = filepath.Abs(below)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(below, " '\"") {
		return "", fmt.Errorf("folder %q: its name must have no spaces or quotes, because cgo's flags could not name it", below)
	}
	constants, err := constantsOfModule()
	if err != nil {
		return "", err
	}
	files := headers(constants)
	dir = filepath.Join(below, hash(files))
	if _, err := os.Stat(filepath.Join(dir, "lib64", "libmqm_r.so")); err == nil {
		return dir, nil
	}
	if err := os.RemoveAll(below); err != nil { // what was made of something else
		return "", err
	}
	return dir, compile(dir, files)
}

func constantsOfModule() ([]constant, error) {
	folder, err := output("go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return nil, err
	}
	if folder == "" {
		if _, err := output("go", "mod", "download", module); err != nil {
			return nil, err
		}
		if folder, err = output("go", "list", "-m", "-f", "{{.Dir}}", module); err != nil {
			return nil, err
		}
	}
	return readConstants(folder)
}

func hash(files map[string]string) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%s\n%s\n", name, files[name])
	}
	fmt.Fprint(sum, source)
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// compile writes the headers and compiles the library, which appears at one stroke.
func compile(dir string, files map[string]string) error {
	include, library := filepath.Join(dir, "inc"), filepath.Join(dir, "lib64")
	for _, folder := range []string{include, library} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(include, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	code := filepath.Join(dir, "mqi.c")
	if err := os.WriteFile(code, []byte(source), 0o644); err != nil {
		return err
	}
	made := filepath.Join(library, "libmqm_r.so")
	_, err := output(compiler(), "-std=gnu11", "-Wall", "-Wextra", "-O2", "-g", "-shared", "-fPIC", "-pthread",
		"-Wl,-soname,libmqm_r.so", "-I"+include, "-o", made+".new", code)
	if err != nil {
		return err
	}
	return os.Rename(made+".new", made)
}

// compiler is the C compiler.
func compiler() string {
	if named := os.Getenv("CC"); named != "" {
		return named
	}
	return "gcc"
}

// output runs a program, and returns what it printed, or an error with that.
func output(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runTime)
	defer cancel()
	var errors strings.Builder
	command := exec.CommandContext(ctx, name, args...)
	command.Stderr = &errors
	command.WaitDelay = time.Second
	text, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), missing(err), strings.TrimSpace(errors.String()+string(text)))
	}
	return strings.TrimSpace(string(text)), nil
}

// missing says what to do about a program that is not there.
func missing(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: install it (apt-get install gcc libc6-dev)", err)
	}
	return err
}
