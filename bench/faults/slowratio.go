package faults

import (
	"fmt"
	"time"

	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/bench/measure"
	"zatoha/bench/report"
	"zatoha/bench/slow"
)

const (
	slowLimit  = 2.0 // times the p99 undisturbed, or that of the control
	slowRounds = 5   // below which a ratio tells nothing
)

// slowness is what a trial with slow clients has noted; nil of one that broke off, or of another kind.
func slowness(t experiment.Trial) *Slowness {
	s, _ := t.Detail.(*Slowness)
	return s
}

// slowRatios are those of the p99 to the one undisturbed, in each round that has all three.
func slowRatios(trials []experiment.Trial) (control, attacked measure.Sample) {
	for _, t := range trials {
		s := slowness(t)
		if s == nil || min(s.Undisturbed.Latency.P99, s.Control.Latency.P99, s.Attacked.Latency.P99) == 0 {
			continue
		}
		ratio := func(r load.Report) float64 { return float64(r.Latency.P99) / float64(s.Undisturbed.Latency.P99) }
		control, attacked = append(control, ratio(s.Control)), append(attacked, ratio(s.Attacked))
	}
	return control, attacked
}

// judgeSlow holds the rounds together against the pass line. With fewer than tell anything, that says nothing of it.
func judgeSlow(trials []experiment.Trial) (failures []string) {
	if len(trials) < slowRounds {
		return nil
	}
	control, attacked := slowRatios(trials)
	if lack := len(trials) - len(attacked); lack > 0 {
		failures = append(failures, fmt.Sprintf("%d of %d rounds have no p99 to compare: they broke off, or no request was answered", lack, len(trials)))
	}
	limit := slowLimit * max(1, control.Quantile(0.5))
	if got := attacked.Quantile(0.5); got >= limit {
		failures = append(failures, fmt.Sprintf("the p99 is %.2f times that undisturbed, in the median of %d rounds; less than %.2f may be (control %.2f)",
			got, len(attacked), limit, control.Quantile(0.5)))
	}
	return failures
}

// withstands says what the p99 is less than twice of, the attacked one's in the median of the rounds: what it was
// undisturbed, or what a machine under attack, whoever is attacked there, makes of it.
func withstands(control, attacked measure.Sample) string {
	switch got := attacked.Quantile(0.5); {
	case got < slowLimit:
		return "undisturbed"
	case got < slowLimit*control.Quantile(0.5):
		return "the control alone"
	}
	return "neither"
}

// slowClients shows the rounds with slow clients.
func slowClients(page *report.Page, results []experiment.Result) {
	var rows [][]string
	for _, r := range results {
		control, attacked := slowRatios(r.Trials)
		if len(attacked) == 0 {
			continue
		}
		var undisturbed, during, beside measure.Sample
		var counts slow.Counts
		for _, t := range r.Trials {
			s := slowness(t)
			if s == nil {
				continue
			}
			p99 := func(r load.Report) float64 { return float64(r.Latency.P99) / float64(time.Millisecond) }
			undisturbed, during = append(undisturbed, p99(s.Undisturbed)), append(during, p99(s.Attacked))
			beside = append(beside, p99(s.Control))
			counts.Open, counts.Closed = max(counts.Open, s.Attack.Open), counts.Closed+s.Attack.Closed
		}
		median := func(s measure.Sample) string { return fmt.Sprintf("%.2f ms", s.Quantile(0.5)) }
		ratio := func(s measure.Sample) string {
			return fmt.Sprintf("%.2f (%.2f … %.2f)", s.Quantile(0.5), s.Quantile(0), s.Quantile(1))
		}
		rows = append(rows, []string{
			r.Name, fmt.Sprint(len(attacked)), fmt.Sprintf("%d, %d came again", counts.Open, counts.Closed),
			median(undisturbed), median(beside), median(during), ratio(control), ratio(attacked),
			withstands(control, attacked),
		})
	}
	if len(rows) == 0 {
		return
	}
	page.Section("Slow clients")
	page.Paragraph("Each round has three parts, in turn: nobody attacks; the slow clients are at another HAProxy of this machine, which " +
		"is the control; they are at ours. Ours are watched while the first of them are thrown out and come again; slowhttptest, which keeps " +
		"half a core busy with two thousand connections, from when all are made. Ratios are those of the p99 to the one undisturbed, by " +
		fmt.Sprintf("rounds, median (least … most); the median must be less than %g times that undisturbed, or that of the control, from %d rounds on.", slowLimit, slowRounds))
	page.Table([]string{"scenario", "n", "slow clients", "p99 undisturbed (median)", "control", "attacked", "control to undisturbed", "attacked to undisturbed", fmt.Sprintf("less than %g times", slowLimit)}, rows)
}
