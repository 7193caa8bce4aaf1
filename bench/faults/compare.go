package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/bench/report"
)

// besidePeer puts what clients noticed of ours and of the peer side by side.
func besidePeer(page *report.Page, results []experiment.Result) {
	var rows [][]string
	for _, r := range results {
		if len(r.Peer.Trials) > 0 {
			rows = append(rows, compare(r)...)
		}
	}
	if len(rows) == 0 {
		return
	}
	page.Section("Beside a peer")
	page.Paragraph("The peer has the same Consul, the same servers and an HAProxy of the same build: consul-template renders " +
		"haproxy.cfg, with `check` on each server and no further directive, and reloads by SIGUSR2. Its trials and ours take turns, " +
		"with the same raw client; it runs during its own only. Ours runs during both, which costs the peer the checks of a second " +
		"HAProxy. Servers that stop wait for our load balancer to drain them, a second or more, in which the peer follows Consul. It has no pass line.")
	page.Table([]string{"scenario", "", "ours", PeerName}, rows)
	for _, r := range results {
		for i, t := range r.Peer.Trials {
			for _, failure := range t.Failures {
				page.Paragraph(fmt.Sprintf("- %s, the peer's trial %d: %s", r.Name, i+1, failure))
			}
		}
	}
}

func compare(r experiment.Result) (rows [][]string) {
	ours, theirs := experiment.LoadOf(r.Trials), experiment.LoadOf(r.Peer.Trials)
	row := func(what, ours, theirs string) { rows = append(rows, []string{r.Name, what, ours, theirs}) }
	if r.Peer.Does != "" {
		row("done", r.Does, r.Peer.Does)
	}
	row("trials", fmt.Sprint(len(r.Trials)), fmt.Sprint(len(r.Peer.Trials)))
	row("requests", fmt.Sprint(ours.Requests), fmt.Sprint(theirs.Requests))
	row("errors", perTrial(ours.Errors(), r.Trials), perTrial(theirs.Errors(), r.Peer.Trials))
	row("their kinds", kinds(ours), kinds(theirs))
	row("closes", perTrial(ours.Closes(), r.Trials), perTrial(theirs.Closes(), r.Peer.Trials))
	row("median", experiment.Readable(ours.Latency.Median), experiment.Readable(theirs.Latency.Median))
	row("p99", experiment.Readable(ours.Latency.P99), experiment.Readable(theirs.Latency.P99))
	row("worst", experiment.Readable(ours.Latency.Worst), experiment.Readable(theirs.Latency.Worst))
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
