package zmtp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// attack is what a hostile peer does to a PULL that binds. It returns its connections, which stay open.
var attacks = []struct {
	name  string
	sends []byte
	times int
	cause Cause // counted at least once per connection; "" if nothing is wrong yet
	says  string
}{
	{"it connects and says nothing", nil, 5, Silent, "handshake took too long"},
	{"it sends half a greeting and waits", greeting()[:32], 5, Silent, "handshake took too long"},
	{"it sends a greeting and no READY", greeting(), 5, Silent, "handshake took too long"},
	{"it sends an HTTP request", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 5, Protocol, "no ZeroMQ peer"},
	{"it sends garbage", []byte(strings.Repeat("\x00\x01garbage", 1000)), 5, Protocol, "no ZeroMQ peer"},
	{"a frame claims 2^62 bytes", handshakeAnd(claim(0, 1<<62)), 5, Oversized, "4611686018427387904"},
	{"a frame claims 1 GiB", handshakeAnd(claim(0, 1<<30)), 5, Oversized, "1073741824"},
	{"a command claims 2^62 bytes", handshakeAnd(claim(flagCommand, 1<<62)), 5, Oversized, "a command claims"},
	{"a message has frames without end", handshakeAnd([]byte(strings.Repeat("\x01\x00", 2000))), 5, Oversized, "more than 1024 frames"},
	{"its READY makes the library panic", append(greeting(), encode(flagCommand, []byte("\x05READY\x0bSocket-Typ"))...), 5, Protocol, "truncated"},
	{"it is a socket that the library panics at", append(greeting(), ready("FOO")...), 5, Mismatch, `"FOO"`},
	{"a message of 1 MiB is begun and never finished", handshakeAnd(append(claim(0, 1<<20), make([]byte, 1<<10)...)), 5, Silent, "message took too long"},
	{"it connects 1,000 times", nil, 1000, "", ""},
	{"it shakes hands 300 times", handshakeAnd(nil), 300, Crowded, "peers are connected"},
}

func claim(flags byte, size uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | flagLong}, size)
}

func handshakeAnd(more []byte) []byte { return slices.Concat(greeting(), ready("PUSH"), more) }

// TestAHostilePeerHarmsNobodyElse lets a well-behaved peer push all the while, and another come while the attack is on.
func TestAHostilePeerHarmsNobodyElse(t *testing.T) {
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			var told events
			pull := open(t, Options{
				Type: Pull, MaxMessageBytes: 1 << 20, MaxPeers: 200, Notify: told.notify,
				HandshakeTimeout: 300 * time.Millisecond, MessageTimeout: 300 * time.Millisecond,
			})
			push := connected(t, Options{Type: Push}, pull.Addr())
			undisturbed := exchanges(t, push, pull)

			before := heap()
			conns := hostile(t, pull.Addr(), attack.sends, attack.times)
			attacked := exchanges(t, push, pull)
			if attack.cause != Crowded { // whoever takes every place keeps newcomers out, as long as he is there
				came := time.Now()
				newcomer := connected(t, Options{Type: Push, RetryMin: time.Millisecond}, pull.Addr())
				exchange(t, newcomer, pull)
				t.Logf("a newcomer was served in %s", time.Since(came))
			}
			wanted := max(1, attack.times/4)
			if attack.cause != "" {
				eventually(t, "cut off", func() bool { return told.count(attack.cause, attack.says) >= min(wanted, 100) })
			}
			grown := heap() - before
			t.Logf("%d connections; others waited %s, and undisturbed %s; %d KiB more memory in use", len(conns), attacked, undisturbed, grown>>10)
			if worst := attacked[len(attacked)-1]; worst > bound/4 {
				t.Errorf("others waited %s", worst)
			}
			if grown > 16<<20 {
				t.Errorf("%d bytes more in use", grown)
			}
			if push.Stats().Connected != 1 {
				t.Error("the well-behaved peer lost its connection")
			}
		})
	}
}

// waits are how long exchanges took, the shortest first.
type waits []time.Duration

func (w waits) String() string {
	return fmt.Sprintf("%s in the median (n %d, worst %s)", w[len(w)/2], len(w), w[len(w)-1])
}

// exchanges pushes messages through, one after the other.
func exchanges(t *testing.T, push, pull *Socket) (w waits) {
	t.Helper()
	for range 200 {
		w = append(w, exchange(t, push, pull))
	}
	slices.Sort(w)
	return w
}

// exchange pushes one message through and says how long that took.
func exchange(t *testing.T, push, pull *Socket) time.Duration {
	t.Helper()
	since := time.Now()
	send(t, push, "x")
	if got := receive(t, pull); got != "x" {
		t.Fatalf("got %q", got)
	}
	return time.Since(since)
}

func hostile(t *testing.T, address string, sends []byte, times int) (conns []net.Conn) {
	t.Helper()
	for range times {
		conn, err := net.Dial("tcp", strings.TrimPrefix(address, "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, _ = conn.Write(sends)
		conns = append(conns, conn)
	}
	return conns
}

// heap is what is in use after garbage collection.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse)
}

// Each of many peers begins a message of nearly 1 MiB and does not end it.
func TestUnfinishedMessagesOfManyPeersDoNotFillTheMemory(t *testing.T) {
	const each = 1 << 20
	for name, unfinished := range map[string][]byte{
		"one frame":       append(claim(0, each), make([]byte, each-1)...),
		"frames of 60 kB": bytes.Repeat(append(claim(flagMore, 60_000), make([]byte, 60_000)...), each/60_000),
	} {
		t.Run(name, func(t *testing.T) {
			var told events
			pull := open(t, Options{Type: Pull, MaxMessageBytes: each + 1, HighWaterBytes: 4 << 20, Notify: told.notify})
			push := connected(t, Options{Type: Push}, pull.Addr())
			exchange(t, push, pull)
			before := heap()
			crowd(t, pull, 40, unfinished)
			eventually(t, "all dropped but for those whom there is room for", func() bool { return told.count(Oversized, "unfinished") >= 36 })
			large := strings.Repeat("x", each)
			send(t, push, large)
			if got := receive(t, pull); got != large {
				t.Errorf("got %d bytes", len(got))
			}
			grown := heap() - before
			t.Logf("%d of 40 were dropped, %d KiB more in use", told.count(Oversized, "unfinished"), grown>>10)
			if grown > 16<<20 {
				t.Errorf("%d bytes more in use", grown)
			}
		})
	}
}

// Nobody takes what many peers send: most of it stays with them, and none of it is lost.
func TestMessagesThatNobodyTakesDoNotFillTheMemory(t *testing.T) {
	const peers, each = 40, 1 << 20
	pull := open(t, Options{Type: Pull, MaxMessageBytes: each, HighWater: 2, HighWaterBytes: 64 << 20})
	push := connected(t, Options{Type: Push}, pull.Addr())
	send(t, push, "a")
	send(t, push, "b")
	eventually(t, "the inbox is full", func() bool { return pull.Stats().Waiting == 2 })
	before := heap()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		crowd(t, pull, peers, append(claim(0, each), make([]byte, each)...))
	}()
	eventually(t, "all have begun", func() bool {
		pull.memory.mu.Lock()
		defer pull.memory.mu.Unlock()
		return len(pull.memory.holds) == peers
	})
	grown := heap() - before
	t.Logf("%d KiB more in use", grown>>10)
	if grown > peers<<19 {
		t.Errorf("%d bytes more in use", grown)
	}
	for range peers + 2 {
		receive(t, pull)
	}
	<-sent
}

// crowd has many peers send the same, each over a connection of its own, which stays open.
func crowd(t *testing.T, pull *Socket, peers int, sends []byte) {
	var group sync.WaitGroup
	for range peers {
		group.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(pull.Addr(), "tcp://"))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { conn.Close() })
			_ = conn.SetWriteDeadline(time.Now().Add(bound))
			_, _ = conn.Write(handshakeAnd(sends))
		})
	}
	group.Wait()
}

func TestASubscriberCannotMakeUsRememberWithoutEnd(t *testing.T) {
	var told events
	pub := open(t, Options{Type: Pub, Notify: told.notify})
	for _, flood := range []func(i int) []byte{
		func(i int) []byte { return encode(0, fmt.Appendf([]byte{1}, "%d", i)) },
		func(i int) []byte {
			return encode(flagCommand, fmt.Appendf([]byte("\x09SUBSCRIBE"), "%d%01000d", i, 0))
		},
		func(i int) []byte { return encode(0, append([]byte{1}, make([]byte, 1<<19+i)...)) },
	} {
		conn := greeted(t, pub, "SUB")
		var all []byte
		for i := range maxSubscriptions + 1 {
			if all = append(all, flood(i)...); len(all) > 4*maxSubscriptionBytes {
				break
			}
		}
		_ = conn.SetWriteDeadline(time.Now().Add(bound))
		_, _ = conn.Write(all)
		awaitCutOff(t, conn)
	}
	eventually(t, "all three are told of", func() bool { return told.count(Oversized, "subscriptions of") == 3 })
}

func TestAPeerThatAsksAndNeverListensIsDropped(t *testing.T) {
	var told events
	pull := open(t, Options{Type: Pull, HandshakeTimeout: 200 * time.Millisecond, Notify: told.notify})
	conn := greeted(t, pull, "PUSH")
	ping := encode(flagCommand, []byte("\x04PING\x00\x000123456789abcdef"))
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := conn.Write(slices.Repeat(ping, 1000)); err != nil {
			break
		}
	}
	eventually(t, "dropped", func() bool { return told.count(Silent, "write took too long") == 1 })
	for _, bad := range []string{"\x04PING", "\x04PING\x00\x000123456789abcdef+"} {
		awaitCutOff(t, func() net.Conn {
			conn := greeted(t, pull, "PUSH")
			_, _ = conn.Write(encode(flagCommand, []byte(bad)))
			return conn
		}())
	}
}

func TestAPullerThatPushesIsDropped(t *testing.T) {
	push := open(t, Options{Type: Push})
	conn := greeted(t, push, "PULL")
	if _, err := conn.Write(encode(0, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	awaitCutOff(t, conn)
}

func TestConnectingToWhatIsNoZeroMQPeerGoesOnAndSaysWhy(t *testing.T) {
	for says, want := range map[string]string{
		"":                                 "handshake took too long",
		"HTTP/1.1 400 Bad Request\r\n\r\n": `this is no ZeroMQ peer, it begins with "H"`,
		string(greeting()) + "\x00\x01x":   "instead of READY the peer sends",
		string(greeting()) + string(ready("REP")): `the peer is a "REP" socket: a PUSH socket talks with PULL`,
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		group.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(says))
				t.Cleanup(func() { conn.Close() })
			}
		})
		address := "tcp://" + listener.Addr().String()
		push := connected(t, Options{Type: Push, HandshakeTimeout: 50 * time.Millisecond, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond}, address)
		eventually(t, "refused three times", func() bool { return push.Stats().Refused >= 3 })
		err = push.Send(within(t, 20*time.Millisecond), []byte("x"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", says, err)
		}
		listener.Close()
		group.Wait()
		pull := open(t, Options{Type: Pull, Method: Bind, Addresses: []string{address}})
		exchange(t, push, pull)
	}
}
