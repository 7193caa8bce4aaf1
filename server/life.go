package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/server/front"
)

const (
	pingPath          = "/zato/ping"
	pingService       = "zato.ping"
	selfCheckTimeout  = 2 * time.Second
	deregisterTimeout = time.Second
	informedTimeout   = 5 * time.Second
	sendOutTimeout    = time.Second
)

// life is the order in which a server comes and goes. It comes in the order of its fields and leaves the other way
// round, so that at no moment traffic is sent to it that it cannot answer.
type life struct {
	front         *front.Front
	listener      net.Listener
	invocations   net.Listener                // nil: none
	watches       []func(ctx context.Context) // of what the server learns from Consul
	informed      <-chan struct{}             // closed when it has learned what it needs for its first request
	member        *membership
	attend        func(ctx context.Context, alive func(context.Context) error) // tells a service manager; nil: there is none
	drainTimeout  time.Duration
	finishTimeout time.Duration
	log           zerolog.Logger
}

// run returns nil after a stop by ctx. A stop that took longer than it may is logged, not returned: the process ends.
func (l life) run(ctx context.Context) error {
	serving := begin(func() error { return l.front.Serve(l.listener) })
	stopping := context.WithoutCancel(ctx)
	defer l.watch(stopping)()
	private := begin(func() error {
		if l.invocations == nil {
			return nil
		}
		return l.front.ServeInvocations(l.invocations)
	})
	failure := selfCheck(ctx, l.listener.Addr())
	switch {
	case ctx.Err() != nil: // stopped before anybody knew of it
		failure = nil
	case failure == nil:
		unready := l.ready(ctx)
		failure = l.stay(ctx, serving)
		unready()
		if failure == nil {
			l.front.Stopping()
			l.leave(stopping)
		}
	}
	l.front.Stopping()
	l.log.Info().Msg("no longer accepting, finishing what is in flight")
	if err := l.front.Shutdown(l.finishTimeout); err != nil {
		l.log.Warn().Err(err).Msg("left unfinished")
	}
	<-serving.done
	<-private.done
	l.deregister(stopping)
	return errors.Join(failure, private.err)
}

// ready tells a service manager that the server serves, and that it goes on to, until the function returned is called.
func (l life) ready(ctx context.Context) (unready func()) {
	if l.attend == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	attending := begin(func() error {
		l.attend(ctx, func(ctx context.Context) error {
			_, err := program.AskSelf(ctx, l.listener.Addr(), pingPath)
			return err
		})
		return nil
	})
	return func() { cancel(); <-attending.done }
}

// watch begins to learn from Consul. The function returned ends that.
func (l life) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching []*task
	for _, watch := range l.watches {
		watching = append(watching, begin(func() error { watch(ctx); return nil }))
	}
	return func() {
		cancel()
		for _, t := range watching {
			<-t.done
		}
	}
}

// join waits for what the server needs to know before traffic comes, but not for ever, and joins the cluster.
func (l life) join(ctx context.Context) error {
	select {
	case <-l.informed:
	case <-ctx.Done():
	case <-time.After(informedTimeout):
		l.log.Warn().Msg("Consul has not said yet which channels there are; joining without them")
	}
	return l.member.join(ctx)
}

// stay keeps the server in the cluster until ctx ends, and returns nil then; or until it fails.
func (l life) stay(ctx context.Context, serving *task) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	joining := begin(func() error { return l.join(ctx) })
	select {
	case <-ctx.Done():
	case <-joining.done:
	case <-serving.done:
		stop()
		<-joining.done
		return serving.err
	}
	<-joining.done
	return joining.err
}

// task is a function that runs in a goroutine of its own until done is closed; only then err may be read.
type task struct {
	done chan struct{}
	err  error
}

func begin(run func() error) *task {
	t := &task{done: make(chan struct{})}
	go func() {
		defer close(t.done)
		t.err = run()
	}()
	return t
}

func (l life) leave(ctx context.Context) {
	if l.drainTimeout == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.drainTimeout)
	defer cancel()
	start := time.Now()
	if err := l.member.leave(ctx); err != nil {
		l.log.Warn().Err(err).Dur("after_ms", time.Since(start)).Msg("leaving without being drained")
		return
	}
	l.log.Info().Dur("after_ms", time.Since(start)).Msg("drained by the load balancer")
}

func (l life) deregister(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, deregisterTimeout)
	defer cancel()
	if err := l.member.deregister(ctx); err != nil {
		l.log.Warn().Err(err).Msg("still registered; Consul's check will find this server gone")
	}
}

// selfCheck asks the server what Consul will ask it, before anybody is told of it.
func selfCheck(ctx context.Context, listening net.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, selfCheckTimeout)
	defer cancel()
	status, err := program.AskSelf(ctx, listening, pingPath)
	if err != nil {
		return fmt.Errorf("self-check: %w", err)
	}
	if status != http.StatusOK && status != http.StatusServiceUnavailable { // an application may start later
		return fmt.Errorf("self-check: http://%s%s answers %d %s, want 200: does another program answer at this address?",
			program.Reachable(listening), pingPath, status, http.StatusText(status))
	}
	return nil
}
