package faults

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

// killServer kills one, and starts it again when the others have carried on for so long.
func killServer(missed time.Duration) fault {
	return func(ctx context.Context, p *play) error {
		i := p.Number % servers
		p.Servers[i].Kill()
		if err := p.timed(ctx, "out of rotation", 0, inRotation(servers-1)); err != nil {
			return err
		}
		if err := pause.For(ctx, missed); err != nil {
			return err
		}
		if err := p.StartServer(i); err != nil {
			return err
		}
		return p.timed(ctx, "started and back in rotation", 0, inRotation(servers))
	}
}

func pauseServer(d time.Duration) fault {
	return func(ctx context.Context, p *play) error {
		server := p.Servers[p.Number%servers]
		server.Signal(syscall.SIGSTOP)
		defer server.Signal(syscall.SIGCONT)
		until := time.Now().Add(d)
		if err := p.timed(ctx, "out of rotation", time.Second, inRotation(servers-1)); err != nil {
			return err
		}
		if err := pause.For(ctx, time.Until(until)); err != nil {
			return err
		}
		server.Signal(syscall.SIGCONT)
		return p.timed(ctx, "back in rotation", 1500*time.Millisecond, inRotation(servers))
	}
}

// restartServers asks each server to stop, as an upgrade does.
func restartServers(ctx context.Context, p *play) error {
	for i, server := range p.Servers {
		began := time.Now()
		stopCtx, cancel := context.WithTimeout(ctx, bound)
		err := server.StopClean(stopCtx)
		cancel()
		if err != nil {
			return err
		}
		p.Measure("stopped", time.Since(began), 0)
		if err := p.StartServer(i); err != nil {
			return err
		}
		if err := p.timed(ctx, "started and back in rotation", 0, inRotation(servers)); err != nil {
			return err
		}
	}
	return nil
}

// killUpstream kills one of those that record, and holds against the record what the clients saw.
func killUpstream(ctx context.Context, p *play) error {
	i := p.Number % servers
	slot, err := p.slotOf(ctx, fmt.Sprintf("upstream-%d", i+1))
	if err != nil {
		return err
	}
	killed := time.Now()
	p.upstreams.processes[i].Kill()
	gone := time.Now()
	if err := p.timed(ctx, "out of rotation", 0, inRotation(servers-1)); err != nil {
		return err
	}
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	report := p.running.Stop()
	stats, err := p.Runtime(ctx, "show stat")
	if err != nil {
		return err
	}
	if p.allowed, err = mostAtOnce(stats, slot); err != nil {
		return err
	}
	p.allowed += within(report.Failed, killed.Add(-travel), gone)
	executed, err := p.upstreams.executions()
	if err != nil {
		return err
	}
	twice := 0
	for _, n := range executed {
		if n > 1 {
			twice++
		}
	}
	if twice > 0 {
		p.Fail("%d requests were executed more than once", twice)
	}
	if answered := report.Requests - report.Errors(); len(executed) < answered {
		p.Fail("%d requests were answered but only %d executed: the record is not whole", answered, len(executed))
	}
	if err := p.upstreams.start(i); err != nil {
		return err
	}
	if err := p.timed(ctx, "started and back in rotation", 0, inRotation(servers)); err != nil {
		return err
	}
	_, err = p.Runtime(ctx, "clear counters all")
	return err
}

func (p *play) slotOf(ctx context.Context, instance string) (string, error) {
	status, err := p.Status(ctx)
	if err != nil {
		return "", err
	}
	for _, slot := range status.Slots {
		if slot.Instance == instance {
			return slot.Slot, nil
		}
	}
	return "", fmt.Errorf("%s sits in no slot", instance)
}

// travel is how long a request may take to a server, on a busy machine.
const travel = 2 * time.Millisecond

// within is how many requests were begun while a server died: it takes the kernel some milliseconds to close its
// connections, one by one, and a request that comes to one of the last is in flight there too, after others have failed.
func within(begun []time.Time, from, to time.Time) (n int) {
	for _, at := range begun {
		if !at.Before(from) && !at.After(to) {
			n++
		}
	}
	return n
}

// mostAtOnce is how many requests a server has had in flight at once at most, by HAProxy's own count.
func mostAtOnce(stats, slot string) (int, error) {
	rows, err := cluster.StatColumns(stats, "svname", "smax")
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if row[0] == slot {
			return strconv.Atoi(row[1])
		}
	}
	return 0, fmt.Errorf("haproxy's show stat knows no %s", slot)
}
