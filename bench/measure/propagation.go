package measure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/report"
	"zatoha/deploy/cluster"
)

// propagationLoad is in requests per second.
const propagationLoad = 5000

// Propagation measures how long after a change in Consul clients notice it, with 3 and with 100 servers.
func Propagation(ctx context.Context, o Options) (Outcome, error) {
	page := report.New("Propagation", o.Circumstances)
	page.Paragraph(fmt.Sprintf("One instance is registered (without a check, which counts as passing) and deregistered again, under "+
		"a load of %d requests a second over 8 connections. Times begin when the change is sent to Consul, so Consul's own "+
		"write is in them; the rows \"since Consul has answered\" are without it. They end when the instance has answered its "+
		"first, or last, request that came through the front. \"Answered to a bare blocking query\" is when Consul, under the same "+
		"load, has told a client of the change that does nothing but ask, beside the controller, which asks too: it shows what "+
		"of a time is Consul's and the machine's. \"Shown by HAProxy\" is when its runtime socket tells of the change, without "+
		"load. The servers are stand-ins that cost next to nothing.", propagationLoad))
	var all []target
	chart := report.Chart{Title: "Since the change was sent to Consul", X: report.Axis{Label: "ms", Log: true}, Y: report.Axis{Label: "share of changes"}}
	for _, servers := range []int{3, 100} {
		times, err := o.propagation(ctx, servers)
		if err != nil {
			return Outcome{}, fmt.Errorf("%d servers: %w", servers, err)
		}
		name := func(what string) string { return fmt.Sprintf("%s, %d servers", what, servers) }
		all = append(
			all, target{name("registration → first response"), times.up, 4, 20},
			target{name("the same since Consul has answered"), times.upAnswered, 0, 0},
			target{name("registration → answered to a bare blocking query"), times.bareUp, 0, 0},
			target{name("registration → shown by HAProxy"), times.shownUp, 0, 0},
			target{name("deregistration → last response"), times.down, 3, 9},
			target{name("the same since Consul has answered"), times.downAnswered, 0, 0},
			target{name("deregistration → answered to a bare blocking query"), times.bareDown, 0, 0},
			target{name("deregistration → shown by HAProxy"), times.shownDown, 0, 0},
		)
		chart.Series = append(chart.Series, cumulative(name("up"), times.up), cumulative(name("down"), times.down))
		fmt.Fprintf(o.Progress, "%d servers: registration → first response: %s\n", servers, times.up)
		fmt.Fprintf(o.Progress, "%d servers: deregistration → last response: %s\n", servers, times.down)
		fmt.Fprintf(o.Progress, "%d servers: answered to a bare blocking query: up %s; down %s\n", servers, times.bareUp, times.bareDown)
		fmt.Fprintf(o.Progress, "%d servers: shown by HAProxy: up %s; down %s\n", servers, times.shownUp, times.shownDown)
	}
	passed, summary := targets(page, all)
	page.Plot(chart)
	page.Paragraph("Peers, measured before on the same kind of machine with three servers (up median/p99, down): fabio 7/33 and 3/9 ms, " +
		"consul-template with reload 164/181 ms, Traefik with watch 141-171/384-1339 ms, HAProxy's DNS server-template 1486/1986 ms, " +
		"the Data Plane API's own discovery 1077/1995 ms.")
	return Outcome{page, passed, summary}, nil
}

func cumulative(name string, s Sample) report.Series {
	return report.Cumulative(name, slices.Sorted(slices.Values(s)))
}

// propagationTimes are those of one size.
type propagationTimes struct {
	up, upAnswered, down, downAnswered, bareUp, bareDown, shownUp, shownDown Sample
}

func (o Options) propagation(ctx context.Context, servers int) (times propagationTimes, err error) {
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
		r := cluster.Registration{ID: fmt.Sprintf("host-%d", i+1), Service: service, Address: server.address()}
		if err := l.Register(ctx, r); err != nil {
			return times, err
		}
	}
	if err := l.await(ctx, func(s cluster.Status) bool { return len(s.Rotation) == servers }); err != nil {
		return times, err
	}
	subject, err := newSubject()
	if err != nil {
		return times, err
	}
	defer subject.server.close()
	running, err := load.Start(ctx, load.Options{
		Addr: l.Front, Connections: 8, Rate: propagationLoad, Templates: []load.Template{load.Get("/asked")},
	})
	if err != nil {
		return times, err
	}
	defer running.Stop()
	if err := wait(ctx, time.Second); err != nil { // for all to be warm
		return times, err
	}
	for range o.Trials {
		if err := subject.visit(ctx, l, &times); err != nil {
			return times, err
		}
	}
	if err := subject.bare(ctx, l, o.Trials, &times); err != nil {
		return times, err
	}
	if report := running.Stop(); report.Errors() > 0 {
		fmt.Fprintf(o.Progress, "under %d changes: %s\n", 4*o.Trials, report)
	}
	for range o.Trials {
		if err := subject.show(ctx, l, &times); err != nil {
			return times, err
		}
	}
	return times, nil
}

// subject is the instance that comes and goes. It knows when it answered.
type subject struct {
	server *responder
	first  chan time.Time // holds the time of the first answer since it was emptied
	last   atomic.Int64   // time of the last answer, in Unix nanoseconds
}

func newSubject() (s *subject, err error) {
	s = &subject{first: make(chan time.Time, 1)}
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

// visit registers the subject and deregisters it, and adds what that took.
func (s *subject) visit(ctx context.Context, l *lab, times *propagationTimes) error {
	select {
	case <-s.first:
	default:
	}
	began := time.Now()
	if err := l.Register(ctx, cluster.Registration{ID: "subject", Service: service, Address: s.server.address()}); err != nil {
		return err
	}
	answered := time.Now()
	select {
	case first := <-s.first:
		times.up.add(first.Sub(began))
		times.upAnswered.add(max(first.Sub(answered), 0))
	case <-time.After(bound):
		return errors.New("the subject got no request")
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	began = time.Now()
	if err := l.Deregister(ctx, "subject"); err != nil {
		return err
	}
	answered = time.Now()
	if err := wait(ctx, quiet); err != nil { // to ask the controller now would keep it, and this machine, from its work
		return err
	}
	if err := l.await(ctx, func(status cluster.Status) bool { return !slices.Contains(status.Rotation, "subject") }); err != nil {
		return err
	}
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	last := time.Unix(0, s.last.Load())
	times.down.add(max(last.Sub(began), 0))
	times.downAnswered.add(max(last.Sub(answered), 0))
	return nil
}

// show registers the subject and deregisters it, and adds when HAProxy's runtime socket showed that.
func (s *subject) show(ctx context.Context, l *lab, times *propagationTimes) error {
	address := s.server.address()
	_, port, err := net.SplitHostPort(address)
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
	if err := l.Register(ctx, cluster.Registration{ID: "subject", Service: service, Address: address}); err != nil {
		return err
	}
	if err := shown(true, began, &times.shownUp); err != nil {
		return err
	}
	began = time.Now()
	if err := l.Deregister(ctx, "subject"); err != nil {
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
