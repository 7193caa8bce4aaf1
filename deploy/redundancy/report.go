package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"zatoha/bench/experiment"
	"zatoha/bench/report"
)

// onTerminal is the table of figures for a terminal, which has no room for what is done.
func onTerminal(outcome experiment.Outcome) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{experiment.Columns}, outcome.Figures()...) {
		fmt.Fprintln(w, strings.Join(slices.Delete(slices.Clone(row), 1, 2), "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	return b.String()
}

// page is the outcome as a report.
func page(outcome experiment.Outcome, circumstances string) *report.Page {
	page := outcome.Page("Redundancy", circumstances,
		fmt.Sprintf("Load: %d raw keep-alive connections from a host of their own, 300 requests a second.", clients))
	page.Table(experiment.Columns, outcome.Figures())
	outcome.WhatFellShort(page)
	return page
}
