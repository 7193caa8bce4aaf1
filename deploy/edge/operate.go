package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"zatoha/haproxy"
)

// view is what one outer load balancer said.
type view struct {
	balancer
	endpoints []endpoint
}

// lookAt asks all of them. Unless all answer it fails: of one that does not, nobody knows what it sends where.
func lookAt(ctx context.Context, sockets []string) ([]view, error) {
	var views []view
	var failures []error
	for _, socket := range sockets {
		v := view{balancer: balancer{socket}}
		var err error
		v.endpoints, err = v.look(ctx)
		views, failures = append(views, v), append(failures, err)
	}
	return views, errors.Join(failures...)
}

// of is one cluster.
func (v view) of(cluster string) (endpoint, bool) {
	i := slices.IndexFunc(v.endpoints, func(e endpoint) bool { return e.cluster == cluster })
	if i < 0 {
		return endpoint{}, false
	}
	return v.endpoints[i], true
}

// known refuses a cluster that one of them does not have.
func known(views []view, cluster string) error {
	for _, v := range views {
		if _, there := v.of(cluster); there {
			continue
		}
		var names []string
		for _, e := range v.endpoints {
			names = append(names, e.cluster)
		}
		return fmt.Errorf("the outer load balancer at %s has no cluster %q; it has %s", v.socket, cluster, strings.Join(names, ", "))
	}
	return nil
}

// last refuses to take away the last cluster that one of them can send to.
func last(views []view, cluster string) error {
	for _, v := range views {
		if !slices.ContainsFunc(v.endpoints, func(e endpoint) bool { return e.cluster != cluster && e.takes() }) {
			return fmt.Errorf("no other cluster takes requests at %s: nothing was changed; bring another back first, or say --force", v.socket)
		}
	}
	return nil
}

// sessions are those of a cluster at all of them.
func sessions(views []view, cluster string) (n int) {
	for _, v := range views {
		e, _ := v.of(cluster)
		n += e.sessions
	}
	return n
}

// tellAll gives a command about a cluster, which stands for the %s.
func tellAll(ctx context.Context, views []view, cluster, command string) error {
	for _, v := range views {
		if err := v.tell(ctx, fmt.Sprintf(command, haproxy.EdgeBackend+"/"+cluster)); err != nil {
			return err
		}
	}
	return nil
}

const (
	lookInterval = 100 * time.Millisecond
	sayInterval  = time.Second
	// settled is how long nothing new must have been sent before no session is believed to be the last one.
	settled = time.Second
)

// until looks at all of them until done, whose text says how far it is. It says that at most once a second.
func until(ctx context.Context, out io.Writer, sockets []string, done func(context.Context, []view) (bool, string, error)) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	said, saidAt := "", time.Time{}
	for {
		look := context.WithoutCancel(ctx) // one that was begun tells how far it is
		views, err := lookAt(look, sockets)
		if err != nil {
			return err
		}
		over, text, err := done(look, views)
		if over || err != nil {
			return err
		}
		if text != said && time.Since(saidAt) >= sayInterval {
			fmt.Fprintln(out, text)
			said, saidAt = text, time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", text, ctx.Err())
		case <-tick.C:
		}
	}
}

type drainCommand struct {
	Cluster string        `arg:"" help:"Name of the cluster."`
	Timeout time.Duration `default:"5m" help:"Longest time to wait for its sessions to end. WebSockets may last much longer."`
	Cut     bool          `help:"End the sessions that are left then."`
	Force   bool          `help:"Do it even if no other cluster takes requests."`
}

// Run drains the cluster.
func (d *drainCommand) Run(ctx context.Context, g *grammar) error {
	return d.drain(ctx, os.Stdout, g.Sockets, g.masters(ctx, debianMaster)...)
}

func (d *drainCommand) drain(ctx context.Context, out io.Writer, sockets []string, masters ...string) error {
	views, err := lookAt(ctx, sockets)
	if err != nil {
		return fmt.Errorf("nothing was changed: %w: if that one is down, leave it out of --sockets", err)
	}
	if err := known(views, d.Cluster); err != nil {
		return err
	}
	if err := last(views, d.Cluster); err != nil && !d.Force {
		return err
	}
	workers, err := lookAtReplaced(ctx, masters)
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	sayUnseen(out, sockets, masters)
	began := time.Now()
	if err := tellAll(ctx, views, d.Cluster, "set server %s state drain"); err != nil {
		return fmt.Errorf("draining %s: %w: it may be drained at some: see edge status", d.Cluster, err)
	}
	old, _ := remains(workers, d.Cluster)
	fmt.Fprintf(out, "%s gets nothing new; waiting for %d sessions to end\n", d.Cluster, sessions(views, d.Cluster)+old)
	wait := wait{drainCommand: *d, sockets: sockets, masters: masters, began: began}
	err = wait.run(ctx, out)
	if errors.Is(err, context.DeadlineExceeded) && d.Cut {
		err = wait.cut(ctx, out, views)
	}
	if err != nil {
		return fmt.Errorf("%s is not drained: %w: wait on by the same command, end its sessions by --cut, or take it back by edge ready %s", d.Cluster, err, d.Cluster)
	}
	fmt.Fprintf(out, "%s is drained: no session is left after %s\n", d.Cluster, time.Since(began).Round(lookInterval))
	return nil
}

// wait is that for the last session of a cluster.
type wait struct {
	drainCommand
	sockets, masters []string
	began            time.Time // when the cluster was drained
	ending           bool      // its sessions have been ended: nobody else is waited for
}

// run ends when the cluster has been without a session at two looks, a moment after it was drained, and no worker that a
// reload has replaced can send to it.
func (w *wait) run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	none := 0
	return until(ctx, out, w.sockets, func(ctx context.Context, views []view) (bool, string, error) {
		workers, err := lookAtReplaced(ctx, w.masters)
		n, sending := remains(workers, w.Cluster)
		n += sessions(views, w.Cluster)
		text := fmt.Sprintf("%s: %d sessions are left", w.Cluster, n)
		if len(sending) > 0 {
			text += "; " + mayCome(sending)
		}
		none++
		if n > 0 || len(sending) > 0 && !w.ending {
			none = 0
		}
		return none >= 2 && time.Since(w.began) >= settled, text, err
	})
}

// cut ends the sessions that are left, and says who may yet bring others.
func (w *wait) cut(ctx context.Context, out io.Writer, views []view) error {
	fmt.Fprintf(out, "ending what is left of %s\n", w.Cluster)
	err := tellAll(ctx, views, w.Cluster, "shutdown sessions server %s")
	if err == nil {
		err = endReplaced(ctx, w.masters, w.Cluster)
	}
	workers, lookErr := lookAtReplaced(ctx, w.masters)
	if err := errors.Join(err, lookErr); err != nil {
		return err
	}
	if _, sending := remains(workers, w.Cluster); len(sending) > 0 {
		fmt.Fprintln(out, mayCome(sending))
	}
	w.ending, w.Timeout = true, askTimeout
	return w.run(ctx, out)
}

type readyCommand struct {
	Cluster string        `arg:"" help:"Name of the cluster."`
	Timeout time.Duration `default:"30s" help:"Longest time to wait until it takes requests."`
}

// Run brings the cluster back.
func (r *readyCommand) Run(ctx context.Context, g *grammar) error {
	return r.ready(ctx, os.Stdout, g.Sockets)
}

func (r *readyCommand) ready(ctx context.Context, out io.Writer, sockets []string) error {
	views, err := lookAt(ctx, sockets)
	if err != nil {
		return fmt.Errorf("nothing was changed: %w: if that one is down, leave it out of --sockets", err)
	}
	if err := known(views, r.Cluster); err != nil {
		return err
	}
	if err := tellAll(ctx, views, r.Cluster, "set server %s state ready"); err != nil {
		return fmt.Errorf("bringing %s back: %w: it may be back at some: see edge status", r.Cluster, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	if err := until(ctx, out, sockets, func(_ context.Context, views []view) (bool, string, error) {
		takes, text := taking(views, r.Cluster)
		return takes, text, nil
	}); err != nil {
		return fmt.Errorf("%s takes no requests yet: %w: it will as soon as it answers its checks", r.Cluster, err)
	}
	fmt.Fprintf(out, "%s takes requests\n", r.Cluster)
	return nil
}

// taking says whether each of them can send to a cluster, and where it cannot.
func taking(views []view, cluster string) (bool, string) {
	for _, v := range views {
		if e, _ := v.of(cluster); !e.takes() {
			return false, fmt.Sprintf("it is %s at %s (%s)", e.status, v.socket, e.check)
		}
	}
	return true, ""
}

type statusCommand struct{}

// Run prints what all outer load balancers see.
func (statusCommand) Run(ctx context.Context, g *grammar) error {
	return status(ctx, os.Stdout, g.Sockets, g.masters(ctx, debianMaster)...)
}

func status(ctx context.Context, out io.Writer, sockets []string, masters ...string) error {
	views, err := lookAt(ctx, sockets)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "OUTER LOAD BALANCER\tCLUSTER\tSTATE\tSESSIONS\tREQUESTS\tLAST CHECK")
	failures := []error{err}
	for _, v := range views {
		for _, e := range v.endpoints {
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\n", v.socket, e.cluster, e.state(), e.sessions, e.requests, e.check)
			if !e.takes() {
				failures = append(failures, fmt.Errorf("%s takes no requests at %s", e.cluster, v.socket))
			}
		}
	}
	workers, err := lookAtReplaced(ctx, masters)
	for _, worker := range workers {
		for _, e := range worker.endpoints {
			fmt.Fprintf(table, "%s, old worker %d\t%s\treplaced by a reload\t%d\t%d\t\n", worker.socket, worker.pid, e.cluster, e.sessions, e.requests)
		}
	}
	failures = append(failures, err, table.Flush())
	sayUnseen(out, sockets, masters)
	return errors.Join(failures...)
}

// state is HAProxy's word, and what an operator wants of it.
func (e endpoint) state() string {
	if e.draining && !strings.HasPrefix(e.status, "DRAIN") {
		return e.status + ", drained"
	}
	return e.status
}
