package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"zatoha/bench/faults"
	"zatoha/bench/measure"
	"zatoha/bench/report"
)

// figure is one line of the table: a time that was taken in each trial, or the requests of all.
type figure struct {
	scenario, what, median, p99, worst, passLine, verdict string
	n                                                     int
}

var columns = []string{"scenario", "what", "n", "median", "p99", "worst", "pass line", ""}

func (f figure) row() []string {
	return []string{f.scenario, f.what, fmt.Sprint(f.n), f.median, f.p99, f.worst, f.passLine, f.verdict}
}

// figures are the lines of the table.
func figures(results []faults.Result) (all []figure) {
	for _, r := range results {
		first := len(all)
		for _, what := range measuredNames(r) {
			var sample measure.Sample
			for _, t := range r.Trials {
				for _, m := range t.Measured {
					if m.What == what {
						sample = append(sample, float64(m.Took)/float64(time.Millisecond))
					}
				}
			}
			quantile := func(q float64) string {
				return faults.Readable(time.Duration(sample.Quantile(q) * float64(time.Millisecond)))
			}
			all = append(all, figure{scenario: r.Name, what: what, n: len(sample), median: quantile(0.5), p99: quantile(0.99), worst: quantile(1)})
		}
		requests, failed := 0, 0
		var worst time.Duration
		for _, t := range r.Trials {
			requests, failed, worst = requests+t.Load.Requests, failed+t.Load.Errors(), max(worst, t.Load.Latency.Worst)
		}
		if requests > 0 {
			all = append(all, figure{scenario: r.Name, what: fmt.Sprintf("%d of %d requests failed; latency", failed, requests), n: len(r.Trials), worst: faults.Readable(worst)})
		}
		if first < len(all) {
			all[first].passLine, all[first].verdict = r.PassLine, "PASS"
			if !r.Passed() {
				all[first].verdict = "FAIL"
			}
		}
	}
	return all
}

// measuredNames are what was timed, in the order in which each first came.
func measuredNames(r faults.Result) (names []string) {
	for _, t := range r.Trials {
		for _, m := range t.Measured {
			if !slices.Contains(names, m.What) {
				names = append(names, m.What)
			}
		}
	}
	return names
}

// table is the figures for a terminal.
func table(results []faults.Result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, f := range figures(results) {
		fmt.Fprintln(w, strings.Join(f.row(), "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	return b.String()
}

// page is the results as a report.
func page(results []faults.Result, circumstances string) *report.Page {
	page := report.New("Redundancy", circumstances)
	_, summary := faults.Summary(results)
	page.Paragraph(fmt.Sprintf("%s. Load: %d raw keep-alive connections from a host of their own, 300 requests a second.", summary, clients))
	var does, rows [][]string
	for _, r := range results {
		does = append(does, []string{r.Name, r.Does})
	}
	for _, f := range figures(results) {
		rows = append(rows, f.row())
	}
	page.Table(columns, rows)
	page.Section("What is done")
	page.Table([]string{"scenario", "what is done"}, does)
	page.Section("What fell short")
	lines := faults.Shortfalls(results)
	for _, line := range lines {
		page.Paragraph("- " + line)
	}
	if len(lines) == 0 {
		page.Paragraph("Nothing.")
	}
	return page
}
