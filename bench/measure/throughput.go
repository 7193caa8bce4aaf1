package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/report"
	"zatoha/deploy/cluster"
)

const (
	warmUp = 500 * time.Millisecond
	heat   = 2 * time.Second // of one measurement
)

// How [Throughput] takes a trial: short turns, so that all have the same moments of the machine.
const (
	rounds     = 5
	shortWarm  = 150 * time.Millisecond
	shortHeat  = 600 * time.Millisecond
	leastRatio = 0.98 // of the requests per second
	mostRatio  = 1.05 // of the p99
)

// contender is an HAProxy that is measured, by the address of its front.
type contender struct {
	name, front string
	rate        Sample // requests per second
	p99         Sample // ms
	reports     []load.Report
}

// Throughput measures ours beside a static HAProxy with the same directives and servers, by turns; the same static one
// twice, as a control; and one with none of the protective directives. Of two processes with one configuration, one takes
// some hundredths more than the other for as long as both run, so that all are started anew for each trial.
func Throughput(ctx context.Context, o Options) (outcome Outcome, err error) {
	var all []contender
	for i := range o.Trials {
		trial, err := o.throughput(ctx)
		if err != nil {
			return outcome, err
		}
		if all == nil {
			all = make([]contender, len(trial))
		}
		fmt.Fprintf(o.Progress, "trial %d/%d:", i+1, o.Trials)
		for j, c := range trial {
			all[j].name = c.name
			all[j].rate = append(all[j].rate, c.rate.Quantile(0.5))
			all[j].p99 = append(all[j].p99, c.p99.Quantile(0.5))
			all[j].reports = append(all[j].reports, c.reports...)
			fmt.Fprintf(o.Progress, " %s %.0f/s", c.name, c.rate.Quantile(0.5))
		}
		fmt.Fprintln(o.Progress)
	}
	return compare(o, all), nil
}

// throughput is one trial, of some rounds. In each, all have their turn, in any order: who comes behind whom matters.
func (o Options) throughput(ctx context.Context) (all []contender, err error) {
	l, err := o.lab(ctx, 3)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	all, stop, err := l.contenders(ctx)
	defer stop()
	if err != nil {
		return nil, err
	}
	for range rounds {
		for _, j := range rand.Perm(len(all)) {
			if err := all[j].measure(ctx, shortWarm, shortHeat); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// contenders are ours, the static one, the static one again, and the bare one. Stop ends what was started.
func (l *lab) contenders(ctx context.Context) (all []contender, stop func(), err error) {
	var started []*cluster.Process
	stop = func() {
		for _, p := range started {
			p.Kill()
		}
	}
	ours, err := os.ReadFile(l.HAProxyCfg())
	if err != nil {
		return nil, stop, err
	}
	all = []contender{{name: "ours", front: l.Front}}
	for _, other := range []struct{ name, config string }{
		{"static", static(string(ours))}, {"static again", static(string(ours))}, {"bare", Bare(frontMark, l.Config.Servers)},
	} {
		free, err := cluster.FreeConfig(0)
		if err != nil {
			return nil, stop, err
		}
		name := strings.ReplaceAll(other.name, " ", "-")
		path := filepath.Join(l.dir, name+".cfg")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(other.config, frontMark, free.Front)), 0o644); err != nil {
			return nil, stop, err
		}
		p, err := l.Launch(name, l.HAProxyBin, "-db", "-f", path)
		if err != nil {
			return nil, stop, err
		}
		started = append(started, p)
		if err := listening(ctx, free.Front); err != nil {
			return nil, stop, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, contender{name: other.name, front: free.Front})
	}
	return all, stop, nil
}

// listening waits until somebody listens there.
func listening(ctx context.Context, address string) error {
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// frontMark stands for the front's address in a configuration.
const frontMark = "127.0.0.1:FRONT"

var (
	bindLine  = regexp.MustCompile(`(?m)^(\s*bind )\S+`)
	ownSocket = regexp.MustCompile(`(?m)^\s*(stats socket|server-state|pidfile|log) .*\n`)
	freeSlot  = regexp.MustCompile(`(?m)^\s*server \S+ 127\.0\.0\.1:1 .*\n`)
	toRelay   = regexp.MustCompile(`(?m)^\s*use_backend bck_http_relay .*\n`)
	relay     = regexp.MustCompile(`(?m)^(?:backend bck|frontend front)_http_relay .*\n(?:[ \t].*\n)*`)
)

// static is our configuration as somebody would write it by hand: the same directives, and only the servers there are.
// What leads from a worker that was replaced to the one after it is left out, as nobody reloads it.
func static(ours string) string {
	for _, none := range []*regexp.Regexp{ownSocket, freeSlot, toRelay, relay} {
		ours = none.ReplaceAllString(ours, "")
	}
	return bindLine.ReplaceAllString(ours, "${1}"+frontMark)
}

// Bare is a configuration as people begin with: `check` on each server, and nothing else.
func Bare(front string, servers []string) string {
	text := "defaults\n mode http\n timeout client 60s\n timeout server 30s\n timeout connect 1s\n" +
		"frontend front\n bind " + front + "\n default_backend back\nbackend back\n balance roundrobin\n"
	for i, server := range servers {
		text += fmt.Sprintf(" server s%d %s check\n", i+1, server)
	}
	return text
}

// measure puts as much load on it as it takes, for a time that does not count and one that does.
func (c *contender) measure(ctx context.Context, warm, hot time.Duration) error {
	options := load.Options{Addr: c.front, Connections: 32, Templates: []load.Template{load.Get("/zato/ping")}}
	for _, d := range []time.Duration{warm, hot} {
		during, cancel := context.WithTimeout(ctx, d)
		report, err := load.Run(during, options)
		cancel()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case report.Errors() > 0 || report.Requests == 0:
			return fmt.Errorf("%s: %s", c.name, report)
		case d == hot:
			c.rate = append(c.rate, float64(report.Requests)/report.Elapsed.Seconds())
			c.p99.add(report.Latency.P99)
			c.reports = append(c.reports, report)
		}
	}
	return nil
}

// ratios are those of two contenders in each trial.
func ratios(of, to Sample) (r Sample) {
	for i := range of {
		r = append(r, of[i]/to[i])
	}
	return r
}

func compare(o Options, contenders []contender) Outcome {
	page := report.New("Throughput", o.Circumstances)
	page.Paragraph(fmt.Sprintf("GET /zato/ping over 32 raw keep-alive connections at full speed, %d trials: for each, everything is "+
		"started anew, and all have their turn of %s, %d times over, of which the median counts. The client, HAProxy and the three "+
		"servers share the cores. Ratios are geometric means of those of the trials, ± their standard error. \"static\" is a configuration written "+
		"by hand with the same directives and servers, and nothing for reloads; \"static again\" is its twin, whose ratio to it is the scatter of the "+
		"machine; \"bare\" has `check` and nothing else.", o.Trials, shortHeat, rounds))
	ours, control, base := contenders[0], contenders[2], contenders[1]
	var rows [][]string
	chart := report.Chart{Title: "Requests per second, trial by trial", X: report.Axis{Label: "trial"}, Y: report.Axis{Label: "requests/s"}}
	for _, c := range contenders {
		speed, tail := ratios(c.rate, base.rate), ratios(c.p99, base.p99)
		rows = append(rows, []string{
			c.name, fmt.Sprint(len(c.rate)), fmt.Sprintf("%.0f", c.rate.Quantile(0.5)), speed.mean().String(),
			fmt.Sprintf("%.3f … %.3f", speed.Quantile(0.1), speed.Quantile(0.9)), c.p99.text(0.5), tail.mean().String(), c.p99.text(1),
		})
		chart.Series = append(chart.Series, series(c.name, c.rate))
	}
	page.Table([]string{"", "n", "requests/s (median)", "ratio to static", "(10 % … 90 %)", "p99 latency (median)", "its ratio", "worst p99"}, rows)
	page.Plot(chart)
	page.Paragraph("Latency of all requests of all trials, at full speed:")
	rows = nil
	for _, c := range contenders {
		l := load.Sum(c.reports).Latency
		var sample Sample
		for _, d := range []time.Duration{l.Median, l.P99, l.Worst} {
			sample.add(d)
		}
		row := []string{c.name, fmt.Sprint(l.Count)}
		for _, ms := range sample {
			row = append(row, fmt.Sprintf("%.2f ms", ms))
		}
		rows = append(rows, row)
	}
	page.Table([]string{"", "n", "median", "p99", "worst"}, rows)
	speed, tail := ratios(ours.rate, base.rate).mean(), ratios(ours.p99, base.p99).mean()
	summary := fmt.Sprintf("throughput %s of static (≥ %.2f; control %s), p99 %s of it (≤ %.2f; control %s), n = %d trials",
		speed, leastRatio, ratios(control.rate, base.rate).mean(), tail, mostRatio, ratios(control.p99, base.p99).mean(), len(ours.rate))
	page.Paragraph(summary)
	return Outcome{page, speed.value >= leastRatio && tail.value <= mostRatio, summary}
}
