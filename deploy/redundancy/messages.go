package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"zatoha/bench/history"
	"zatoha/connectorhost/zmtp"
	"zatoha/deploy/fleet"
)

// feed sends numbered messages to connectors at a steady rate, from the client's host, each by a PUSH of its own to which
// the connector connects. It keeps in mind which ones a connector has taken.
type feed struct {
	names   []string
	sockets []*zmtp.Socket
	senders sync.WaitGroup
	stop    context.CancelFunc

	mu    sync.Mutex
	taken map[string]time.Time // by message
}

const (
	connectors = 3
	firstPort  = 5500
	rate       = 100 // messages a second, of each connector
	patience   = 200 * time.Millisecond
)

// connect defines connectors, begins to send to them, and waits until each gets something.
func (s *stage) connect(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.feed = &feed{stop: stop, taken: map[string]time.Time{}}
	for i := range connectors {
		name, address := fmt.Sprintf("c-%d", i+1), fmt.Sprintf("tcp://%s:%d", s.Client.Address, firstPort+i)
		if err := s.Nodes[0].Put(ctx, "zato/main/connectors/"+name, map[string]any{
			"name": name, "kind": "zmq", "role": "channel", "service": "record", "socket_type": "PULL", "socket_method": "connect", "address": address,
		}); err != nil {
			return err
		}
		var socket *zmtp.Socket
		if err := s.Client.Do(func() (err error) {
			socket, err = zmtp.Open(zmtp.Options{Type: zmtp.Push, Method: zmtp.Bind, Addresses: []string{address}, HighWater: 10})
			return err
		}); err != nil {
			return err
		}
		s.feed.names, s.feed.sockets = append(s.feed.names, name), append(s.feed.sockets, socket)
		s.feed.senders.Go(func() { s.feed.send(sending, socket, name) })
	}
	return s.heardOf(ctx, time.Now(), 0)
}

func (f *feed) send(ctx context.Context, socket *zmtp.Socket, name string) {
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		message := fmt.Sprintf("%s-%d", name, n)
		timed, cancel := context.WithTimeout(ctx, patience)
		err := socket.Send(timed, []byte(message))
		cancel()
		if err == nil {
			f.mu.Lock()
			f.taken[message] = time.Now()
			f.mu.Unlock()
		}
	}
}

// takenSince are the messages that connectors have taken in a span of time.
func (f *feed) takenSince(from, to time.Time) (messages []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for message, at := range f.taken {
		if at.After(from) && at.Before(to) {
			messages = append(messages, message)
		}
	}
	slices.Sort(messages)
	return messages
}

func (f *feed) close() {
	f.stop()
	f.senders.Wait()
	ended, cancel := context.WithCancel(context.Background())
	cancel() // what is on the way is of no use
	for _, socket := range f.sockets {
		_ = socket.Close(ended)
	}
}

// heardOf waits until a message of each connector has come since, under at least an epoch.
func (s *stage) heardOf(ctx context.Context, since time.Time, epoch uint64) error {
	names := s.names()
	return fleet.Until(ctx, func(context.Context) error {
		effects, err := s.effects()
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, ok := history.Next(effects, name, since, epoch); !ok {
				return fmt.Errorf("no message of %s has come", name)
			}
		}
		return nil
	})
}

// names are those of all connectors.
func (s *stage) names() []string {
	if s.broker != nil {
		return append(slices.Clone(s.feed.names), s.broker.queue)
	}
	return s.feed.names
}

// effects are the messages that the recorders of all nodes have noted.
func (s *stage) effects() (all []history.Effect, err error) {
	for _, n := range s.Nodes {
		text, err := os.ReadFile(n.Notes())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasSuffix(line, "\n") {
				break // the rest of it has not been written
			}
			effect, err := history.ReadNote(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n.Notes(), err)
			}
			all = append(all, effect)
		}
	}
	return all, nil
}

// runs are who ran a connector when, by the connector hosts' logs.
func (s *stage) runs() (all []history.Run, err error) {
	for _, n := range s.Nodes {
		text, err := os.ReadFile(n.Log("connectorhost"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, readRuns(n.Role.Name, string(text))...)
	}
	return all, nil
}

// readRuns reads a log in its order. A child acts from when it is told to go until it has ended.
func readRuns(host, log string) (runs []history.Run) {
	type child struct {
		connector string
		number    int
	}
	newest := map[child]int{} // the run of the child of that number that began last
	byPID := map[int]int{}
	for line := range strings.Lines(log) {
		var said history.LogLine
		if json.Unmarshal([]byte(line), &said) != nil {
			continue // a panic, say; it shows elsewhere
		}
		switch {
		case said.Started():
			newest[child{said.Connector, said.Child}], byPID[said.PID] = len(runs), len(runs)
			runs = append(runs, history.Run{Host: host, Connector: said.Connector, Epoch: said.Epoch, PID: said.PID})
		case said.Went():
			if i, ok := newest[child{said.Connector, said.Child}]; ok && runs[i].Start.IsZero() {
				runs[i].Start = said.Time
			}
		case said.Ended():
			if i, ok := byPID[said.PID]; ok && runs[i].Stop.IsZero() {
				runs[i].Stop = said.Time
			}
		}
	}
	return slices.DeleteFunc(runs, func(r history.Run) bool { return r.Start.IsZero() })
}
