package program

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

const logTime = "2006-01-02T15:04:05.000Z07:00"

// setTimeFormat runs once because zerolog keeps the format in a global variable.
var setTimeFormat = sync.OnceFunc(func() { zerolog.TimeFieldFormat = logTime })

// newLogger writes lines with time, level and program to w, in the form that the flags ask for.
func newLogger(w io.Writer, name string, common *Common) zerolog.Logger {
	setTimeFormat()
	level, err := zerolog.ParseLevel(common.LogLevel)
	if err != nil { // cannot be: the flag is an enum of zerolog's levels
		level = zerolog.InfoLevel
	}
	if common.LogFormat == "console" || common.LogFormat == "auto" && isTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Str("program", name).Logger()
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
