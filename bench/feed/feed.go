// Package feed sends numbered messages to ZeroMQ connectors at a steady rate, as a team's own program would.
//
// One case: [Start] listens with a PUSH socket for each connector, which connects to it, and sends "c-1-1", "c-1-2" and
// so on to the connector c-1. What it does not take within the patience is thrown away: ZeroMQ promises no more than that
// a message comes once at most. [Feed.Close] ends it.
package feed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"zatoha/connectorhost/zmtp"
)

// Target is a connector, and where a socket listens for it: tcp://host:port.
type Target struct{ Connector, Address string }

// Options say who gets how much.
type Options struct {
	Targets  []Target
	Rate     int                           // messages a second to each; 0 sends none
	Patience time.Duration                 // for a message to be taken
	Open     func(open func() error) error // calls open from the network in which the sockets are; nil is ours
	Taken    func(message string)          // is told of each message that was taken, from several goroutines; may be nil
}

// Feed is one that sends.
type Feed struct {
	sockets []*zmtp.Socket
	senders sync.WaitGroup
	stop    context.CancelFunc
}

// Start listens, and sends until ctx ends or the feed is closed.
func Start(ctx context.Context, o Options) (*Feed, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &Feed{stop: stop}
	for _, target := range o.Targets {
		if err := f.add(ctx, o, target); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

func (f *Feed) add(ctx context.Context, o Options, target Target) error {
	var socket *zmtp.Socket
	open := func() (err error) {
		socket, err = zmtp.Open(zmtp.Options{Type: zmtp.Push, Method: zmtp.Bind, Addresses: []string{target.Address}, HighWater: 10})
		return err
	}
	within := o.Open
	if within == nil {
		within = func(open func() error) error { return open() }
	}
	if err := within(open); err != nil {
		return err
	}
	f.sockets = append(f.sockets, socket)
	if o.Rate > 0 {
		f.senders.Go(func() { send(ctx, o, socket, target.Connector) })
	}
	return nil
}

func send(ctx context.Context, o Options, socket *zmtp.Socket, connector string) {
	tick := time.NewTicker(time.Second / time.Duration(o.Rate))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		message := fmt.Sprintf("%s-%d", connector, n)
		timed, cancel := context.WithTimeout(ctx, o.Patience)
		err := socket.Send(timed, []byte(message)) // or it is lost
		cancel()
		if err == nil && o.Taken != nil {
			o.Taken(message)
		}
	}
}

// Close ends the feed, and what is on the way.
func (f *Feed) Close() {
	f.stop()
	f.senders.Wait()
	ended, cancel := context.WithCancel(context.Background())
	cancel() // what is on the way is of no use
	for _, socket := range f.sockets {
		_ = socket.Close(ended)
	}
}
