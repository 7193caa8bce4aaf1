package zmq

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/zmtp"
)

// peerVariable makes this program a peer: its value is a socket type, connect or bind, and an address.
const peerVariable = "ZATOHA_TEST_ZMQ_PEER"

func TestMain(m *testing.M) {
	if as := os.Getenv(peerVariable); as != "" {
		if err := bePeer(as); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// bePeer opens a socket, prints its address, and queues each body that it reads, until there are no more. As with any
// ZeroMQ socket, what is queued is sent when somebody is there.
func bePeer(as string) error {
	var kind, method, address string
	if _, err := fmt.Sscan(as, &kind, &method, &address); err != nil {
		return err
	}
	socket, err := zmtp.Open(zmtp.Options{
		Type: zmtp.Type(kind), Method: zmtp.Method(method), Addresses: []string{address},
		RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	fmt.Println(cmp.Or(socket.Addr(), address))
	queue := make(chan []byte, 1000)
	go func() {
		for body := range queue {
			if err := put(socket, body); err != nil {
				fmt.Fprintln(os.Stderr, "the peer sends no more:", err)
				return
			}
		}
	}()
	for in := json.NewDecoder(os.Stdin); ; {
		var body []byte
		if err := in.Decode(&body); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		queue <- body
		fmt.Println("queued")
	}
}

// put sends, and again as long as nobody has subscribed. What is too large costs the connection, and nobody confirms it.
func put(socket *zmtp.Socket, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		unheard := socket.Stats().Unheard
		if err := socket.Send(ctx, body); err != nil && !errors.Is(err, zmtp.ErrUnconfirmed) {
			return err
		}
		if socket.Stats().Unheard == unheard {
			return nil
		}
		<-poll.C
	}
}

// peer is whoever sends to a channel, in a process of its own: the harness of the conformance suite.
type peer struct {
	kind    zmtp.Type
	method  zmtp.Method // the channel has the other one
	address string
	cmd     *exec.Cmd
	in      *json.Encoder
	out     *bufio.Reader
}

func newPeer(t *testing.T, kind zmtp.Type, method zmtp.Method) *peer {
	t.Helper()
	p := &peer{kind: kind, method: method, address: "tcp://127.0.0.1:*"}
	if method == zmtp.Connect {
		p.address = free(t)
	}
	p.Start(t)
	t.Cleanup(func() { p.Stop(t) })
	return p
}

func (p *peer) Start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", peerVariable, p.kind, p.method, p.address))
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = json.NewEncoder(in), bufio.NewReader(out)
	p.address = p.line(t)
}

func (p *peer) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the peer: %v", err)
	}
	return line[:len(line)-1]
}

func (p *peer) Stop(*testing.T) {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *peer) Put(t *testing.T, _ string, body []byte) {
	t.Helper()
	if err := p.in.Encode(body); err != nil {
		t.Fatal(err)
	}
	p.line(t)
}

func (p *peer) Channel(*testing.T) map[string]any {
	kind := map[zmtp.Type]string{zmtp.Push: "PULL", zmtp.Pub: "SUB"}[p.kind]
	method := map[zmtp.Method]string{zmtp.Bind: "connect", zmtp.Connect: "bind"}[p.method]
	return map[string]any{"socket_type": kind, "socket_method": method, "address": p.address}
}

func (p *peer) Listens() bool { return p.method == zmtp.Connect }

func (p *peer) Waiting(t *testing.T) int                 { t.Fatal("nothing waits"); return 0 }
func (p *peer) Parked(t *testing.T) []conformance.Parked { t.Fatal("nothing is kept"); return nil }
func (p *peer) Ordered() map[string]any                  { return map[string]any{"in_flight": 1} }
func (p *peer) Exclusive() map[string]any                { return nil }
func (p *peer) Outgoing(*testing.T) map[string]any       { return nil } // the servers send

func (p *peer) Limited(bytes int) map[string]any {
	if p.kind == zmtp.Pub {
		return nil // what is published behind a message that costs the connection is lost with it
	}
	return map[string]any{"max_message_bytes": bytes}
}
