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

	"zatoha/bench/feed"
	"zatoha/bench/history"
	"zatoha/deploy/fleet"
)

// taken are the messages that connectors have taken from a feed, in that order.
type taken struct {
	mu       sync.Mutex
	messages []history.Taken
}

const (
	connectors = 3
	firstPort  = 5500
	rate       = 100 // messages a second, of each connector
	patience   = 200 * time.Millisecond
)

// connect defines connectors, begins to send to them from the client's host, and waits until each gets something.
func (s *stage) connect(ctx context.Context) (err error) {
	var targets []feed.Target
	for i := range connectors {
		target := feed.Target{Connector: fmt.Sprintf("c-%d", i+1), Address: fmt.Sprintf("tcp://%s:%d", s.Client.Address, firstPort+i)}
		if err := s.Nodes[0].Put(ctx, "zato/main/connectors/"+target.Connector, map[string]any{
			"name": target.Connector, "kind": "zmq", "role": "channel", "service": "record",
			"socket_type": "PULL", "socket_method": "connect", "address": target.Address,
		}); err != nil {
			return err
		}
		s.connectors, targets = append(s.connectors, target.Connector), append(targets, target)
	}
	s.feed, err = feed.Start(context.WithoutCancel(ctx), feed.Options{
		Targets: targets, Rate: rate / s.lightness, Patience: patience, Open: s.Client.Do, Taken: s.taken.note,
	})
	if err != nil {
		return err
	}
	return s.heardOf(ctx, time.Now(), 0)
}

func (t *taken) note(message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	connector := message[:strings.LastIndex(message, "-")]
	t.messages = append(t.messages, history.Taken{Connector: connector, Message: message, At: time.Now()})
}

// between are those taken in a span of time.
func (t *taken) between(from, to time.Time) (messages []history.Taken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.messages {
		if m.At.After(from) && m.At.Before(to) {
			messages = append(messages, m)
		}
	}
	return messages
}

// heardOf waits until a message of each connector has come since, under at least an epoch.
// It looks at what is read from now on: messages come all the time, and what was read before grows from trial to trial.
func (s *stage) heardOf(ctx context.Context, since time.Time, epoch uint64) error {
	names, from := s.names(), len(s.noted)
	return fleet.Until(ctx, func(context.Context) error {
		effects, err := s.effects()
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, ok := history.Next(effects[from:], name, since, epoch); !ok {
				return fmt.Errorf("no message of %s has come", name)
			}
		}
		return nil
	})
}

// names are those of all connectors.
func (s *stage) names() []string {
	if s.mail != nil {
		return append(slices.Clone(s.connectors), s.mail.Queue)
	}
	return s.connectors
}

// effects are the messages that the recorders of all nodes have noted, in no order. Whoever waits for one asks often, so
// what was read is kept.
func (s *stage) effects() ([]history.Effect, error) {
	if s.notes == nil {
		for _, n := range s.Nodes {
			s.notes = append(s.notes, &history.Tail{Path: n.Notes()})
		}
	}
	for _, t := range s.notes {
		if err := t.Lines(func(line string) error {
			effect, err := history.ReadNote(line)
			s.noted = append(s.noted, effect)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return s.noted, nil
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

// readRuns reads a log in its order. A child acts from when it is told to go until it has ended, which it may have
// before.
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
			if i, ok := newest[child{said.Connector, said.Child}]; ok && runs[i].Start.IsZero() && runs[i].Stop.IsZero() {
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
