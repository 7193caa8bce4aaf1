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

	"github.com/rs/zerolog"

	"zatoha/connectorhost/supervise"
	"zatoha/deploy/program"
)

// childCommand runs one connector. Its parent tells it which, by its input, and when to end.
type childCommand struct {
	Connector string `arg:"" help:"Its name, for whoever lists the processes."`
}

// childCommandLine is how a connector host executes itself as a child. The very program that runs is meant, even if its
// file has been replaced meanwhile: the two have to speak the same language.
func childCommandLine(common *program.Common) []string {
	return []string{"/proc/self/exe", "child", "--log-level", common.LogLevel, "--log-format", common.LogFormat, "--"}
}

// procs is how many processors a Go program uses at once.
const procs = "GOMAXPROCS"

// childEnv is this process's environment without the settings of the connector host, which are not a child's, and with half
// of the processors for it, unless the environment says how many: it is one of many processes here, has little to do for a
// message, and would spend a third of its time on waking threads.
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
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	log = log.With().Str("connector", c.Connector).Logger()
	return supervise.ServeChild(ctx, func(ctx context.Context, job *supervise.Job) error { return serve(ctx, job, log) })
}
