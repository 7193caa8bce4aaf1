package zmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/zmtp"
)

func TestAPullConforms(t *testing.T) { conform(t, zmtp.Push) }

func TestASubConforms(t *testing.T) { conform(t, zmtp.Pub) }

// conform runs the suite against a peer of a type, for channels that connect to it, and for those that it connects to.
func conform(t *testing.T, peer zmtp.Type) {
	for channel, method := range map[string]zmtp.Method{"connect": zmtp.Bind, "bind": zmtp.Connect} {
		t.Run(channel, func(t *testing.T) {
			conformance.Run(t, Kind, func(t *testing.T) conformance.Harness { return newPeer(t, peer, method) })
		})
	}
}

// bound is generous: whatever takes longer is broken, however slow the machine.
const bound = 20 * time.Second

// channel is a definition's channel that runs.
type channel struct {
	stop   func()
	status atomic.Pointer[connector.Status]
}

func run(t *testing.T, text string, invoke connector.InvokerFunc) *channel {
	t.Helper()
	d, err := connector.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := &channel{}
	c.status.Store(&connector.Status{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- connector.Run(ctx, d, invoke, connector.Options{
			Drain: bound, Report: func(s connector.Status) { c.status.Store(&s) },
		})
	}()
	c.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(2 * bound):
			t.Error("the channel does not end")
		}
	})
	t.Cleanup(c.stop)
	return c
}

func (c *channel) await(t *testing.T, state connector.State) {
	t.Helper()
	eventually(t, string(state), func() bool { return c.status.Load().State == state })
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(bound)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: not %s", bound, what)
		}
		<-poll.C
	}
}

func define(method, address, more string) string {
	return fmt.Sprintf(`{"name": "c", "kind": "zmq", "role": "channel", "service": "s", "socket_type": "PULL", "socket_method": %q, "address": %q%s}`,
		method, address, more)
}

// pusher connects to a channel that binds.
func pusher(t *testing.T, address string) *zmtp.Socket {
	t.Helper()
	return open(t, zmtp.Options{Type: zmtp.Push, Method: zmtp.Connect, Addresses: []string{address}, RetryMin: 5 * time.Millisecond})
}

// open opens a socket that is closed when the test ends.
func open(t *testing.T, o zmtp.Options) *zmtp.Socket {
	t.Helper()
	s, err := zmtp.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(s) })
	return s
}

func closeNow(s *zmtp.Socket) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(ctx)
}

// free is an address that nobody has.
func free(t *testing.T) string {
	t.Helper()
	s := open(t, zmtp.Options{Type: zmtp.Pull, Method: zmtp.Bind, Addresses: []string{"tcp://127.0.0.1:*"}})
	closeNow(s)
	return s.Addr()
}

func TestAStopLosesNothingThatWasConfirmed(t *testing.T) {
	for _, binds := range []bool{true, false} {
		t.Run(fmt.Sprintf("it binds: %v", binds), func(t *testing.T) {
			var succeeded sync.Map
			invoke := func(_ context.Context, m connector.Message) error {
				succeeded.Store(string(m.Body), true)
				return nil
			}
			var push *zmtp.Socket
			var c *channel
			if binds {
				address := free(t)
				c, push = run(t, define("bind", address, ""), invoke), pusher(t, address)
			} else {
				push = open(t, zmtp.Options{Type: zmtp.Push, Method: zmtp.Bind, Addresses: []string{"tcp://127.0.0.1:*"}})
				c = run(t, define("connect", push.Addr(), ""), invoke)
			}
			c.await(t, connector.Running)
			var confirmed sync.Map
			var count atomic.Int64
			var senders sync.WaitGroup
			for sender := range 8 {
				senders.Go(func() {
					for i := range 100_000 {
						name := fmt.Sprintf("%d %d", sender, i)
						ctx, cancel := context.WithTimeout(context.Background(), time.Second)
						err := push.Send(ctx, []byte(name))
						cancel()
						if errors.Is(err, zmtp.ErrNotSent) {
							return
						}
						if err == nil {
							confirmed.Store(name, true)
							count.Add(1)
						}
					}
				})
			}
			eventually(t, "under load", func() bool { return c.status.Load().Counts.Accepted > 200 })
			c.stop()
			senders.Wait()
			lost := 0
			confirmed.Range(func(name, _ any) bool {
				if _, there := succeeded.Load(name); !there {
					lost++
				}
				return true
			})
			t.Logf("%d confirmed, %d lost", count.Load(), lost)
			if lost > 0 {
				t.Errorf("%d of %d confirmed messages are lost", lost, count.Load())
			}
		})
	}
}

func TestAChannelThatBindsWaitsForItsAddress(t *testing.T) {
	address := free(t)
	var calls [2]atomic.Int64
	count := func(i int) connector.InvokerFunc {
		return func(context.Context, connector.Message) error { calls[i].Add(1); return nil }
	}
	first := run(t, define("bind", address, ""), count(0))
	first.await(t, connector.Running)
	second := run(t, define("bind", address, ""), count(1))
	second.await(t, connector.Waiting)
	push := pusher(t, address)
	send(t, push, "one")
	first.stop()
	second.await(t, connector.Running)
	send(t, push, "two")
	eventually(t, "received", func() bool { return calls[0].Load() == 1 && calls[1].Load() == 1 })
}

func send(t *testing.T, s *zmtp.Socket, frames ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var message [][]byte
	for _, frame := range frames {
		message = append(message, []byte(frame))
	}
	if err := s.Send(ctx, message...); err != nil && !errors.Is(err, zmtp.ErrUnconfirmed) {
		t.Fatal(err)
	}
}

func TestASubRunsAsLongAsOneOfItsPublishersIsThere(t *testing.T) {
	var publishers [2]*zmtp.Socket
	for i := range publishers {
		publishers[i] = open(t, zmtp.Options{Type: zmtp.Pub, Method: zmtp.Bind, Addresses: []string{"tcp://127.0.0.1:*"}})
	}
	got := make(chan string, 1000)
	text := fmt.Sprintf(`{"name": "c", "kind": "zmq", "role": "channel", "service": "s", "socket_type": "SUB", "socket_method": "connect", "address": "%s, %s", "sub_key": "EUR"}`,
		publishers[0].Addr(), publishers[1].Addr())
	c := run(t, text, func(_ context.Context, m connector.Message) error { got <- string(m.Body); return nil })
	hear := func(p *zmtp.Socket, body string) {
		eventually(t, "heard", func() bool {
			send(t, p, "USD"+body)
			send(t, p, "EUR"+body)
			for len(got) > 0 {
				switch m := <-got; {
				case m == "EUR"+body:
					return true
				case !strings.HasPrefix(m, "EUR"):
					t.Errorf("got %q", m)
				}
			}
			return false
		})
	}
	hear(publishers[0], "1")
	closeNow(publishers[0])
	hear(publishers[1], "2")
	if state := c.status.Load().State; state != connector.Running {
		t.Errorf("with one left it is %s", state)
	}
	closeNow(publishers[1])
	eventually(t, "not running", func() bool { return c.status.Load().State != connector.Running })
}

// All that may be in flight is, so nobody receives while the only publisher restarts.
func TestALossThatIsOverByTheTimeOfTheNextMessageCostsNoOther(t *testing.T) {
	address := free(t)
	publish := func() *zmtp.Socket {
		return open(t, zmtp.Options{Type: zmtp.Pub, Method: zmtp.Bind, Addresses: []string{address}})
	}
	before := publish()
	d := source{settings: settingsOf(t, fmt.Sprintf(
		`{"name": "c", "kind": "zmq", "role": "channel", "service": "s", "socket_type": "SUB", "socket_method": "connect", "address": "%s"}`, address,
	))}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.Close(t.Context())
	closeNow(before)
	eventually(t, "noticed", func() bool { return len(d.lost) == 1 })
	after := publish()
	eventually(t, "connected anew", func() bool { return d.socket.Stats().Peers == 1 && after.Stats().Peers == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	received := make(chan error, 1)
	go func() {
		for range 20 {
			if _, err := d.Receive(ctx); err != nil {
				received <- err
				return
			}
		}
		received <- nil
	}()
	eventually(t, "received", func() bool {
		send(t, after, "EUR")
		return len(received) == 1
	})
	if err := <-received; err != nil {
		t.Errorf("%v, %+v", err, d.socket.Stats())
	}
}

func settingsOf(t *testing.T, definition string) Settings {
	t.Helper()
	d, err := connector.Decode([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	return d.Settings.(Settings)
}

func TestFramesAreJoinedAndTheirSizesTold(t *testing.T) {
	address := free(t)
	got := make(chan connector.Message, 10)
	c := run(t, define("bind", address, ""), func(_ context.Context, m connector.Message) error { got <- m; return nil })
	c.await(t, connector.Running)
	push := pusher(t, address)
	send(t, push, "EUR", "", "1.08")
	if m := <-got; string(m.Body) != "EUR1.08" || m.Properties["part_sizes"] != "3,0,4" || m.ID == "" || m.Stable {
		t.Errorf("%+v", m)
	}
	send(t, push, "alone")
	if m := <-got; string(m.Body) != "alone" || m.Properties != nil {
		t.Errorf("%+v", m)
	}
}

func TestAMessageThatIsTooLargeIsCountedAndNamed(t *testing.T) {
	address := free(t)
	c := run(t, define("bind", address, `, "max_message_bytes": 1000`), func(context.Context, connector.Message) error { return nil })
	c.await(t, connector.Running)
	push := pusher(t, address)
	send(t, push, strings.Repeat("x", 1001))
	eventually(t, "counted", func() bool { return c.status.Load().Counts.Dropped == 1 })
	send(t, push, "good")
	eventually(t, "accepted", func() bool { return c.status.Load().Counts.Accepted == 1 })
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	channel := func(fields string) string {
		return `{"name": "c", "kind": "zmq", "role": "channel", "service": "s", ` + fields + `}`
	}
	outgoing := func(fields string) string { return `{"name": "c", "kind": "zmq", "role": "outgoing", ` + fields + `}` }
	const rest = `"socket_method": "connect", "address": "tcp://h:1"`
	for text, want := range map[string]string{
		channel(`"data_format": "raw"`):                                                             `socket_type is missing; socket_method is missing; address is missing`,
		channel(`"socket_type": "PUSH", ` + rest):                                                   `socket_type is "PUSH": channels use PULL or SUB`,
		outgoing(`"socket_type": "SUB", ` + rest):                                                   `socket_type is "SUB": outgoing connections use PUSH or PUB`,
		channel(`"socket_type": "pull", ` + rest):                                                   `socket_type is "pull": channels use PULL or SUB`,
		channel(`"socket_type": "PU", ` + rest):                                                     `socket_type is "PU": channels use PULL or SUB`,
		channel(`"socket_type": "PULL", "sub_key": "a", ` + rest):                                   `sub_key is for socket_type SUB: leave it out`,
		channel(`"socket_type": "PULL", "dead_letter": "d", ` + rest):                               `dead_letter is not possible: ZeroMQ has no place for messages that nobody can handle`,
		channel(`"socket_type": "PULL", "socket_method": "listen", "address": "tcp://h:1"`):         `socket_method is "listen": use connect or bind`,
		channel(`"socket_type": "PULL", "socket_method": "connect", "address": "ipc://x"`):          `address is of no use: address "ipc://x": transport ipc is not offered here, use tcp://host:port`,
		channel(`"socket_type": "PULL", "socket_method": "bind", "address": "tcp://a:1,tcp://b:1"`): `address is of no use: there are 2 addresses to bind to: give one`,
		channel(`"socket_type": "SUB", "max_message_bytes": 0, "in_flight": 1001, ` + rest):         `max_message_bytes is 0, must be 1 to 1073741824; in_flight is 1001, must be 1 to 1000`,
		outgoing(`"socket_type": "PUB", "in_flight": 3, ` + rest):                                   `in_flight is no field of outgoing connectors of kind zmq`,
	} {
		_, err := connector.Decode([]byte(text))
		if err == nil || err.Error() != `connector "c": `+want {
			t.Errorf("%s:\n%v, want\n%s", text, err, want)
		}
	}
	d, err := connector.Decode([]byte(outgoing(`"socket_type": "PUB", ` + rest)))
	if err != nil || !InServers(d) {
		t.Fatal(err)
	}
	if err := d.Settings.Sink(connector.Environment{}).Connect(t.Context()); !errors.Is(err, connector.ErrDefinition) {
		t.Error(err)
	}
}
