package main

import (
	"fmt"
	"io"
	"time"
)

const (
	redraw   = 500 * time.Millisecond // of the status line on a terminal
	reminder = 10 * time.Second       // between status lines elsewhere
	columns  = 79                     // a longer line would wrap, and a wrapped line cannot be rewritten
)

// screen is where people read what goes on.
type screen struct {
	out      io.Writer
	terminal bool
}

// say prints a line that stays.
func (s screen) say(line string) { fmt.Fprintln(s.out, line) }

// follow shows a status line while something goes on: on a terminal one line that is rewritten, else a new line every
// ten seconds. It is over when the function returned is called, after which nothing more is printed. The text is asked
// for in another goroutine.
func (s screen) follow(text func(elapsed time.Duration) string) (over func()) {
	const eraseLine = "\r\x1b[K"
	format, interval := "%s\n", reminder
	if s.terminal {
		format, interval = eraseLine+"%."+fmt.Sprint(columns)+"s", redraw
	}
	since := time.Now()
	finished, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(s.out, format, text(time.Since(since)))
			case <-finished:
				if s.terminal {
					fmt.Fprint(s.out, eraseLine)
				}
				return
			}
		}
	}()
	return func() {
		close(finished)
		<-done
	}
}

// clock is a duration in the precision that people care for: "47s", "3m46s".
func clock(d time.Duration) string { return d.Round(time.Second).String() }
