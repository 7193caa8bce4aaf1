package experiment

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
func announce[K, S any](to io.Writer, chosen []Scenario[K, S]) *progress {
	p := &progress{to: to, began: time.Now()}
	width := 0
	for _, s := range chosen {
		width = max(width, len(s.Name))
	}
	var whole time.Duration
	var lines strings.Builder
	for _, s := range chosen {
		takes := s.Takes * time.Duration(s.Trials)
		p.all += s.Trials
		also := ""
		for _, peer := range s.Peers {
			takes += peer.Takes * time.Duration(peer.Trials)
			p.all += peer.Trials
			also += fmt.Sprintf(" and %d on %s", peer.Trials, peer.On)
		}
		whole += takes
		fmt.Fprintf(&lines, "  %-*s %d trials%s%s: %s\n", width, s.Name, s.Trials, also, about(takes, ""), s.Does)
	}
	fmt.Fprintf(to, "%d scenarios, %d trials%s:\n%s", len(chosen), p.all, about(whole, " in all"), lines.String())
	return p
}

// about is how long something takes, if that is known.
func about(d time.Duration, all string) string {
	if d == 0 {
		return ""
	}
	return ", about " + clock(d) + all
}

// trial tells of one that is over.
func (p *progress) trial(label string, trial Trial) {
	p.done++
	fmt.Fprintf(p.to, "[%d/%d %s] %s  %s\n", p.done, p.all, clock(time.Since(p.began)), label, trial)
}

func (p *progress) note(text string) { fmt.Fprintln(p.to, text) }

// clock is a duration in whole seconds: "47s", "3m46s".
func clock(d time.Duration) string { return d.Round(time.Second).String() }
