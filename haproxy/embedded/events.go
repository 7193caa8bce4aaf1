package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// Events listens to what HAProxy says of its servers' health, and ends the sessions of those that are down, as
// [haproxy.Event] asks for. It looks at all servers then rather than at what the message says, so that a message that
// is lost, or was sent while nobody listened, only makes it later.
type Events struct {
	path    string
	paths   process.Paths
	runtime socket
	log     zerolog.Logger
	told    func(haproxy.Event)
	connect time.Duration        // the longest that connecting to a server may take
	down    map[string]time.Time // servers found down, since when
}

// Events are those of this data plane. Each is told to the function given, from the goroutine of Run.
func (d *DataPlane) Events(log zerolog.Logger, told func(haproxy.Event)) *Events {
	return &Events{path: d.paths.Events(), paths: d.paths, runtime: d.runtime, log: log, told: told, connect: d.options.ConnectTimeout, down: map[string]time.Time{}}
}

const (
	// cutDelay is how long a server must have been down: whatever was connecting to it has been refused by then, and is
	// being tried elsewhere. Where it is not refused, as by a host that is cut off, connecting ends by its own time-out,
	// which is waited for: HAProxy tries a request elsewhere when that fails, but drops it when it is ended before it was
	// sent.
	cutDelay = 100 * time.Millisecond
	// unreachable is the result of a check of a server to which nobody can connect, in time.
	unreachable = "L4TOUT"
	// cutInterval is the longest time between two looks.
	cutInterval = 5 * time.Second
	cutAgain    = time.Second     // after sessions could not be ended, which is told each time
	cutTimeout  = 2 * time.Second // of a look
)

// Run listens and looks until ctx ends.
func (e *Events) Run(ctx context.Context) error {
	if err := os.Remove(e.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("listening to haproxy: %w", err)
	}
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: e.path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("listening to haproxy: %w", err)
	}
	defer os.Remove(e.path)
	// HAProxy may run as another user. It is the folder that keeps others out.
	if err := os.Chmod(e.path, 0o666); err != nil {
		return fmt.Errorf("listening to haproxy: %w", err)
	}
	messages := make(chan string)
	read := make(chan error, 1)
	go func() { read <- listen(ctx, listener, messages) }()
	defer func() {
		listener.Close()
		<-read
	}()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-read:
			read <- err
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("listening to haproxy: %w", err)
		case message := <-messages:
			if event, ok := haproxy.ParseEvent(message); ok {
				e.told(event)
				next.Reset(0)
			}
		case <-next.C:
			next.Reset(e.look(ctx))
		}
	}
}

// listen hands on what comes until ctx ends or the listener is closed.
func listen(ctx context.Context, listener net.Conn, messages chan<- string) error {
	buffer := make([]byte, 4096)
	for {
		n, err := listener.Read(buffer)
		if err != nil {
			return err
		}
		select {
		case messages <- strings.TrimSpace(string(buffer[:n])):
		case <-ctx.Done():
			return nil
		}
	}
}

// look ends the sessions of servers that have been down for long enough. It returns how long the next look can wait,
// which is not long if this one was cut short: HAProxy may be away, with its sessions, or only busy.
func (e *Events) look(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, cutTimeout)
	defer cancel()
	stats, err := e.runtime.stats(ctx, haproxy.Frontend, haproxy.Backend)
	if err != nil {
		return cutDelay
	}
	down, wait := e.due(stats, time.Now())
	if len(down) == 0 {
		return wait
	}
	busy := slices.DeleteFunc(slices.Clone(down), func(name string) bool { return stats.Servers[name].Sessions == 0 })
	if err := e.runtime.cut(ctx, haproxy.Backend, busy); err != nil {
		e.log.Warn().Err(err).Strs("servers", busy).Msg("requests that wait for servers that are down go on waiting")
		return min(wait, cutAgain)
	}
	if err := e.cutOld(ctx, down); err != nil {
		e.log.Debug().Err(err).Strs("servers", down).Msg("requests in old workers may wait for servers that are down")
		return min(wait, cutAgain)
	}
	e.log.Debug().Strs("servers", busy).Msg("what waited for servers that are down is tried elsewhere")
	return wait
}

// due are the servers that have been down for long enough, and how long the next look can wait.
func (e *Events) due(stats haproxy.Stats, now time.Time) (due []string, wait time.Duration) {
	wait = cutInterval
	for name, server := range stats.Servers {
		if !strings.HasPrefix(server.Status, "DOWN") {
			delete(e.down, name)
			continue
		}
		if _, known := e.down[name]; !known {
			e.down[name] = now
		}
		delay := cutDelay
		if strings.Contains(server.Check, unreachable) {
			delay += 2 * e.connect // the time-out, and as much for a machine that is busy
		}
		switch left := e.down[name].Add(delay).Sub(now); {
		case left <= 0:
			due = append(due, name)
		default:
			wait = min(wait, left)
		}
	}
	slices.Sort(due)
	return due, wait
}
