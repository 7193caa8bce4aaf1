package faults

import (
	"fmt"
	"slices"
	"time"

	"zatoha/bench/measure"
	"zatoha/bench/report"
)

// timing is all the times that something took in some trials.
type timing struct {
	what   string
	limit  time.Duration
	in     Unit
	sample measure.Sample
}

// timings are those of the trials, in the order in which each first came.
func timings(trials []Trial) (all []timing) {
	for _, trial := range trials {
		for _, m := range trial.Measured {
			i := slices.IndexFunc(all, func(t timing) bool { return t.what == m.What })
			if i < 0 {
				i = len(all)
				all = append(all, timing{what: m.What, limit: m.Limit, in: m.In})
			}
			all[i].sample = append(all[i].sample, float64(m.Took)/float64(time.Millisecond))
		}
	}
	return all
}

func (t timing) quantile(q float64) string {
	return t.in.Text(time.Duration(t.sample.Quantile(q) * float64(time.Millisecond)))
}

// short is the timing of one trial, in which some things come more than once.
func (t timing) short() string {
	if n := len(t.sample); n > 1 {
		return fmt.Sprintf("%s %d times, at most %s", t.what, n, t.quantile(1))
	}
	return t.what + " " + t.quantile(1)
}

// times shows what else was timed.
func times(page *report.Page, results []Result) {
	var rows [][]string
	add := func(scenario, balancer string, trials []Trial, limited bool) {
		for _, t := range timings(trials) {
			limit := ""
			if limited && t.limit > 0 {
				limit = "worst ≤ " + t.in.Text(t.limit)
			}
			rows = append(rows, []string{
				scenario, balancer, t.what, fmt.Sprint(len(t.sample)), t.quantile(0.5), t.quantile(0.99), t.quantile(1), limit,
			})
		}
	}
	for _, r := range results {
		add(r.Name, "ours", r.Trials, true)
		add(r.Name, PeerName, r.Peer.Trials, false)
	}
	if len(rows) == 0 {
		return
	}
	page.Section("Times taken")
	page.Paragraph("Over all trials of a scenario. They begin with the fault, or with the start of what comes back.")
	page.Table([]string{"scenario", "on", "what", "n", "median", "p99", "worst", "pass line"}, rows)
}
