package takeover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"zatoha/bench/faults"
	"zatoha/bench/measure"
	"zatoha/bench/report"
)

// Summary says in one line whether all passed, and which scenarios did not.
func Summary(o Outcome) (passed bool, text string) {
	trials := 0
	var short []string
	for _, r := range o.Results {
		trials += len(r.Trials)
		if !r.Passed() {
			short = append(short, r.Name)
		}
	}
	text = fmt.Sprintf("%d of %d scenarios passed, n = %d trials; %s", len(o.Results)-len(short), len(o.Results), trials, o.Totals)
	if short != nil {
		text += "; fell short: " + strings.Join(short, ", ")
	}
	return short == nil && len(o.Totals.Faults) == 0 && trials > 0, text
}

func (t Totals) String() string {
	return fmt.Sprintf("%d tenures, %d runs of connectors, %d messages: %d faults in the history, %d messages came twice",
		t.Tenures, t.Runs, t.Messages, len(t.Faults), t.Repeated)
}

// Report is the outcome as a page.
func Report(o Outcome, circumstances string) *report.Page {
	page := report.New("Takeover", circumstances)
	_, summary := Summary(o)
	page.Paragraph(fmt.Sprintf("%s. Three servers, three connector hosts with the lease's default times (TTL 1 s, a beat each 250 ms), %d "+
		"ZeroMQ channels, each of which gets %d messages a second from a PUSH. A gap is the longest time between two messages that "+
		"servers noted, one behind the other, from the last one before the fault on, of the channel that fared worst: in quiet times it "+
		"is that of the feed, %d ms, and what the machine's scheduling adds. Messages that ZeroMQ loses when a process dies are not "+
		"counted: it promises no more.", summary, usual.connectors, usual.rate, 1000/usual.rate))
	var rows [][]string
	for _, r := range o.Results {
		rows = append(rows, figures(r)...)
	}
	page.Table([]string{"scenario", "what is done", "what is timed", "n", "median", "p99", "worst", "pass line", ""}, rows)
	page.Plot(chart(o.Results))
	page.Section("The history")
	page.Paragraph(fmt.Sprintf("%s. A run is a process that was told to receive, from then until it was gone, to the millisecond; a "+
		"fault is two runs of a connector at once, an epoch that sinks or that two hosts share, or a message that came under an "+
		"epoch when a later one had come already.", o.Totals))
	for _, storm := range o.Totals.Storms {
		page.Paragraph("Messages: " + storm + ".")
	}
	lines := slices.Concat(faults.Shortfalls(o.Results), o.Totals.Faults)
	page.Section("What fell short")
	for _, line := range lines {
		page.Paragraph("- " + line)
	}
	if lines == nil {
		page.Paragraph("Nothing.")
	}
	return page
}

// figures are the rows of a scenario, one for each thing that is timed.
func figures(r faults.Result) (rows [][]string) {
	verdict := "PASS"
	if !r.Passed() {
		verdict = "**FAIL**"
	}
	for _, what := range timed(r) {
		sample, in := sampleOf(r, what)
		row := []string{"", "", what, fmt.Sprint(len(sample)), text(sample, in, 0.5), text(sample, in, 0.99), text(sample, in, worst(in)), "", ""}
		if rows == nil {
			row[0], row[1], row[7], row[8] = r.Name, r.Does, r.PassLine, verdict
		}
		rows = append(rows, row)
	}
	if rows == nil {
		rows = [][]string{{r.Name, r.Does, "", fmt.Sprint(len(r.Trials)), "", "", "", r.PassLine, verdict}}
	}
	return rows
}

// timed are the things that were, in the order in which each first came.
func timed(r faults.Result) (all []string) {
	for _, trial := range r.Trials {
		for _, m := range trial.Measured {
			if !slices.Contains(all, m.What) {
				all = append(all, m.What)
			}
		}
	}
	return all
}

func sampleOf(r faults.Result, what string) (sample measure.Sample, in faults.Unit) {
	for _, trial := range r.Trials {
		for _, m := range trial.Measured {
			if m.What == what {
				sample, in = append(sample, float64(m.Took)/float64(time.Millisecond)), m.In
			}
		}
	}
	return sample, in
}

// worst is the quantile of the worst: of times and sizes the largest, of ratios the smallest.
func worst(in faults.Unit) float64 {
	if in == faults.Ratio {
		return 0
	}
	return 1
}

func text(s measure.Sample, in faults.Unit, q float64) string {
	return in.Text(time.Duration(s.Quantile(q) * float64(time.Millisecond)))
}

// chart shows how the gaps are spread.
func chart(results []faults.Result) report.Chart {
	c := report.Chart{Title: "Time without a message", X: report.Axis{Label: "ms", Log: true}, Y: report.Axis{Label: "share of trials"}}
	for _, r := range results {
		for _, s := range chosen(Options{}) {
			if sample, _ := sampleOf(r, s.gapIs); s.name == r.Name && s.gap > 0 && len(sample) > 0 {
				c.Series = append(c.Series, report.Cumulative(r.Name, slices.Sorted(slices.Values(sample))))
			}
		}
	}
	return c
}
