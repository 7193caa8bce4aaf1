package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

// killController kills it, and starts another that has to adopt HAProxy as it runs.
func killController(ctx context.Context, p *play) error {
	before, err := p.Status(ctx)
	if err != nil {
		return err
	}
	p.LB.Kill()
	if err := pause.For(ctx, time.Second); err != nil {
		return err
	}
	if err := p.StartLB(); err != nil {
		return err
	}
	inStep := func(s cluster.Status) bool { return len(s.Rotation) == servers && s.HAProxy.Worker != 0 }
	if err := p.timed(ctx, "started and in step", 0, inStep); err != nil {
		return err
	}
	after, err := p.Status(ctx)
	if err == nil && (after.HAProxy.Worker != before.HAProxy.Worker || !after.HAProxy.Adopted) {
		p.Fail("haproxy was not adopted as it ran: worker %d, then %d", before.HAProxy.Worker, after.HAProxy.Worker)
	}
	return err
}

// killHAProxy kills master and worker, asks for answers until there is one, and wants no error from then on.
func killHAProxy(ctx context.Context, p *play) error {
	status, err := p.Status(ctx)
	if err != nil {
		return err
	}
	for _, pid := range []int{status.HAProxy.Master, status.HAProxy.Worker} {
		if pid <= 1 {
			return fmt.Errorf("the status page names no process of haproxy's: %+v", status.HAProxy)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill haproxy, %d: %w", pid, err)
		}
	}
	killed := time.Now()
	if err := serving(ctx, "http://"+p.Front+ping); err != nil {
		return err
	}
	p.Measure("serving again", time.Since(killed), time.Second)
	ctx, cancel := context.WithTimeout(ctx, 2*settling)
	defer cancel()
	p.Load, err = load.Run(ctx, load.Options{Addr: p.Front, Connections: 32, Rate: 1000, Templates: mixed})
	return err
}

// serving asks on a new connection each time, until the answer is 200.
func serving(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		if pause.For(ctx, 2*time.Millisecond) != nil {
			return fmt.Errorf("%s does not answer again: %w", url, err)
		}
	}
}

// killConsul lets it be away for so long; it comes back knowing nothing.
func killConsul(d time.Duration) fault {
	return func(ctx context.Context, p *play) error {
		p.Consul.Kill()
		p.obstacles.shut()
		if err := p.holding(ctx, d, servers); err != nil {
			return err
		}
		startCtx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		if err := errors.Join(p.StartConsul(startCtx), p.obstacles.open()); err != nil {
			return err
		}
		// The servers register again one after the other, and the guard lets a minority of them go meanwhile.
		if err := p.holding(ctx, time.Second, 1); err != nil {
			return err
		}
		return p.following(ctx)
	}
}

// obstruct puts something between the load balancer and Consul for so long.
func obstruct(d time.Duration, put func(*obstacles) error, remove func(context.Context, *obstacles) error) fault {
	return func(ctx context.Context, p *play) error {
		if err := put(p.obstacles); err != nil {
			return err
		}
		err := p.holding(ctx, d, servers)
		if err := errors.Join(err, remove(ctx, p.obstacles)); err != nil {
			return err
		}
		return p.following(ctx)
	}
}

// holding watches for so long that no fewer servers than that take traffic.
func (p *play) holding(ctx context.Context, d time.Duration, least int) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	fewest := least
	for {
		status, err := p.Status(ctx)
		switch {
		case ctx.Err() == context.DeadlineExceeded:
			return nil
		case err != nil:
			return err
		case len(status.Rotation) < fewest:
			fewest = len(status.Rotation)
			p.Fail("only %d servers are left: %s", fewest, status.Summary)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// following makes a change, to see whether the load balancer follows Consul again.
func (p *play) following(ctx context.Context) error {
	if err := p.timed(ctx, "all well", 0, func(s cluster.Status) bool {
		return s.Consul.Reachable && len(s.Held) == 0 && len(s.Rotation) == servers
	}); err != nil {
		return err
	}
	g := p.guests(1)
	began := time.Now()
	if err := g.toggle(ctx, 0); err != nil {
		return err
	}
	p.Measure("following again", time.Since(began), 0)
	return g.close(ctx)
}
