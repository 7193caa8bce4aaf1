package experiment

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/report"
)

// Outcome is what became of all scenarios.
type Outcome struct {
	Results  []Result
	Also     string   // what else the summary says
	Failures []string // of all scenarios together
}

// Result is what became of one scenario.
type Result struct {
	Name, Does, PassLine string
	Trials               []Trial
	Failures             []string // of the trials together
	Peers                []Peer
	Elapsed              time.Duration
}

// Peer is what became of a scenario on a peer. It has no pass line.
type Peer struct {
	On     string  // its name
	Does   string  // if that differs
	Trials []Trial // with what kept one from being played to its end as its failure
}

// Add adds what became of others.
func (o *Outcome) Add(other Outcome) {
	o.Results, o.Failures = append(o.Results, other.Results...), append(o.Failures, other.Failures...)
	o.Also += other.Also
}

// Passed says whether each trial did, and all together.
func (r Result) Passed() bool {
	return len(r.Trials) > 0 && len(r.Failures) == 0 && !slices.ContainsFunc(r.Trials, func(t Trial) bool { return len(t.Failures) > 0 })
}

// Verdict is that in a table.
func (r Result) Verdict() string {
	if r.Passed() {
		return "PASS"
	}
	return "**FAIL**"
}

// LoadOf is the load of all trials.
func LoadOf(trials []Trial) load.Report {
	var reports []load.Report
	for _, t := range trials {
		reports = append(reports, t.Load)
	}
	return load.Sum(reports)
}

// Summary says in one line whether all passed, of how many trials and requests, and which did not.
func (o Outcome) Summary() (passed bool, text string) {
	var trials []Trial
	var short []string
	var elapsed time.Duration
	for _, r := range o.Results {
		if !r.Passed() {
			short = append(short, r.Name)
		}
		trials = append(trials, r.Trials...)
		elapsed += r.Elapsed
	}
	text = fmt.Sprintf("%d of %d scenarios passed, n = %d trials", len(o.Results)-len(short), len(o.Results), len(trials))
	if sum := LoadOf(trials); sum.Requests > 0 {
		text += fmt.Sprintf(", %d requests, %d errors", sum.Requests, sum.Errors())
	}
	text += fmt.Sprintf(", in %.0f s", elapsed.Seconds())
	if o.Also != "" {
		text += "; " + o.Also
	}
	if len(short) > 0 {
		text += "; fell short: " + strings.Join(short, ", ")
	}
	return len(short) == 0 && len(o.Failures) == 0 && len(o.Results) > 0, text
}

// Shortfalls has a line for each respect in which something fell short.
func (o Outcome) Shortfalls() (lines []string) {
	for _, r := range o.Results {
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
	return append(lines, o.Failures...)
}

// Page begins a report: the summary, and about what it is.
func (o Outcome) Page(title, circumstances, about string) *report.Page {
	page := report.New(title, circumstances)
	_, summary := o.Summary()
	page.Paragraph(summary + ". " + about)
	return page
}

// WhatFellShort is the end of a report.
func (o Outcome) WhatFellShort(page *report.Page) {
	page.Section("What fell short")
	lines := o.Shortfalls()
	for _, line := range lines {
		page.Paragraph("- " + line)
	}
	if len(lines) == 0 {
		page.Paragraph("Nothing.")
	}
}

// Columns are those of Figures.
var Columns = []string{"scenario", "what is done", "what is timed", "n", "median", "p99", "worst", "pass line", ""}

// Figures are rows of a table: for each scenario what was timed, and then its requests.
func (o Outcome) Figures() (rows [][]string) {
	for _, r := range o.Results {
		first := len(rows)
		add := func(what string, cells ...string) {
			rows = append(rows, slices.Concat([]string{r.Name, "", what}, cells, []string{"", ""}))
		}
		for _, t := range Timings(r.Trials) {
			add(t.What, t.Cells()...)
		}
		sum, n := LoadOf(r.Trials), fmt.Sprint(len(r.Trials))
		var worst time.Duration
		for _, t := range r.Trials {
			worst = max(worst, t.Load.Latency.Worst)
		}
		if sum.Requests > 0 {
			add(fmt.Sprintf("%d of %d requests failed; latency", sum.Errors(), sum.Requests), n, "", "", Readable(worst))
		}
		if first == len(rows) {
			add("", n, "", "", "")
		}
		rows[first][1], rows[first][7], rows[first][8] = r.Does, r.PassLine, r.Verdict()
	}
	return rows
}

// Conclude writes the report, into the folder and of the name, and tells what all amounts to. What kept scenarios from
// being played is its error, behind a report of those that were.
func (o Outcome) Conclude(to io.Writer, page *report.Page, folder, name string, runErr error) (passed bool, err error) {
	if len(o.Results) > 0 {
		path, err := page.Write(folder, name)
		if err != nil {
			return false, errors.Join(runErr, err)
		}
		fmt.Fprintln(to, "the report is in", path)
	}
	if runErr != nil {
		return false, runErr
	}
	for _, line := range o.Shortfalls() {
		fmt.Fprintln(to, "fell short:", line)
	}
	passed, text := o.Summary()
	word := "PASS"
	if !passed {
		word = "FAIL"
	}
	fmt.Fprintf(to, "%s: %s: %s\n", word, name, text)
	return passed, nil
}
