package zmtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMessagesArriveWhoeverBinds(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 5<<20/16)
	for _, pair := range []struct{ from, to Type }{{Push, Pull}, {Pub, Sub}} {
		for _, binds := range []Type{pair.from, pair.to} {
			t.Run(fmt.Sprintf("%s to %s, %s binds", pair.from, pair.to, binds), func(t *testing.T) {
				var from, to *Socket
				sending, receiving := Options{Type: pair.from}, Options{Type: pair.to}
				if pair.to == Sub {
					receiving.SubKeys = []string{"a", ""}
				}
				if binds == pair.from {
					from = open(t, sending)
					to = connected(t, receiving, from.Addr())
				} else {
					to = open(t, receiving)
					from = connected(t, sending, to.Addr())
				}
				awaitSubscription(t, from)
				for _, frames := range [][]string{{"one"}, {""}, {"a", "", "b"}, {large}, {strings.Repeat("x", 255), strings.Repeat("y", 256)}} {
					send(t, from, frames...)
					if got := receive(t, to); got != strings.Join(frames, "|") {
						t.Errorf("got %d bytes, want %d", len(got), len(strings.Join(frames, "|")))
					}
				}
			})
		}
	}
}

// awaitSubscription waits until a PUB knows that somebody wants what it publishes; others need not wait.
func awaitSubscription(t *testing.T, s *Socket) {
	t.Helper()
	if s.options.Type != Pub {
		return
	}
	eventually(t, "subscribed to", func() bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		for _, sub := range s.peers {
			sub.mu.Lock()
			n := len(sub.keys)
			sub.mu.Unlock()
			if n > 0 {
				return true
			}
		}
		return false
	})
}

func TestAPushSharesOutEachMessageOnce(t *testing.T) {
	const peers, messages = 3, 300
	push := open(t, Options{Type: Push})
	var pulls []*Socket
	for range peers {
		pulls = append(pulls, connected(t, Options{Type: Pull}, push.Addr()))
	}
	eventually(t, "all connected", func() bool { return push.Stats().Peers == peers })
	for i := range messages {
		send(t, push, fmt.Sprint(i))
	}
	seen := map[string]int{}
	for _, pull := range pulls {
		n := pull.Stats().Waiting
		if n < messages/peers*4/5 { // one that is still busy with the last is passed over
			t.Errorf("a peer got %d of %d", n, messages)
		}
		for range n {
			seen[receive(t, pull)]++
		}
	}
	for i := range messages {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("message %d arrived %d times", i, n)
		}
	}
}

func TestAPushConnectsToSeveralAndGoesOnWithoutThoseThatAreAway(t *testing.T) {
	first, second := open(t, Options{Type: Pull}), open(t, Options{Type: Pull})
	push := connected(t, Options{Type: Push}, first.Addr(), "tcp://127.0.0.1:1", second.Addr())
	eventually(t, "two connected", func() bool { return push.Stats().Peers == 2 })
	for i := range 20 {
		send(t, push, fmt.Sprint(i))
	}
	if a, b := first.Stats().Waiting, second.Stats().Waiting; a+b != 20 || a < 5 || b < 5 {
		t.Errorf("shared out %d and %d", a, b)
	}
	if trouble := push.Stats().Trouble["tcp://127.0.0.1:1"]; !strings.Contains(trouble, "refused") {
		t.Errorf("trouble is %q", trouble)
	}
}

func TestASendToNobodyIsAnErrorAtTheDeadline(t *testing.T) {
	for _, o := range []Options{
		{Type: Push, Method: Connect, Addresses: []string{"tcp://127.0.0.1:1"}},
		{Type: Pub, Method: Connect, Addresses: []string{"tcp://127.0.0.1:1"}},
		{Type: Push, Method: Bind, Addresses: []string{"tcp://127.0.0.1:*"}},
	} {
		s := open(t, o)
		err := s.Send(within(t, 50*time.Millisecond), []byte("x"))
		if !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no peer") {
			t.Errorf("%s %s: %v", o.Type, o.Method, err)
		}
		if n := s.Stats().Sent; n != 0 {
			t.Errorf("%s: %d sent", o.Type, n)
		}
	}
	pub := open(t, Options{Type: Pub})
	if err := pub.Send(soon(t), []byte("x")); err != nil || pub.Stats().Unheard != 1 {
		t.Errorf("a PUB that binds: %v, %+v", err, pub.Stats())
	}
}

func TestASendWaitsForAPeerThatComesLater(t *testing.T) {
	push := open(t, Options{Type: Push})
	sent := make(chan error, 1)
	ctx := soon(t)
	go func() { sent <- push.Send(ctx, []byte("early")) }()
	pull := connected(t, Options{Type: Pull}, push.Addr())
	if got := receive(t, pull); got != "early" {
		t.Errorf("got %q", got)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestAPeerThatReadsNothingConfirmsNothing(t *testing.T) {
	push := open(t, Options{Type: Push})
	silent := greeted(t, push, "PULL")
	eventually(t, "connected", func() bool { return push.Stats().Peers == 1 })
	if err := push.Send(within(t, 100*time.Millisecond), []byte("x")); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("to a silent peer: %v", err)
	}
	dying := make(chan error, 1)
	ctx := soon(t)
	go func() { dying <- push.Send(ctx, []byte("y")) }()
	eventually(t, "given two", func() bool { return push.Stats().Unconfirmed == 1 })
	silent.Close()
	// It was either given to the peer that died, or waits for another.
	pull := connected(t, Options{Type: Pull}, push.Addr())
	if err := <-dying; err != nil && !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("to a peer that died: %v", err)
	} else if err == nil && receive(t, pull) != "y" {
		t.Error("it was not sent to the other peer")
	}
}

// readFrames reads so many frames, past the handshake.
func readFrames(t *testing.T, conn net.Conn, n int) (frames []string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, greetingBytes)); err != nil {
		t.Fatal(err)
	}
	for range n + 1 {
		header := make([]byte, 2)
		if _, err := io.ReadFull(conn, header); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, header[1])
		if _, err := io.ReadFull(conn, body); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, fmt.Sprintf("%d:%s", header[0], body))
	}
	return frames[1:] // the first is READY
}

func TestAPeerBeforeZMTP31IsNotAskedToConfirm(t *testing.T) {
	push := open(t, Options{Type: Push})
	conn := raw(t, push)
	old := greeting()
	old[11] = 0
	if _, err := conn.Write(append(old, ready("PULL")...)); err != nil {
		t.Fatal(err)
	}
	send(t, push, "one")
	send(t, push, "two", "parts")
	if got := readFrames(t, conn, 3); fmt.Sprint(got) != "[0:one 1:two 0:parts]" {
		t.Errorf("it got %q", got)
	}
	conn.Close()
	eventually(t, "its leaving is noticed", func() bool { return push.Stats().Peers == 0 })
	if err := push.Send(within(t, 50*time.Millisecond), []byte("x")); !errors.Is(err, ErrNotSent) {
		t.Errorf("when it has left: %v", err)
	}
}

func TestAPeerThatConfirmsWithoutTheNumberIsUnderstood(t *testing.T) {
	push := open(t, Options{Type: Push})
	conn := greeted(t, push, "PULL")
	sent := make(chan error, 1)
	ctx := soon(t)
	go func() { sent <- push.Send(ctx, []byte("one")) }()
	if got := readFrames(t, conn, 2); got[0] != "0:one" || !strings.HasPrefix(got[1], "4:\x04PING\x00\x00") {
		t.Errorf("it got %q", got)
	}
	if _, err := conn.Write(encode(flagCommand, []byte("\x04PONG"))); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestAStuckPeerIsGivenUpAndTheOthersGetItsShare(t *testing.T) {
	var told events
	push := open(t, Options{Type: Push, StuckTimeout: time.Second, MaxMessageBytes: 32 << 20, Notify: told.notify})
	greeted(t, push, "PULL")
	eventually(t, "connected", func() bool { return push.Stats().Peers == 1 })
	// More than fits into the buffers of the operating system, so that it cannot be taken whole.
	large := make([]byte, 32<<20)
	sent := make(chan error, 1)
	ctx := soon(t)
	go func() { sent <- push.Send(ctx, large) }()
	pull := connected(t, Options{Type: Pull, MaxMessageBytes: 32 << 20}, push.Addr())
	message, err := pull.Receive(soon(t))
	if err != nil || len(message) != 1 || !bytes.Equal(message[0], large) {
		t.Errorf("received %d frames, %v", len(message), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	eventually(t, "the stuck one is given up", func() bool { return told.count(Silent, "") == 1 })
}

func TestASlowPullerHoldsThePusherBack(t *testing.T) {
	pull := open(t, Options{Type: Pull, HighWater: 2})
	push := connected(t, Options{Type: Push}, pull.Addr())
	sent := 0
	for {
		err := push.Send(within(t, 100*time.Millisecond), []byte(fmt.Sprint(sent)))
		if err != nil {
			if !errors.Is(err, ErrUnconfirmed) {
				t.Fatal(err)
			}
			break
		}
		sent++
	}
	if sent != 2 {
		t.Errorf("%d confirmed, want the 2 that there is room for", sent)
	}
	for i := range sent + 1 {
		if got := receive(t, pull); got != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", got, i)
		}
	}
}

func TestASubscriberGetsWhatItAskedFor(t *testing.T) {
	pub := open(t, Options{Type: Pub})
	sub := connected(t, Options{Type: Sub, SubKeys: []string{"orders.", "x"}}, pub.Addr())
	none := connected(t, Options{Type: Sub}, pub.Addr())
	awaitSubscription(t, pub)
	eventually(t, "both connected", func() bool { return pub.Stats().Peers == 2 && none.Stats().Peers == 1 })
	// Two keys are two messages: wait for the second.
	eventually(t, "both keys known", func() bool {
		send(t, pub, "x")
		return sub.Stats().Received > 0
	})
	for _, first := range []string{"orders", "orders.1", "other", "orders.2"} {
		send(t, pub, first, "body")
	}
	var got []string
	for len(got) < 2 {
		if message := receive(t, sub); message != "x" {
			got = append(got, message)
		}
	}
	if want := []string{"orders.1|body", "orders.2|body"}; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q", got)
	}
	if none.Stats().Received != 0 {
		t.Error("a SUB without keys received something")
	}
}

func TestASlowSubscriberLosesMessagesAndTheOthersDoNot(t *testing.T) {
	pub := open(t, Options{Type: Pub, HighWater: 10})
	stalled := greeted(t, pub, "SUB")
	if _, err := stalled.Write([]byte{0, 1, 1}); err != nil {
		t.Fatal(err)
	}
	awaitSubscription(t, pub)
	sub := connected(t, Options{Type: Sub, SubKeys: []string{""}}, pub.Addr())
	eventually(t, "both want all", func() bool {
		send(t, pub, "first")
		return sub.Stats().Received > 0
	})
	body := strings.Repeat("x", 1<<20)
	for i := range 40 {
		before := sub.Stats().Received
		send(t, pub, fmt.Sprint(i, body))
		eventually(t, "with the one who reads", func() bool { return sub.Stats().Received > before })
		for sub.Stats().Waiting > 0 {
			receive(t, sub)
		}
	}
	if stats := pub.Stats(); stats.Dropped == 0 || stats.Peers != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestAPublisherWhoseSubscribersHaveNoRoomSaysSo(t *testing.T) {
	pub := open(t, Options{Type: Pub, HighWater: 1})
	stalled := greeted(t, pub, "SUB")
	if _, err := stalled.Write([]byte{0, 1, 1}); err != nil {
		t.Fatal(err)
	}
	awaitSubscription(t, pub)
	body := make([]byte, 4<<20)
	eventually(t, "refused", func() bool {
		err := pub.Send(soon(t), body)
		if err != nil && !errors.Is(err, ErrNotSent) {
			t.Fatal(err)
		}
		return err != nil
	})
}

func TestAPeerThatRestartsIsConnectedToAgain(t *testing.T) {
	pull := open(t, Options{Type: Pull})
	address := pull.Addr()
	push := connected(t, Options{Type: Push, RetryMin: 5 * time.Millisecond}, address)
	for round := range 3 {
		send(t, push, fmt.Sprint(round))
		if got := receive(t, pull); got != fmt.Sprint(round) {
			t.Errorf("got %q in round %d", got, round)
		}
		if err := pull.Close(soon(t)); err != nil {
			t.Fatal(err)
		}
		if err := push.Send(within(t, 50*time.Millisecond), []byte("lost")); !errors.Is(err, ErrNotSent) {
			t.Errorf("sent to nobody: %v", err)
		}
		pull = open(t, Options{Type: Pull, Method: Bind, Addresses: []string{address}})
	}
}

func TestCloseTakesInWhatIsOnTheWay(t *testing.T) {
	pull := open(t, Options{Type: Pull})
	push := connected(t, Options{Type: Push}, pull.Addr())
	const senders, each = 8, 200
	var confirmed, unknown sync.Map
	var group sync.WaitGroup
	for sender := range senders {
		group.Go(func() {
			for i := range each {
				name := fmt.Sprint(sender, " ", i)
				switch err := push.Send(within(t, 300*time.Millisecond), []byte(name)); {
				case err == nil:
					confirmed.Store(name, true)
				case errors.Is(err, ErrUnconfirmed):
					unknown.Store(name, true)
				default:
					return // nobody is there any more
				}
			}
		})
	}
	eventually(t, "under way", func() bool { return pull.Stats().Received > 100 })
	if err := pull.Close(soon(t)); err != nil {
		t.Error(err)
	}
	group.Wait()
	for {
		message, err := pull.Receive(soon(t))
		if errors.Is(err, ErrClosed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		confirmed.Delete(text(message))
	}
	confirmed.Range(func(name, _ any) bool {
		t.Errorf("%s was confirmed and is lost", name)
		return true
	})
}

func TestCloseWritesWhatAPublisherHasQueued(t *testing.T) {
	pub := open(t, Options{Type: Pub})
	sub := connected(t, Options{Type: Sub, SubKeys: []string{""}}, pub.Addr())
	awaitSubscription(t, pub)
	for i := range 500 {
		send(t, pub, fmt.Sprint(i))
	}
	if err := pub.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if got := receive(t, sub); got != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", got, i)
		}
	}
	if err := pub.Send(soon(t), []byte("x")); !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCloseIsBounded(t *testing.T) {
	for _, kind := range []Type{Pull, Sub, Push, Pub} {
		s := open(t, Options{Type: kind, HighWater: 1})
		partner := partners[kind][0]
		conn := greeted(t, s, partner) // which never leaves
		eventually(t, "connected", func() bool { return s.Stats().Peers == 1 })
		switch kind {
		case Push:
			go func() { _ = s.Send(context.Background(), make([]byte, 8<<20)) }()
		case Pub:
			if _, err := conn.Write([]byte{0, 1, 1}); err != nil {
				t.Fatal(err)
			}
			awaitSubscription(t, s)
			_ = s.Send(t.Context(), make([]byte, 8<<20))
		case Pull:
			if _, err := conn.Write([]byte{0, 1, 'a', 0, 1, 'b', 0, 1, 'c'}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "full", func() bool { return s.Stats().Received == 2 })
		}
		since := time.Now()
		_ = s.Close(within(t, 100*time.Millisecond))
		if took := time.Since(since); took > bound/2 {
			t.Errorf("%s: took %s", kind, took)
		}
	}
}
