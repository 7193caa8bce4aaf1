package faults

import (
	"fmt"

	"zatoha/bench/experiment"
	"zatoha/bench/report"
)

// Report is the outcome as a page, of these scenarios or of others under the same load.
func Report(title string, o experiment.Outcome, circumstances string) *report.Page {
	page := o.Page(title, circumstances, "Load, where nothing else is said: 32 raw keep-alive connections that never retry, 1,000 requests a "+
		"second; latencies count from when a request was due. Median, p99 and worst are of the requests of all trials.")
	var rows [][]string
	for _, r := range o.Results {
		rows = append(rows, row(r))
	}
	page.Table([]string{"scenario", "what is done", "n", "requests", "errors", "closes", "median", "p99", "worst", "pass line", ""}, rows)
	page.Plot(worst(o.Results))
	slowClients(page, o.Results)
	times(page, o.Results)
	besidePeers(page, o.Results)
	o.WhatFellShort(page)
	return page
}

func row(r experiment.Result) []string {
	sum := experiment.LoadOf(r.Trials)
	l := sum.Latency
	return []string{
		r.Name, r.Does, fmt.Sprint(len(r.Trials)), fmt.Sprint(sum.Requests), fmt.Sprint(sum.Errors()), fmt.Sprint(sum.Closes()),
		experiment.Readable(l.Median), experiment.Readable(l.P99), experiment.Readable(l.Worst), r.PassLine, r.Verdict(),
	}
}

// worst shows the worst latency of each trial, scenario by scenario.
func worst(results []experiment.Result) report.Chart {
	chart := report.Chart{
		Title: "Worst latency of each trial",
		X:     report.Axis{Label: "scenario, in the order of the table"}, Y: report.Axis{Label: "ms", Log: true},
	}
	points := func(name string, trials func(experiment.Result) []experiment.Trial) (s report.Series) {
		s.Name = name
		for i, r := range results {
			for _, t := range trials(r) {
				s.Points = append(s.Points, report.Point{X: float64(i + 1), Y: t.Load.Latency.Worst.Seconds() * 1000})
			}
		}
		return s
	}
	chart.Series = append(chart.Series, points("ours", func(r experiment.Result) []experiment.Trial { return r.Trials }))
	for _, name := range peersOf(results) {
		chart.Series = append(chart.Series, points(name, func(r experiment.Result) []experiment.Trial { return on(name, r).Trials }))
	}
	return chart
}

// times shows what else was timed.
func times(page *report.Page, results []experiment.Result) {
	var rows [][]string
	add := func(scenario, balancer string, trials []experiment.Trial, limited bool) {
		for _, t := range experiment.Timings(trials) {
			limit := ""
			if limited && t.Limit > 0 {
				limit = "worst ≤ " + t.In.Text(t.Limit)
			}
			rows = append(rows, append(append([]string{scenario, balancer, t.What}, t.Cells()...), limit))
		}
	}
	for _, r := range results {
		add(r.Name, "ours", r.Trials, true)
		for _, rival := range r.Peers {
			add(r.Name, rival.On, rival.Trials, false)
		}
	}
	if len(rows) == 0 {
		return
	}
	page.Section("Times taken")
	page.Paragraph("Over all trials of a scenario. They begin with the fault, or with the start of what comes back.")
	page.Table([]string{"scenario", "on", "what", "n", "median", "p99", "worst", "pass line"}, rows)
}
