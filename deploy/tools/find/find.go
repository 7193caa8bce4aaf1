// Package find says where the real programs are that the cluster runs on, and refuses those that are too old.
//
// One case: FindConsul on a machine without Consul in PATH looks into the cache that `go run ./deploy/tools consul`
// fills, asks ~/.cache/zatoha/tools/consul-1.20.1+raft1.7.3/consul for its version, and returns that path. If it is not
// there either, the error is an [ErrMissing] that says how to get it.
package find

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The versions that the modules deploy/tools/<name> pin and the cache holds.
const (
	// Consul 1.20.1 with the raft library of Consul 1.21 and later, which votes beforehand: a leader that is cut off is
	// replaced a second sooner, and does not depose its successor when it comes back.
	ConsulRelease         = "1.20.1+raft1.7.3"
	ConsulTemplateRelease = "0.41.1"
)

// The oldest releases that the cluster and its benchmarks work with.
var (
	MinimumConsul         = Version{1, 16, 0}
	MinimumConsulTemplate = Version{0, 30, 0}
	MinimumHAProxy        = Version{2, 6, 0}
	MinimumKeepalived     = Version{2, 2, 0}
)

// askTimeout bounds how long a program may take to say its version; Consul takes about 50 ms.
const askTimeout = 10 * time.Second

// ErrMissing is wrapped by the error about a program that is nowhere.
var ErrMissing = errors.New("not found")

// TooOldError is about a program that is there but cannot be used.
type TooOldError struct {
	Path          string
	Found, Needed Version
	Remedy        string
}

func (e *TooOldError) Error() string {
	return fmt.Sprintf("%s is version %s, but %s or newer is needed: %s", e.Path, e.Found, e.Needed, e.Remedy)
}

// FindConsul returns the path of the consul in PATH, else of the one in the cache. The error wraps [ErrMissing] if
// there is neither, and is a [*TooOldError] if the one found is too old; a newer one further on is not looked for,
// because whoever types "consul" would get the old one.
func FindConsul() (path string, err error) {
	cached, err := CachedConsul()
	if err != nil {
		return "", err
	}
	return program{
		name:    "consul",
		beyond:  []string{cached},
		needed:  MinimumConsul,
		version: "version",
		missing: `run "go run ./deploy/tools consul" to build it`,
		tooOld:  `upgrade it, or take it out of PATH and run "go run ./deploy/tools consul" to build ` + ConsulRelease,
	}.find()
}

// FindConsulTemplate is [FindConsul] for consul-template.
func FindConsulTemplate() (path string, err error) {
	cached, err := CachedConsulTemplate()
	if err != nil {
		return "", err
	}
	return program{
		name:    "consul-template",
		beyond:  []string{cached},
		needed:  MinimumConsulTemplate,
		version: "-version",
		missing: `run "go run ./deploy/tools consul-template" to build it`,
		tooOld:  `upgrade it, or take it out of PATH and run "go run ./deploy/tools consul-template" to build ` + ConsulTemplateRelease,
	}.find()
}

// FindFabio returns the path of the fabio in PATH. It is nowhere else, as we neither build nor install it, and any of its
// releases will do; the error wraps [ErrMissing].
func FindFabio() (path string, err error) {
	if path, err = exec.LookPath("fabio"); err != nil {
		return "", fmt.Errorf("fabio %w in PATH: put one there, 1.6 or newer: https://fabiolb.net", ErrMissing)
	}
	return path, nil
}

// FindHAProxy returns the path of the haproxy in PATH, else in the folders for system programs, which are not in
// everyone's PATH. Its errors are as those of [FindConsul].
func FindHAProxy() (path string, err error) {
	return program{
		name:    "haproxy",
		beyond:  []string{"/usr/sbin/haproxy", "/usr/local/sbin/haproxy"},
		needed:  MinimumHAProxy,
		version: "-v",
		missing: `run "go run ./deploy/tools haproxy" to install it`,
		tooOld:  "upgrade it, or put a newer one before it in PATH (packages: https://haproxy.debian.net)",
	}.find()
}

// CachedConsul is the path at which a Consul built from its module is kept, be it there or not:
// ${ZATOHA_CACHE:-${XDG_CACHE_HOME:-~/.cache}/zatoha}/tools/consul-1.20.1+raft1.7.3/consul. It is absolute.
func CachedConsul() (string, error) { return cached("consul", ConsulRelease) }

// CachedConsulTemplate is [CachedConsul] for consul-template.
func CachedConsulTemplate() (string, error) { return cached("consul-template", ConsulTemplateRelease) }

func cached(name, release string) (string, error) {
	cache := os.Getenv("ZATOHA_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w: set ZATOHA_CACHE to a folder for built tools", err)
		}
		cache = filepath.Join(user, "zatoha")
	}
	return filepath.Abs(filepath.Join(cache, "tools", name+"-"+release, name))
}

type program struct {
	name            string
	beyond          []string // paths to look at when it is not in PATH
	needed          Version
	version         string // the argument that makes it print its version
	missing, tooOld string // remedies
}

func (p program) find() (string, error) {
	for _, candidate := range append([]string{p.name}, p.beyond...) {
		path, err := exec.LookPath(candidate)
		if err != nil {
			continue
		}
		found, err := p.ask(path)
		if err != nil {
			return "", err
		}
		if found.Less(p.needed) {
			return "", &TooOldError{Path: path, Found: found, Needed: p.needed, Remedy: p.tooOld}
		}
		return path, nil
	}
	return "", fmt.Errorf("%s %w in PATH, nor as %s: %s", p.name, ErrMissing, strings.Join(p.beyond, " or "), p.missing)
}

// ask runs the program for its version.
func (p program) ask(path string) (Version, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, p.version)
	cmd.WaitDelay = time.Second // a child that keeps the pipe open does not keep us
	output, err := cmd.CombinedOutput()
	if err == nil {
		var version Version
		if version, err = parseVersion(string(output)); err == nil {
			return version, nil
		}
	}
	return Version{}, fmt.Errorf("ask %s %s: %w: repair or remove it", path, p.version, err)
}
