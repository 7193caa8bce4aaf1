package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Attend tells the service manager, if one wants to know, that the program is ready, and from then on that it is alive,
// until ctx ends. It is systemd's protocol: a unit of Type=notify, with WatchdogSec.
//
// alive is to find out by asking the part without which the program is of no use, in a way that this part itself has to
// answer: a program that hangs must not be kept alive by a timer that does not. It is asked three times in the time that
// the manager grants. What it says is wrong is logged, and nothing is sent: at the end of that time the manager ends the
// program and starts it again.
func Attend(ctx context.Context, log zerolog.Logger, alive func(context.Context) error) {
	manager, err := findManager(os.Getenv, os.Getpid())
	if err == nil {
		err = manager.attend(ctx, log, alive)
	}
	if err != nil {
		log.Error().Err(err).Msg("the service manager cannot be told how this program does, and may end it")
	}
}

// Turning runs a loop to its end, and tells the service manager of it as [Attend] does: ready when it has turned for the
// first time, and alive as long as it has turned again between two questions. The loop calls turned behind each round,
// from one goroutine, and at least once in a third of what the unit's WatchdogSec grants. The error is the loop's.
func Turning(ctx context.Context, log zerolog.Logger, loop func(ctx context.Context, turned func()) error) error {
	ctx, cancel := context.WithCancel(ctx)
	first, attended := make(chan struct{}), make(chan struct{})
	var rounds atomic.Uint64
	go func() {
		defer close(attended)
		select {
		case <-first:
			Attend(ctx, log, again(&rounds))
		case <-ctx.Done():
		}
	}()
	err := loop(ctx, func() {
		if rounds.Add(1) == 1 {
			close(first)
		}
	})
	cancel()
	<-attended
	return err
}

// again says whether there are more rounds than when it was asked before.
func again(rounds *atomic.Uint64) func(context.Context) error {
	before := uint64(0)
	return func(context.Context) error {
		now := rounds.Load()
		if now == before {
			return errors.New("the loop has not turned since it was asked before")
		}
		before = now
		return nil
	}
}

// serviceManager is where to tell how the program does; nobody, if there is no socket.
type serviceManager struct {
	socket string
	within time.Duration // in which it wants a sign of life; 0 for never
}

func findManager(env func(string) string, pid int) (m serviceManager, err error) {
	m.socket = env("NOTIFY_SOCKET")
	if m.socket == "" {
		return m, nil
	}
	if m.socket[0] != '/' && m.socket[0] != '@' {
		return m, BadConfig("NOTIFY_SOCKET", fmt.Sprintf("%q is neither a path nor an abstract address", m.socket), "unset it, or let systemd set it")
	}
	wanted := env("WATCHDOG_USEC")
	if wanted == "" || env("WATCHDOG_PID") != "" && env("WATCHDOG_PID") != strconv.Itoa(pid) {
		return m, nil
	}
	microseconds, err := strconv.ParseInt(wanted, 10, 64)
	if err != nil || microseconds <= 0 {
		return m, BadConfig("WATCHDOG_USEC", fmt.Sprintf("%q is no number of microseconds", wanted), "unset it, or let systemd set it")
	}
	m.within = time.Duration(microseconds) * time.Microsecond
	return m, nil
}

func (m serviceManager) attend(ctx context.Context, log zerolog.Logger, alive func(context.Context) error) error {
	if m.socket == "" {
		return nil
	}
	if err := m.tell("READY=1"); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer func() { _ = m.tell("STOPPING=1") }() // it sees the end anyway
	if m.within == 0 {
		<-ctx.Done()
		return nil
	}
	well := true
	ticker := time.NewTicker(m.within / 3)
	defer ticker.Stop()
	for {
		err := m.ask(ctx, alive)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			err = m.tell("WATCHDOG=1")
		}
		if (err == nil) != well {
			well = err == nil
			log.Warn().Err(err).Bool("well", well).Msg("the service manager's watchdog is told by this program whether it is well")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (m serviceManager) ask(ctx context.Context, alive func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.within/3)
	defer cancel()
	return alive(ctx)
}

func (m serviceManager) tell(what string) error {
	connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte(what))
	return err
}
