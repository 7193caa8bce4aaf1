package faults

import (
	"fmt"
	"strings"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/report"
)

// Summary says in one line whether all passed, of how many trials and requests, and which did not.
func Summary(results []Result) (passed bool, text string) {
	trials, requests, errors := 0, 0, 0
	var short []string
	var elapsed time.Duration
	for _, r := range results {
		if !r.Passed() {
			short = append(short, r.Name)
		}
		sum := sum(r.Trials)
		trials += len(r.Trials)
		requests += sum.Requests
		errors += sum.Errors()
		elapsed += r.Elapsed
	}
	text = fmt.Sprintf("%d of %d scenarios passed, n = %d trials, %d requests, %d errors, in %.0f s",
		len(results)-len(short), len(results), trials, requests, errors, elapsed.Seconds())
	if len(short) > 0 {
		text += "; fell short: " + strings.Join(short, ", ")
	}
	return len(short) == 0 && len(results) > 0, text
}

// Shortfalls has a line for each respect in which a trial fell short.
func Shortfalls(results []Result) (lines []string) {
	for _, r := range results {
		for i, t := range r.Trials {
			for _, failure := range t.Failures {
				lines = append(lines, fmt.Sprintf("%s, trial %d of %d: %s", r.Name, i+1, len(r.Trials), failure))
			}
		}
		for _, failure := range r.Failures {
			lines = append(lines, r.Name+": "+failure)
		}
		if len(r.Trials) == 0 {
			lines = append(lines, r.Name+": no trial was played")
		}
	}
	return lines
}

// Report is the results as a page.
func Report(results []Result, circumstances string) *report.Page {
	page := report.New("Faults", circumstances)
	_, summary := Summary(results)
	page.Paragraph(summary + ". Load, where nothing else is said: 32 raw keep-alive connections that never retry, 1,000 requests a " +
		"second; latencies count from when a request was due. Median, p99 and worst are of the requests of all trials.")
	var rows [][]string
	for _, r := range results {
		rows = append(rows, r.row())
	}
	page.Table([]string{"scenario", "what is done", "n", "requests", "errors", "closes", "median", "p99", "worst", "pass line", ""}, rows)
	page.Plot(worst(results))
	slowClients(page, results)
	times(page, results)
	besidePeer(page, results)
	page.Section("What fell short")
	for _, line := range Shortfalls(results) {
		page.Paragraph("- " + line)
	}
	if len(Shortfalls(results)) == 0 {
		page.Paragraph("Nothing.")
	}
	return page
}

// sum is the load of all trials.
func sum(trials []Trial) load.Report {
	var reports []load.Report
	for _, t := range trials {
		reports = append(reports, t.Load)
	}
	return load.Sum(reports)
}

func (r Result) row() []string {
	verdict := "PASS"
	if !r.Passed() {
		verdict = "**FAIL**"
	}
	sum := sum(r.Trials)
	l := sum.Latency
	return []string{
		r.Name, r.Does, fmt.Sprint(len(r.Trials)), fmt.Sprint(sum.Requests), fmt.Sprint(sum.Errors()), fmt.Sprint(Closes(sum)),
		Readable(l.Median), Readable(l.P99), Readable(l.Worst), r.PassLine, verdict,
	}
}

// worst shows the worst latency of each trial, scenario by scenario.
func worst(results []Result) report.Chart {
	chart := report.Chart{
		Title: "Worst latency of each trial",
		X:     report.Axis{Label: "scenario, in the order of the table"}, Y: report.Axis{Label: "ms", Log: true},
	}
	points := func(name string, trials func(Result) []Trial) (s report.Series) {
		s.Name = name
		for i, r := range results {
			for _, t := range trials(r) {
				s.Points = append(s.Points, report.Point{X: float64(i + 1), Y: t.Load.Latency.Worst.Seconds() * 1000})
			}
		}
		return s
	}
	chart.Series = append(
		chart.Series, points("ours", func(r Result) []Trial { return r.Trials }),
		points(PeerName, func(r Result) []Trial { return r.Peer.Trials }),
	)
	return chart
}
