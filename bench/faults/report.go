package faults

import (
	"fmt"
	"time"

	"zatoha/bench/report"
)

// Summary says in one line whether all passed, and of how many trials and requests.
func Summary(results []Result) (passed bool, text string) {
	trials, requests, errors, short := 0, 0, 0, 0
	var elapsed time.Duration
	for _, r := range results {
		if !r.Passed() {
			short++
		}
		for _, t := range r.Trials {
			trials++
			requests += t.Load.Requests
			errors += t.Load.Errors()
		}
		elapsed += r.Elapsed
	}
	text = fmt.Sprintf("%d of %d scenarios passed, n = %d trials, %d requests, %d errors, in %.0f s",
		len(results)-short, len(results), trials, requests, errors, elapsed.Seconds())
	return short == 0 && len(results) > 0, text
}

// Report is the results as a page.
func Report(results []Result, circumstances string) *report.Page {
	page := report.New("Faults", circumstances)
	_, summary := Summary(results)
	page.Paragraph(summary + ". Load: 32 raw keep-alive connections that never retry, 1,000 requests a second; " +
		"latencies count from when a request was due. Median, p99 and worst are those of the trial in which they were highest.")
	var rows [][]string
	for _, r := range results {
		rows = append(rows, r.row())
	}
	page.Table([]string{"scenario", "what is done", "n", "requests", "errors", "closes", "median", "p99", "worst", "measured (longest)", "pass line", ""}, rows)
	page.Plot(worst(results))
	page.Section("What fell short")
	none := true
	for _, r := range results {
		for i, t := range r.Trials {
			for _, failure := range t.Failures {
				page.Paragraph(fmt.Sprintf("- %s, trial %d: %s", r.Name, i+1, failure))
				none = false
			}
		}
	}
	if none {
		page.Paragraph("Nothing.")
	}
	return page
}

func (r Result) row() []string {
	var sum Trial
	errors, closes, measured := 0, 0, ""
	for _, t := range r.Trials {
		sum.Load.Requests += t.Load.Requests
		errors += t.Load.Errors()
		closes += Closes(t.Load)
		l, most := t.Load.Latency, &sum.Load.Latency
		most.Median, most.P99, most.Worst = max(most.Median, l.Median), max(most.P99, l.P99), max(most.Worst, l.Worst)
		for _, m := range t.Measured {
			p := play{trial: sum}
			p.measured(m.What, m.Took, m.Limit)
			sum = p.trial
		}
	}
	for _, m := range sum.Measured {
		measured += fmt.Sprintf("%s %s", m.What, Readable(m.Took))
		if m.Limit > 0 {
			measured += fmt.Sprintf(" (≤ %s)", Readable(m.Limit))
		}
		measured += "; "
	}
	verdict := "PASS"
	if !r.Passed() {
		verdict = "**FAIL**"
	}
	l := sum.Load.Latency
	return []string{
		r.Name, r.Does, fmt.Sprint(len(r.Trials)), fmt.Sprint(sum.Load.Requests), fmt.Sprint(errors), fmt.Sprint(closes),
		Readable(l.Median), Readable(l.P99), Readable(l.Worst), measured, r.PassLine, verdict,
	}
}

// worst shows the worst latency of each trial, scenario by scenario.
func worst(results []Result) report.Chart {
	chart := report.Chart{
		Title: "Worst latency of each trial",
		X:     report.Axis{Label: "scenario, in the order of the table"}, Y: report.Axis{Label: "ms", Log: true},
	}
	trials := report.Series{Name: "a trial"}
	for i, r := range results {
		for _, t := range r.Trials {
			trials.Points = append(trials.Points, report.Point{X: float64(i + 1), Y: t.Load.Latency.Worst.Seconds() * 1000})
		}
	}
	chart.Series = append(chart.Series, trials)
	return chart
}
