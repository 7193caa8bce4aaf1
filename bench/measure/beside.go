package measure

import (
	"fmt"
	"strings"

	"zatoha/bench/load"
	"zatoha/bench/peer"
	"zatoha/bench/report"
)

// figure is one by which ours and the peer are compared, in milliseconds.
type figure struct {
	what               string
	ours, theirs, bare float64
}

func (f figure) ahead() bool { return f.ours < f.theirs }

// figures are median and p99 of the times up and down.
func (p propagationTimes) figures() (all []figure) {
	for _, of := range []struct {
		what               string
		ours, theirs, bare Sample
	}{
		{"registration → first response", p.ours.up, p.peer.up, p.bareUp},
		{"deregistration → last response", p.ours.down, p.peer.down, p.bareDown},
	} {
		for _, by := range []struct {
			name string
			q    float64
		}{{"median", 0.5}, {"p99", 0.99}} {
			what := fmt.Sprintf("%s, %d servers, %s", of.what, p.servers, by.name)
			all = append(all, figure{what, of.ours.Quantile(by.q), of.theirs.Quantile(by.q), of.bare.Quantile(by.q)})
		}
	}
	return all
}

// beside puts ours, the peer and a bare query beside each other, and says at which figures ours is ahead.
func beside(page *report.Page, sizes []propagationTimes) (verdict string) {
	var rows [][]string
	var behind []string
	n := 0
	ms := func(value float64) string { return fmt.Sprintf("%.2f ms", value) }
	for _, size := range sizes {
		for _, f := range size.figures() {
			word := "ahead"
			if n++; !f.ahead() {
				word = "not ahead"
				behind = append(behind, f.what)
			}
			rows = append(rows, []string{f.what, fmt.Sprint(len(size.peer.up)), ms(f.ours), ms(f.theirs), ms(f.bare), word})
		}
	}
	verdict = fmt.Sprintf("ours is ahead of %s at %d of %d figures", peer.FabioName, n-len(behind), n)
	if len(behind) > 0 {
		verdict += ", not at " + strings.Join(behind, "; ")
	}
	page.Section("Beside " + peer.FabioName)
	page.Paragraph(verdict + ".")
	page.Paragraph(fmt.Sprintf("The peer has the same Consul, the same servers and the same client. Ours, a bare query and the peer take turns of %d "+
		"changes; who has not the turn is stopped by SIGSTOP, HAProxy too, and before each turn all servers are in rotation and the load has "+
		"run for a second. At this load each of 100 servers is asked every %d ms, so that much is in the times up of who does not begin with "+
		"the newcomer, and a last response may be before the change. Whether ours is ahead decides nothing: the targets above do.",
		inTurn, 100*1000/propagationLoad))
	page.Table([]string{"figure", "n", "ours", peer.FabioName, "bare query", "ours is"}, rows)
	page.Paragraph(peer.FabioSettings() + ".")
	return verdict
}

// underChanges tells of the load that there was under the changes.
func (p propagationTimes) underChanges() string {
	text := fmt.Sprintf("The load under the changes, %d servers: ours, of which no request may fail: %s", p.servers, carried(p.ours.load))
	if len(p.peer.up) > 0 {
		text += fmt.Sprintf("; %s: %s", peer.FabioName, carried(p.peer.load))
	}
	return fmt.Sprintf("%s. Times of a balancer that did not carry %d a second are those of a machine that had too much to do.", text, propagationLoad)
}

// carried tells how much of the load a balancer has carried, and how.
func carried(r load.Report) string {
	rate := 0.0
	if r.Elapsed > 0 {
		rate = float64(r.Requests) / r.Elapsed.Seconds()
	}
	return fmt.Sprintf("%.0f requests a second, %d of %d failed, median %.2f ms, p99 %.2f ms",
		rate, r.Errors(), r.Requests, r.Latency.Median.Seconds()*1000, r.Latency.P99.Seconds()*1000)
}
