package faults

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"zatoha/bench/pause"
	"zatoha/bench/slow"
	"zatoha/deploy/cluster"
)

// attack begins to be slow at an address, and returns when all connections are made. Stop ends it, and tells how many
// there were; that it had ended before is an error.
type attack func(ctx context.Context, p *play, address string) (stop func() (slow.Counts, error), err error)

const slowOpenings = 1000 // connections a second

// ownAttack is by clients of our own, which cost next to no processor time. It lets them grow so old, for those to be
// watched that are thrown out and come again.
func ownAttack(kind slow.Kind, n int, age time.Duration) attack {
	return func(ctx context.Context, _ *play, address string) (func() (slow.Counts, error), error) {
		a, err := slow.Start(ctx, slow.Options{Addr: address, Kind: kind, Connections: n, PerSecond: slowOpenings})
		if err != nil {
			return nil, err
		}
		fullCtx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		if err := errors.Join(a.Await(fullCtx), pause.For(ctx, age)); err != nil {
			a.Stop()
			return nil, err
		}
		return func() (slow.Counts, error) { return a.Stop(), nil }, nil
	}
}

// slowToolArgs are slowhttptest's for each kind.
var slowToolArgs = map[string][]string{
	slow.Headers.String(): {"-H", "-i", "2", "-x", "24"},
	slow.Bodies.String():  {"-B", "-i", "2", "-x", "10", "-s", "8192"},
	slow.Readers.String(): {"-X", "-k", "3", "-n", "5", "-w", "256", "-y", "512", "-z", "32"},
}

// toolAttack is by slowhttptest. It keeps a good part of a processor busy as long as it has connections; that is what
// the control is for.
func toolAttack(binary string, kind slow.Kind, n int) attack {
	return func(ctx context.Context, p *play, address string) (func() (slow.Counts, error), error) {
		// It may open as many files as we are allowed to, not as many as we were.
		args := []string{"-c", `ulimit -n "$(ulimit -Hn)" && exec "$0" "$@"`, binary}
		args = append(args, "-c", strconv.Itoa(n), "-r", strconv.Itoa(slowOpenings), "-l", "600", "-u", "http://"+address+ping)
		tool, err := p.Launch("slowhttptest", "/bin/sh", append(args, slowToolArgs[kind.String()]...)...)
		if err != nil {
			return nil, err
		}
		if err := p.underWay(ctx, tool, address, n); err != nil {
			tool.Kill()
			return nil, err
		}
		return func() (slow.Counts, error) {
			defer tool.Kill()
			return p.lasted(ctx, tool, address)
		}, nil
	}
}

// lasted tells how many connections an attack by the tool had to its end, as far as our front tells; of another one that
// is not known.
func (p *play) lasted(ctx context.Context, tool *cluster.Process, address string) (counts slow.Counts, err error) {
	if address == p.Front {
		counts.Open, err = p.connections(ctx)
	}
	return counts, errors.Join(err, goesOn(tool))
}

// goesOn is an error if the tool has ended: without it there is no attack.
func goesOn(tool *cluster.Process) error {
	if tool.HasEnded() {
		return fmt.Errorf("%s has ended by itself (%s): %s", tool.Name, tool.Ended(), tool.LogTail())
	}
	return nil
}

// underWay waits until all connections of the tool are made. Our front tells nearly all of them; of another one that is
// not known.
func (p *play) underWay(ctx context.Context, tool *cluster.Process, address string, n int) error {
	made := time.Duration(n)*time.Second/slowOpenings + time.Second
	if err := pause.For(ctx, made); err != nil {
		return err
	}
	if address != p.Front {
		return goesOn(tool)
	}
	return pause.Within(ctx, made, 100*time.Millisecond, func(ctx context.Context) error {
		open, err := p.connections(ctx)
		if err == nil && open < n*9/10 {
			err = fmt.Errorf("haproxy has %d connections, not the %d of the attack", open, n)
		}
		return errors.Join(goesOn(tool), err)
	})
}

var currentConnections = regexp.MustCompile(`(?m)^CurrConns: (\d+)$`)

// connections are those that our HAProxy has with clients now.
func (p *play) connections(ctx context.Context) (int, error) {
	info, err := p.Runtime(ctx, "show info")
	if err != nil {
		return 0, err
	}
	found := currentConnections.FindStringSubmatch(info)
	if found == nil {
		return 0, fmt.Errorf("haproxy's show info: %.200q has no CurrConns", info)
	}
	return strconv.Atoi(found[1])
}
