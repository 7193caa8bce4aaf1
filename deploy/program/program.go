// Package program is what every program of the project owes its operator: one configuration scheme, a --help to act
// on, a --version, structured logs, and exit statuses that mean something.
//
// A program declares its flags as a kong grammar that embeds [Common], gives its command a method
// Run(context.Context, zerolog.Logger) error, and its main function is one line:
//
//	func main() { os.Exit(program.Main("lb", "Balances a cluster of servers.", &grammar{})) }
//
// One case from start to end: `ZATOHA_LB_LISTEN=127.0.0.1:1 lb --config lb.yaml --log-level debug`. The flag gives the
// log level, the environment the listen address (even if lb.yaml has a "listen:" too), lb.yaml everything else that it
// names, and the defaults the rest. A misspelt key in the file ends the program before it did anything, with status 2
// and one line on stderr:
//
//	lb: lb.yaml:3: unknown field "lisen": did you mean "listen"?
//
// Otherwise Run is called. SIGTERM, SIGINT or the loss of the terminal (SIGHUP) cancels its context; when it returns nil
// the status is 0.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"
)

// The exit statuses of every program.
const (
	exitStopped   = 0 // ended by itself or by SIGINT/SIGTERM/SIGHUP
	exitFailed    = 1 // any failure at run time, or a second signal
	exitBadConfig = 2 // refused its configuration; see ConfigError
)

// Common holds the flags that every program has. A grammar embeds it by value.
type Common struct {
	Config    string           `placeholder:"FILE" help:"YAML file with settings; its keys are the names of these flags."`
	LogLevel  string           `default:"info" enum:"trace,debug,info,warn,error" help:"Least level that is logged: ${enum}."`
	LogFormat string           `default:"auto" enum:"auto,json,console" help:"${enum}; auto is console on a terminal, else json."`
	Pprof     Loopback         `placeholder:"127.0.0.1:6060" help:"Serve /debug/pprof on this loopback address."`
	Version   kong.VersionFlag `env:"-" help:"Print the version and exit."`
}

func (c *Common) common() *Common { return c }

// Grammar is a pointer to a kong struct that embeds [Common].
type Grammar interface{ common() *Common }

const precedence = "Each setting comes from its flag, else from its environment variable, " +
	"else from the --config file, else from the default shown."

// Main parses the command line, runs the chosen command and returns the exit status for os.Exit.
//
// The name is the program's, as typed; it also gives the prefix of the environment variables: ZATOHA_LB_LISTEN is
// --listen of lb. A flag with its own `env` tag keeps that name instead. The command's method
// Run(ctx context.Context, log zerolog.Logger) error gets a context that the first SIGINT, SIGTERM or SIGHUP cancels; a
// second one ends the process at once, unless it is a SIGHUP. A grammar that kong cannot build is a programming error and
// panics.
func Main(name, description string, grammar Grammar) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, stopSignals()...)
	defer signal.Stop(signals)
	return surroundings{
		args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, signals: signals, exit: os.Exit,
	}.main(name, description, grammar)
}

// stopSignals are those that end a program. What was started to outlive its terminal, as by nohup, goes on ignoring
// SIGHUP.
func stopSignals() []os.Signal {
	stop := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		stop = append(stop, syscall.SIGHUP)
	}
	return stop
}

// surroundings are the parts of the operating system that Main touches; tests replace them.
type surroundings struct {
	args           []string
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	exit           func(status int)
}

func (s surroundings) main(name, description string, grammar Grammar) int {
	command, err := s.parse(name, description, grammar)
	if err != nil {
		return s.refuse(name, err)
	}
	if command == nil { // --help or --version
		return exitStopped
	}
	common := grammar.common()
	log := newLogger(s.stderr, name, common)
	ctx, stop := s.untilSignal(log)
	defer stop()
	if common.Pprof != "" {
		closePprof, err := servePprof(common.Pprof)
		if err != nil {
			return s.refuse(name, err)
		}
		defer closePprof()
	}
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(log)
	var bad *ConfigError
	switch {
	case err == nil:
		return exitStopped
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		if !onlyCanceled(err) {
			log.Warn().Err(err).Msg("stopped, but not all of it went well")
		}
		return exitStopped
	case errors.As(err, &bad):
		return s.refuse(name, err)
	}
	log.Error().Err(err).Msg("ended by a failure")
	return exitFailed
}

// onlyCanceled says whether an error tells of nothing but the end of a context.
func onlyCanceled(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(err error) bool { return !onlyCanceled(err) })
	}
	if inner := errors.Unwrap(err); inner != nil {
		return onlyCanceled(inner)
	}
	return errors.Is(err, context.Canceled)
}

// parse fills the grammar. A nil context without an error means that help or version has been printed.
func (s surroundings) parse(name, description string, grammar Grammar) (*kong.Context, error) {
	printed := false
	file := &configFile{}
	parser := kong.Must(grammar,
		kong.Name(name),
		kong.Description(description+"\n\n"+precedence),
		kong.DefaultEnvars("ZATOHA_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))),
		kong.Vars{"version": name + " " + Version()},
		kong.Writers(s.stdout, s.stderr),
		kong.Exit(func(int) { printed = true }),
		kong.Help(help),
		kong.Resolvers(file),
		kong.WithBeforeResolve(file.load),
	)
	command, err := parser.Parse(s.args)
	if printed { // kong goes on after help; what it finds wrong then is of no interest
		return nil, nil
	}
	if err == nil {
		return command, nil
	}
	var bad *ConfigError
	if errors.As(err, &bad) {
		return nil, err
	}
	remedy := fmt.Sprintf("run %q for what can be set", name+" --help")
	if strings.Contains(err.Error(), "did you mean") {
		remedy = ""
	}
	return nil, &ConfigError{What: err.Error(), Remedy: remedy}
}

// help shows the flags of the default command too, where kong would show them only for `lb run --help`.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if command := ctx.Model.DefaultCmd; command != nil && ctx.Selected() == nil {
		ctx.Model.Flags = slices.Concat(command.Flags, ctx.Model.Flags)
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// refuse prints the error as one line.
func (s surroundings) refuse(name string, err error) int {
	fmt.Fprintf(s.stderr, "%s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
	return exitBadConfig
}

// untilSignal returns a context that the first signal cancels. The function returned ends the watch.
func (s surroundings) untilSignal(log zerolog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	finished, watching := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case sig := <-s.signals:
			signal.Ignore(syscall.SIGPIPE) // whoever reads what is written may have ended by the same signal
			log.Info().Stringer("signal", sig).Msg("stopping; a second signal ends the process at once")
			cancel()
		case <-finished:
			return
		}
		for {
			select {
			case sig := <-s.signals:
				if sig == syscall.SIGHUP {
					continue // of a lost terminal the shell tells and the kernel too: that is nobody's second wish
				}
				log.Warn().Stringer("signal", sig).Msg("ended by a second signal, work in progress is lost")
				s.exit(exitFailed)
				return
			case <-finished:
				return
			}
		}
	}()
	return ctx, func() {
		close(finished)
		<-watching
		cancel()
	}
}
