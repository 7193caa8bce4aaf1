package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/bench/peer"
	"zatoha/bench/report"
)

// peersOf are the names of the peers that scenarios were played on, in the order in which each first came.
func peersOf(results []experiment.Result) (names []string) {
	for _, r := range results {
		for _, rival := range r.Peers {
			if len(rival.Trials) > 0 && !slices.Contains(names, rival.On) {
				names = append(names, rival.On)
			}
		}
	}
	return names
}

// on is what became of a scenario on the peer of that name; nothing, if it was not played there.
func on(name string, r experiment.Result) experiment.Peer {
	for _, rival := range r.Peers {
		if rival.On == name {
			return rival
		}
	}
	return experiment.Peer{}
}

// besidePeers puts what clients noticed of ours and of the peers side by side.
func besidePeers(page *report.Page, results []experiment.Result) {
	names := peersOf(results)
	var rows [][]string
	for _, r := range results {
		if len(peersOf([]experiment.Result{r})) > 0 {
			rows = append(rows, compare(r, names)...)
		}
	}
	if len(rows) == 0 {
		return
	}
	page.Section("Beside peers")
	page.Paragraph("Each peer has the same Consul and the same servers: " + peer.About(names) + ". Its trials and ours take turns, " +
		"with the same raw client; it runs during its own only. Ours runs during both, which costs the peer the checks of " +
		"our HAProxy. Servers that stop wait for our load balancer to drain them, a second or more, in which the peer follows Consul. It has no pass line.")
	page.Table(slices.Concat([]string{"scenario", "", "ours"}, names), rows)
	for _, r := range results {
		for _, rival := range r.Peers {
			for i, t := range rival.Trials {
				for _, failure := range t.Failures {
					page.Paragraph(fmt.Sprintf("- %s, trial %d on %s: %s", r.Name, i+1, rival.On, failure))
				}
			}
		}
	}
}

// compare has a row for each thing to compare, and in it a cell for ours and for each peer.
func compare(r experiment.Result, names []string) (rows [][]string) {
	type side struct {
		trials []experiment.Trial
		load   load.Report
		does   string
	}
	sides := []side{{r.Trials, experiment.LoadOf(r.Trials), r.Does}}
	differ := false
	for _, name := range names {
		rival := on(name, r)
		differ = differ || rival.Does != ""
		sides = append(sides, side{rival.Trials, experiment.LoadOf(rival.Trials), cmp.Or(rival.Does, r.Does)})
	}
	row := func(what string, cell func(side) string) {
		cells := []string{r.Name, what}
		for _, s := range sides {
			cells = append(cells, cell(s))
		}
		rows = append(rows, cells)
	}
	if differ {
		row("done", func(s side) string { return s.does })
	}
	row("trials", func(s side) string { return fmt.Sprint(len(s.trials)) })
	row("requests", func(s side) string { return fmt.Sprint(s.load.Requests) })
	row("errors", func(s side) string { return perTrial(s.load.Errors(), s.trials) })
	row("their kinds", func(s side) string { return kinds(s.load) })
	row("closes", func(s side) string { return perTrial(s.load.Closes(), s.trials) })
	row("median", func(s side) string { return experiment.Readable(s.load.Latency.Median) })
	row("p99", func(s side) string { return experiment.Readable(s.load.Latency.P99) })
	row("worst", func(s side) string { return experiment.Readable(s.load.Latency.Worst) })
	return rows
}

func perTrial(n int, trials []experiment.Trial) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, %.1f a trial", n, float64(n)/float64(len(trials)))
}

// kinds tells errors apart: by status, or by how the connection failed.
func kinds(r load.Report) string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		if status < 200 || status > 299 {
			parts = append(parts, fmt.Sprintf("%d × %d", r.Statuses[status], status))
		}
	}
	for _, failure := range slices.Sorted(maps.Keys(r.Failures)) {
		if n := r.Failures[failure]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d × %s", n, failure))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
