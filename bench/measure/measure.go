// Package measure takes figures of the load balancer with the real programs: how fast a change reaches its clients,
// what it carries beside a hand-written HAProxy, and how that holds with thousands of instances.
//
// One case, [Propagation] with three servers: Consul, the load balancer and HAProxy are started, three HTTP servers in
// this process registered, and a paced load put on the front. A fourth is registered and deregistered again, many times
// over and each time another one; it notes when it answered its first and its last request. The times since the change
// was sent to Consul are the sample, of which the report shows n, median, p99 and worst.
package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"zatoha/bench/pause"
	"zatoha/bench/report"
	"zatoha/deploy/cluster"
)

// Options say with which programs figures are taken, and how many.
type Options struct {
	Bin           string    // folder with our programs
	Consul        string    // path of Consul
	HAProxy       string    // path of HAProxy
	Fabio         string    // path of fabio, beside which [Propagation] measures; "": beside no peer
	Trials        int       // of each measurement
	Progress      io.Writer // gets a line now and then
	Circumstances string    // for the head of the report
}

// Outcome is a report, and whether what it shows is good enough.
type Outcome struct {
	Page    *report.Page
	Passed  bool
	Summary string
}

const service = "zato-server"

// bound is generous: whatever takes longer is broken.
const bound = 2 * time.Minute

// lab is a running cluster in a folder of its own, with the priorities of an installed one: what decides who serves goes
// before the clients and servers on the same machine.
type lab struct {
	*cluster.Cluster
	dir string
}

func (o Options) lab(ctx context.Context, servers int, lbArgs ...string) (*lab, error) {
	dir, err := os.MkdirTemp("", "zatoha-bench")
	if err != nil {
		return nil, err
	}
	config, err := cluster.FreeConfig(servers)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	config.Bin, config.ConsulBin, config.HAProxyBin, config.Dir, config.LBArgs = o.Bin, o.Consul, o.HAProxy, dir, lbArgs
	config.AsUnits = true
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	c, err := cluster.Start(ctx, config)
	if err != nil {
		err = errors.New(err.Error()) // now, as it quotes from the logs
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &lab{c, dir}, nil
}

// close ends the cluster, also when ctx has ended.
func (l *lab) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	return errors.Join(l.Stop(ctx), os.RemoveAll(l.dir))
}

// await waits until the status page is as wanted.
func (l *lab) await(ctx context.Context, wanted func(cluster.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return l.Await(ctx, wanted)
}

// Sample is a set of times in milliseconds.
type Sample []float64

func (s *Sample) add(d time.Duration) { *s = append(*s, float64(d)/float64(time.Millisecond)) }

// Quantile is the smallest value that a share q of all do not exceed; 0 of none.
func (s Sample) Quantile(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

// mean is the geometric mean of values above 0; 0 of none.
func (s Sample) mean() mean {
	if len(s) == 0 {
		return mean{}
	}
	n, sum, squares := float64(len(s)), 0.0, 0.0
	for _, v := range s {
		sum += math.Log(v)
	}
	for _, v := range s {
		squares += math.Pow(math.Log(v)-sum/n, 2)
	}
	m := mean{value: math.Exp(sum / n)}
	if n > 1 {
		m.off = m.value * math.Sqrt(squares/(n-1)/n)
	}
	return m
}

// mean is one, and by how much it is off: its standard error.
type mean struct{ value, off float64 }

func (m mean) String() string { return fmt.Sprintf("%.3f ± %.3f", m.value, m.off) }

// cells are n, median, p99 and worst.
func (s Sample) cells() []string {
	return []string{fmt.Sprint(len(s)), s.text(0.5), s.text(0.99), s.text(1)}
}

func (s Sample) text(q float64) string { return fmt.Sprintf("%.2f ms", s.Quantile(q)) }

func (s Sample) String() string {
	return fmt.Sprintf("n %d, median %s, p99 %s, worst %s", len(s), s.text(0.5), s.text(0.99), s.text(1))
}

// target is a limit of a sample, and how it stands.
type target struct {
	what        string
	sample      Sample
	median, p99 float64 // ms; 0 for no limit
}

func (t target) met() bool {
	within := func(q, limit float64) bool { return limit == 0 || t.sample.Quantile(q) <= limit }
	return len(t.sample) > 0 && within(0.5, t.median) && within(0.99, t.p99)
}

func (t target) row() []string {
	verdict := ""
	switch {
	case t.median == 0 && t.p99 == 0:
	case t.met():
		verdict = "PASS"
	default:
		verdict = "**FAIL**"
	}
	limits := ""
	if t.median > 0 {
		limits += fmt.Sprintf("median ≤ %g ms ", t.median)
	}
	if t.p99 > 0 {
		limits += fmt.Sprintf("p99 ≤ %g ms", t.p99)
	}
	return append(append([]string{t.what}, t.sample.cells()...), limits, verdict)
}

// targets shows them all and says how many were met of those that have limits.
func targets(page *report.Page, all []target) (passed bool, summary string) {
	var rows [][]string
	met, limited := 0, 0
	for _, t := range all {
		rows = append(rows, t.row())
		if t.median > 0 || t.p99 > 0 {
			limited++
			if t.met() {
				met++
			}
		}
	}
	page.Table([]string{"what", "n", "median", "p99", "worst", "target", ""}, rows)
	return met == limited, fmt.Sprintf("%d of %d targets met", met, limited)
}

// wait lets time go by.
func wait(ctx context.Context, d time.Duration) error { return pause.For(ctx, d) }
