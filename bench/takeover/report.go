package takeover

import (
	"fmt"
	"slices"

	"zatoha/bench/experiment"
	"zatoha/bench/report"
)

// Report is the outcome as a page.
func Report(o experiment.Outcome, circumstances string) *report.Page {
	page := o.Page("Takeover", circumstances, fmt.Sprintf("Three servers, three connector hosts with the lease's default times (TTL 1 s, a beat each 250 ms), %d "+
		"ZeroMQ channels, each of which gets %d messages a second from a PUSH. A gap is the longest time between two messages that "+
		"servers noted, one behind the other, from the last one before the fault on, of the channel that fared worst: in quiet times it "+
		"is that of the feed, %d ms, and what the machine's scheduling adds. Messages that ZeroMQ loses when a process dies are not "+
		"counted: it promises no more.", usual.connectors, usual.rate, 1000/usual.rate))
	page.Table(experiment.Columns, o.Figures())
	page.Plot(chart(o.Results))
	page.Section("The history")
	page.Paragraph(fmt.Sprintf("%s. A run is a process that was told to receive, from then until it was gone, to the millisecond; a "+
		"fault is two runs of a connector at once, an epoch that sinks or that two hosts share, or a message that came under an "+
		"epoch when a later one had come already.", o.Also))
	for _, r := range o.Results {
		for _, t := range r.Trials {
			for _, note := range t.Notes {
				page.Paragraph("Messages: " + note + ".")
			}
		}
	}
	o.WhatFellShort(page)
	return page
}

// chart shows how the gaps are spread.
func chart(results []experiment.Result) report.Chart {
	c := report.Chart{Title: "Time without a message", X: report.Axis{Label: "ms", Log: true}, Y: report.Axis{Label: "share of trials"}}
	for _, r := range results {
		for _, s := range table(Options{}) {
			if sample := experiment.TimingOf(r.Trials, s.gapIs).Sample; s.name == r.Name && s.gap > 0 && len(sample) > 0 {
				c.Series = append(c.Series, report.Cumulative(r.Name, slices.Sorted(slices.Values(sample))))
			}
		}
	}
	return c
}
