package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"github.com/rs/zerolog"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/supervise"
	"zatoha/deploy/program"
)

// childCommand runs one connector. Its parent tells it which, by its input, and when to end.
type childCommand struct {
	Title string `arg:"" help:"Room for its name; see entitle."`
}

const childName = "child"

// childCommandLine is how a connector host executes itself as a child. The very program that runs is meant, even if its
// file has been replaced meanwhile: the two have to speak the same language.
func childCommandLine(common *program.Common) []string {
	room := fmt.Sprintf("%-*s", connector.MaxName, "(ready)")
	return []string{"/proc/self/exe", childName, "--log-level", common.LogLevel, "--log-format", common.LogFormat, "--", room}
}

// entitle writes a connector's name over the last argument of this process, for whoever lists the processes: it was not
// known when the process was started. The kernel shows the very bytes that os.Args has on Linux; elsewhere nobody sees
// it.
func entitle(name string) {
	last := os.Args[len(os.Args)-1]
	room := unsafe.Slice(unsafe.StringData(last), len(last))
	clear(room[copy(room, name):])
}

// procs is how many processors a Go program uses at once.
const procs = "GOMAXPROCS"

// childEnv is this process's environment without the settings of the connector host, which are not a child's, and with
// half of the processors for it, unless the environment says how many: it is one of many processes here, has little to do
// for a message, and would spend a third of its time on waking threads.
func childEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "ZATOHA_CONNECTORHOST_") })
	if os.Getenv(procs) == "" {
		env = append(env, fmt.Sprintf("%s=%d", procs, (runtime.GOMAXPROCS(0)+1)/2))
	}
	return env
}

// Run serves one connector.
func (c *childCommand) Run(ctx context.Context, log zerolog.Logger) error {
	// A service manager stops all of a service's processes at once; this one is to finish what it has in hand first.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return supervise.ServeChild(ctx, func(ctx context.Context, job *supervise.Job) error {
		entitle(job.Definition.Name)
		return serve(ctx, job, log.With().Str("connector", job.Definition.Name).Logger())
	})
}
