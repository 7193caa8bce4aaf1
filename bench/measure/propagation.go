package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/peer"
	"zatoha/bench/report"
	"zatoha/deploy/cluster"
)

// propagationLoad is in requests per second.
const propagationLoad = 5000

// Propagation measures how long after a change in Consul clients notice it, with 3 and with 100 servers, of ours and, by
// turns with it, of a peer.
func Propagation(ctx context.Context, o Options) (Outcome, error) {
	page := report.New("Propagation", o.Circumstances)
	page.Paragraph(fmt.Sprintf("An instance, each time another one at a port of its own, is registered, with a check that passes "+
		"from the first, and deregistered again, under a load of %d requests a second over 8 connections. Times begin when the change is sent to Consul, so Consul's own "+
		"write is in them; the rows \"since Consul has answered\" are without it. They end when the instance has answered its "+
		"first, or last, request that came through the front. \"Answered to a bare blocking query\" is when Consul, under the same "+
		"load, has told a client of the change that does nothing but ask, beside the controller, which asks too: it shows what "+
		"of a time is Consul's and the machine's. \"Shown by HAProxy\" is when its runtime socket tells of the change, without "+
		"load. The servers are stand-ins that cost next to nothing.", propagationLoad))
	var sizes []propagationTimes
	for _, servers := range []int{3, 100} {
		times, err := o.propagation(ctx, servers)
		if err != nil {
			return Outcome{}, fmt.Errorf("%d servers: %w", servers, err)
		}
		sizes = append(sizes, times)
		times.tell(o.Progress)
	}
	passed, summary := judge(page, sizes)
	if o.Fabio != "" {
		verdict := beside(page, sizes)
		fmt.Fprintln(o.Progress, verdict)
		summary += "; " + verdict
	}
	for _, times := range sizes {
		page.Plot(times.chart())
	}
	page.Paragraph("Peers, measured before on the same kind of machine with three servers (up median/p99, down): fabio 7/33 and 3/9 ms, " +
		"consul-template with reload 164/181 ms, Traefik with watch 141-171/384-1339 ms, HAProxy's DNS server-template 1486/1986 ms, " +
		"the Data Plane API's own discovery 1077/1995 ms.")
	return Outcome{page, passed, summary}, nil
}

// judge shows the times beside their targets, and the load under the changes, of which no request of ours may fail.
func judge(page *report.Page, sizes []propagationTimes) (passed bool, summary string) {
	var all []target
	failed := 0
	for _, size := range sizes {
		all = append(all, size.targets()...)
		failed += size.ours.load.Errors()
	}
	passed, summary = targets(page, all)
	for _, size := range sizes {
		page.Paragraph(size.underChanges())
	}
	return passed && failed == 0, fmt.Sprintf("%s, %d requests failed under the changes", summary, failed)
}

func cumulative(name string, s Sample) report.Series {
	return report.Cumulative(name, slices.Sorted(slices.Values(s)))
}

// changes are the times of a balancer's changes, and the load that it carried meanwhile.
type changes struct {
	up, upAnswered, down, downAnswered Sample
	load                               load.Report
}

// propagationTimes are those of one size.
type propagationTimes struct {
	servers                              int
	ours, peer                           changes // those of the peer are none if there is none
	bareUp, bareDown, shownUp, shownDown Sample
}

// targets are what is shown of them; those of ours have limits.
func (p propagationTimes) targets() []target {
	name := func(what string) string { return fmt.Sprintf("%s, %d servers", what, p.servers) }
	all := []target{
		{name("registration → first response"), p.ours.up, 4, 20},
		{name("the same since Consul has answered"), p.ours.upAnswered, 0, 0},
		{name("registration → answered to a bare blocking query"), p.bareUp, 0, 0},
		{name("registration → shown by HAProxy"), p.shownUp, 0, 0},
		{name("deregistration → last response"), p.ours.down, 3, 9},
		{name("the same since Consul has answered"), p.ours.downAnswered, 0, 0},
		{name("deregistration → answered to a bare blocking query"), p.bareDown, 0, 0},
		{name("deregistration → shown by HAProxy"), p.shownDown, 0, 0},
	}
	if len(p.peer.up) > 0 {
		all = append(
			all, target{name(peer.FabioName + ": registration → first response"), p.peer.up, 0, 0},
			target{name("the same since Consul has answered"), p.peer.upAnswered, 0, 0},
			target{name(peer.FabioName + ": deregistration → last response"), p.peer.down, 0, 0},
			target{name("the same since Consul has answered"), p.peer.downAnswered, 0, 0},
		)
	}
	return all
}

// tell prints what matters most.
func (p propagationTimes) tell(to io.Writer) {
	fmt.Fprintf(to, "%d servers: registration → first response: %s\n", p.servers, p.ours.up)
	fmt.Fprintf(to, "%d servers: deregistration → last response: %s\n", p.servers, p.ours.down)
	if len(p.peer.up) > 0 {
		fmt.Fprintf(to, "%d servers: %s: up %s; down %s\n", p.servers, peer.FabioName, p.peer.up, p.peer.down)
	}
	fmt.Fprintf(to, "%d servers: answered to a bare blocking query: up %s; down %s\n", p.servers, p.bareUp, p.bareDown)
	fmt.Fprintf(to, "%d servers: shown by HAProxy: up %s; down %s\n", p.servers, p.shownUp, p.shownDown)
}

func (p propagationTimes) chart() report.Chart {
	chart := report.Chart{
		Title: fmt.Sprintf("Since the change was sent to Consul, %d servers", p.servers),
		X:     report.Axis{Label: "ms", Log: true}, Y: report.Axis{Label: "share of changes"},
		Series: []report.Series{cumulative("ours, up", p.ours.up), cumulative("ours, down", p.ours.down)},
	}
	if len(p.peer.up) > 0 {
		chart.Series = append(chart.Series, cumulative(peer.FabioName+", up", p.peer.up), cumulative(peer.FabioName+", down", p.peer.down))
	}
	chart.Series = append(chart.Series, cumulative("bare query, up", p.bareUp), cumulative("bare query, down", p.bareDown))
	return chart
}

func (o Options) propagation(ctx context.Context, servers int) (times propagationTimes, err error) {
	times.servers = servers
	// One newcomer at a time needs one slot, whoever is still parting from it: the others are for a controller that is late.
	l, err := o.lab(ctx, 0, fmt.Sprintf("--slots=%d", servers+5))
	if err != nil {
		return times, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	for i := range servers {
		server, err := newResponder(func(string, time.Time) {})
		if err != nil {
			return times, err
		}
		defer server.close()
		if err := l.Register(ctx, member(fmt.Sprintf("host-%d", i+1), server)); err != nil {
			return times, err
		}
	}
	if err := l.await(ctx, func(s cluster.Status) bool { return len(s.Rotation) == servers }); err != nil {
		return times, err
	}
	var subjects newcomers
	if err := o.takeTurns(ctx, l, &subjects, &times); err != nil {
		return times, err
	}
	for _, by := range []struct {
		name string
		load load.Report
	}{{"ours", times.ours.load}, {peer.FabioName, times.peer.load}} {
		if by.load.Errors() > 0 {
			fmt.Fprintf(o.Progress, "%s, under its changes: %s\n", by.name, by.load)
		}
	}
	for range o.Trials {
		if err := subjects.each(func(s *subject) error { return s.show(ctx, l, &times) }); err != nil {
			return times, err
		}
	}
	return times, nil
}

// member is an instance as each balancer takes it.
func member(id string, server *responder) cluster.Registration {
	return cluster.Registration{ID: id, Service: service, Address: server.address(), Tags: []string{peer.FabioTag, id}, Passing: true}
}

// newcomers are the instances that come and go, one after the other. Each is another one: one that came again within
// half a minute would have its old slot, at the same address, kept for it.
type newcomers struct{ made int }

// each has one do something, and ends it.
func (n *newcomers) each(do func(*subject) error) error {
	n.made++
	s, err := newSubject(fmt.Sprintf("subject-%d", n.made))
	if err != nil {
		return err
	}
	defer s.server.close()
	return do(s)
}

// subject is one of them. It knows when it answered.
type subject struct {
	id     string
	server *responder
	first  chan time.Time // holds the time of the first answer
	last   atomic.Int64   // time of the last answer, in Unix nanoseconds
}

func newSubject(id string) (s *subject, err error) {
	s = &subject{id: id, first: make(chan time.Time, 1)}
	s.server, err = newResponder(func(path string, at time.Time) {
		if path != "/asked" {
			return // a health check
		}
		s.last.Store(at.UnixNano())
		select {
		case s.first <- at:
		default:
		}
	})
	return s, err
}

// quiet is how long nothing comes to an instance that is out of rotation for good.
const quiet = 60 * time.Millisecond

// visit registers the subject and deregisters it, and adds what that took by a balancer.
func (s *subject) visit(ctx context.Context, l *lab, by *rival) error {
	began := time.Now()
	if err := l.Register(ctx, member(s.id, s.server)); err != nil {
		return err
	}
	answered := time.Now()
	select {
	case first := <-s.first:
		by.changes.up.add(first.Sub(began))
		by.changes.upAnswered.add(max(first.Sub(answered), 0))
	case <-time.After(bound):
		return fmt.Errorf("the subject got no request by %s", by.name)
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	began = time.Now()
	if err := l.Deregister(ctx, s.id); err != nil {
		return err
	}
	answered = time.Now()
	if err := wait(ctx, quiet); err != nil { // to ask the controller now would keep it, and this machine, from its work
		return err
	}
	if err := by.await(ctx, func(status cluster.Status) bool { return !slices.Contains(status.Rotation, s.id) }); err != nil {
		return err
	}
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	last := time.Unix(0, s.last.Load())
	by.changes.down.add(max(last.Sub(began), 0))
	by.changes.downAnswered.add(max(last.Sub(answered), 0))
	return nil
}

// show registers the subject and deregisters it, and adds when HAProxy's runtime socket showed that.
func (s *subject) show(ctx context.Context, l *lab, times *propagationTimes) error {
	_, port, err := net.SplitHostPort(s.server.address())
	if err != nil {
		return err
	}
	shown := func(wanted bool, began time.Time, sample *Sample) error {
		err := poll(ctx, 500*time.Microsecond, func() (bool, error) {
			state, err := l.Runtime(ctx, "show servers state bck_http_plain")
			return takes(state, port) == wanted, err
		})
		sample.add(time.Since(began))
		return errors.Join(err, wait(ctx, quiet))
	}
	began := time.Now()
	if err := l.Register(ctx, member(s.id, s.server)); err != nil {
		return err
	}
	if err := shown(true, began, &times.shownUp); err != nil {
		return err
	}
	began = time.Now()
	if err := l.Deregister(ctx, s.id); err != nil {
		return err
	}
	return shown(false, began, &times.shownDown)
}

// takes says whether HAProxy sends traffic to the server at the port.
func takes(state, port string) bool {
	return slices.ContainsFunc(cluster.ReadServers(state), func(s cluster.ServerState) bool {
		return strings.HasSuffix(s.Address, ":"+port) && s.Up && !s.Away
	})
}
