package faults

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress tells on a terminal how far a run is.
type progress struct {
	to        io.Writer
	began     time.Time
	done, all int // trials
}

// announce says what will be played and roughly how long that takes.
func announce(to io.Writer, chosen []scenario) *progress {
	p := &progress{to: to, began: time.Now()}
	var whole time.Duration
	var lines strings.Builder
	for _, s := range chosen {
		takes := s.takes*time.Duration(s.trials) + s.peer.takes*time.Duration(s.peer.trials)
		p.all += s.trials + s.peer.trials
		whole += takes
		also := ""
		if s.peer.trials > 0 {
			also = fmt.Sprintf(" and %d on the peer", s.peer.trials)
		}
		fmt.Fprintf(&lines, "  %-20s %d trials%s, about %s: %s\n", s.name, s.trials, also, clock(takes), s.does)
	}
	fmt.Fprintf(to, "%d scenarios, %d trials, about %s in all:\n%s", len(chosen), p.all, clock(whole), lines.String())
	return p
}

// trial tells of one that is over.
func (p *progress) trial(label string, trial Trial) {
	p.done++
	fmt.Fprintf(p.to, "[%d/%d %s] %s  %s\n", p.done, p.all, clock(time.Since(p.began)), label, trial)
}

func (p *progress) note(text string) { fmt.Fprintln(p.to, text) }

// clock is a duration in whole seconds: "47s", "3m46s".
func clock(d time.Duration) string { return d.Round(time.Second).String() }
