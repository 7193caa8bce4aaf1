package takeover

import (
	"context"
	"fmt"
	"sync"
	"time"

	"zatoha/connectorhost/zmtp"
)

// feed sends numbered messages to connectors at a steady rate, each by a PUSH of its own to which the connector connects.
// What nobody takes within patience is thrown away: ZeroMQ promises no more than that a message comes once at most.
type feed struct {
	sockets []*zmtp.Socket
	senders sync.WaitGroup
	stop    context.CancelFunc
}

const patience = 20 * time.Millisecond

// startFeed listens at the ports and begins to send so many messages a second to each connector, or none.
func startFeed(ctx context.Context, connectors []string, ports []int, rate int) (*feed, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &feed{stop: stop}
	for i, name := range connectors {
		socket, err := zmtp.Open(zmtp.Options{
			Type: zmtp.Push, Method: zmtp.Bind, Addresses: []string{fmt.Sprintf("tcp://127.0.0.1:%d", ports[i])}, HighWater: 10,
		})
		if err != nil {
			f.close()
			return nil, err
		}
		f.sockets = append(f.sockets, socket)
		if rate > 0 {
			f.senders.Go(func() { send(ctx, socket, name, rate) })
		}
	}
	return f, nil
}

func send(ctx context.Context, socket *zmtp.Socket, name string, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		timed, cancel := context.WithTimeout(ctx, patience)
		_ = socket.Send(timed, fmt.Appendf(nil, "%s-%d", name, n)) // or it is lost
		cancel()
	}
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
