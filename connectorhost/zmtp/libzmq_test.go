package zmtp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/tools/find"
)

// libzmq is a peer by libzmq, in a Python of its own.
type libzmq struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string // where it is bound
}

// python starts testdata/peer.py.
func python(t *testing.T, args ...string) *libzmq {
	t.Helper()
	path, err := find.FindPythonZMQ()
	if err != nil {
		if os.Getenv("ZATOHA_REQUIRE_TOOLS") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, nothing was tried against libzmq: %v", err)
	}
	p := &libzmq{t: t, cmd: exec.Command(path, append([]string{"-I", "testdata/peer.py"}, args...)...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	var started map[string]string
	p.answer(&started)
	p.address = started["bound"]
	return p
}

func (p *libzmq) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// begin gives it a command without waiting for the answer.
func (p *libzmq) begin(words ...any) {
	p.t.Helper()
	line, err := json.Marshal(words)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
}

func (p *libzmq) answer(into any) {
	p.t.Helper()
	stop := time.AfterFunc(2*bound, func() { _ = p.cmd.Process.Kill() })
	defer stop.Stop()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("libzmq's peer: %v", err)
	}
	if err := json.Unmarshal(line, into); err != nil {
		p.t.Fatalf("libzmq's peer said %q: %v", line, err)
	}
}

func (p *libzmq) send(frames ...any) {
	p.t.Helper()
	p.begin(append([]any{"send"}, frames...)...)
	var sent string
	p.answer(&sent)
}

// receive takes up to n messages, each frame described by describe.
func (p *libzmq) receive(n int, wait time.Duration) (messages []string) {
	p.t.Helper()
	p.begin("recv", n, wait.Milliseconds())
	var got [][][3]any
	p.answer(&got)
	for _, message := range got {
		var frames []string
		for _, f := range message {
			frames = append(frames, fmt.Sprintf("%.0f:%s:%.0f", f[0], f[1], f[2]))
		}
		messages = append(messages, strings.Join(frames, "|"))
	}
	return messages
}

// describe is a message in the words of [libzmq.receive].
func describe(message [][]byte) string {
	var frames []string
	for _, f := range message {
		start := string([]rune(latin(f[:min(16, len(f))])))
		frames = append(frames, fmt.Sprintf("%d:%s:%d", len(f), start, crc32.ChecksumIEEE(f)))
	}
	return strings.Join(frames, "|")
}

func latin(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// counted are bytes that count up from 0.
func counted(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// samples are messages in both spellings.
var samples = []struct {
	theirs []any
	ours   [][]byte
}{
	{[]any{"k one"}, bytesOf([]string{"k one"})},
	{[]any{"k", "", "two"}, bytesOf([]string{"k", "", "two"})},
	{[]any{"k", 255, 256, 0}, [][]byte{[]byte("k"), counted(255), counted(256), {}}},
	{[]any{"k", 5 << 20}, [][]byte{[]byte("k"), counted(5 << 20)}},
	{[]any{"k last"}, bytesOf([]string{"k last"})},
}

func TestLibzmqUnderstandsUsAndWeIt(t *testing.T) {
	for _, kinds := range []struct{ from, to Type }{{Push, Pull}, {Pub, Sub}} {
		for _, binds := range []string{"we bind", "libzmq binds"} {
			t.Run(fmt.Sprintf("%s of libzmq to our %s, %s", kinds.from, kinds.to, binds), func(t *testing.T) {
				t.Parallel()
				o := Options{Type: kinds.to}
				if kinds.to == Sub {
					o.SubKeys = []string{"other", "k"}
				}
				ours, theirs := pair(t, o, string(kinds.from), binds == "we bind")
				meet(t, func() bool { theirs.send("k hello"); return ours.Stats().Waiting > 0 })
				for _, sample := range samples {
					theirs.send("unwanted by a subscriber")
					theirs.send(sample.theirs...)
				}
				if kinds.from == Push { // to which also an empty message arrives
					theirs.send("")
				}
				for _, sample := range samples {
					want := describe(sample.ours)
					for {
						message, err := ours.Receive(soon(t))
						if err != nil {
							t.Fatal(err)
						}
						got := describe(message)
						if got == want {
							break
						}
						if s := text(message); s != "k hello" && (kinds.to == Sub || s != "unwanted by a subscriber") {
							t.Fatalf("got %.200s, want %s", got, want)
						}
					}
				}
				if kinds.from == Push {
					if got := receive(t, ours); got != "" {
						t.Errorf("got %q, want an empty message", got)
					}
				}
			})
			t.Run(fmt.Sprintf("our %s to %s of libzmq, %s", kinds.from, kinds.to, binds), func(t *testing.T) {
				t.Parallel()
				var keys []string
				if kinds.to == Sub {
					keys = []string{"SUBSCRIBE=other", "SUBSCRIBE=k"}
				}
				ours, theirs := pair(t, Options{Type: kinds.from}, string(kinds.to), binds == "we bind", keys...)
				meet(t, func() bool { send(t, ours, "k hello"); return len(theirs.receive(1, 50*time.Millisecond)) > 0 })
				var want []string
				for _, sample := range samples {
					if kinds.to == Sub {
						send(t, ours, "unwanted by a subscriber")
					}
					if err := ours.Send(soon(t), sample.ours...); err != nil {
						t.Fatal(err)
					}
					want = append(want, describe(sample.ours))
				}
				got := theirs.receive(len(want), bound)
				for len(got) > 0 && strings.Contains(got[0], "k hello") {
					got = append(got[1:], theirs.receive(1, bound)...)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("got %s\nwant %s", got, want)
				}
			})
		}
	}
}

// pair is one of our sockets and one of libzmq's, connected as is said.
func pair(t *testing.T, o Options, theirType string, weBind bool, theirOptions ...string) (*Socket, *libzmq) {
	t.Helper()
	o.RetryMin = 10 * time.Millisecond
	if weBind {
		ours := open(t, o)
		return ours, python(t, append([]string{theirType, "connect", ours.Addr()}, theirOptions...)...)
	}
	theirs := python(t, append([]string{theirType, "bind", "tcp://127.0.0.1:*"}, theirOptions...)...)
	return connected(t, o, theirs.address), theirs
}

// meet tries until both sides know each other.
func meet(t *testing.T, try func() bool) {
	t.Helper()
	eventually(t, "met", try)
}

func TestLibzmqThatIsKilledAndComesBackIsPushedTo(t *testing.T) {
	t.Parallel()
	theirs := python(t, "PULL", "bind", "tcp://127.0.0.1:*")
	push := connected(t, Options{Type: Push, RetryMin: 5 * time.Millisecond}, theirs.address)
	ctx := soon(t)
	const messages, killAt = 1400, 700 // libzmq holds 1,000 that nobody takes
	lost, took := 0, []string{}
	for i := range messages {
		if i == killAt {
			took = theirs.receive(killAt, time.Second)
			theirs.kill()
			theirs = python(t, "PULL", "bind", theirs.address)
		}
		if err := push.Send(ctx, fmt.Appendf(nil, "%d ", i)); errors.Is(err, ErrUnconfirmed) {
			lost++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	took = append(took, theirs.receive(messages-killAt, time.Second)...)
	t.Logf("%d sent, %d received, %d errors", messages, len(took), lost)
	if len(took) != messages-lost {
		t.Errorf("%d of %d that were said to be sent arrived", len(took), messages-lost)
	}
}

func TestLibzmqThatIsStoppedConfirmsNothing(t *testing.T) {
	t.Parallel()
	theirs := python(t, "PULL", "bind", "tcp://127.0.0.1:*")
	push := connected(t, Options{Type: Push}, theirs.address)
	send(t, push, "one")
	if err := theirs.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all its threads stopped", func() bool { return stopped(t, theirs.cmd.Process.Pid) })
	if err := push.Send(within(t, 200*time.Millisecond), []byte("two")); !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("to one that is stopped: %v", err)
	}
	if err := theirs.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	send(t, push, "three")
	if got := theirs.receive(3, bound); len(got) != 3 {
		t.Errorf("got %s", got)
	}
}

// stopped says whether every thread of a process is.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of process %d: %v", pid, err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

func TestWeComeBackAndLibzmqGoesOn(t *testing.T) {
	t.Parallel()
	pull := open(t, Options{Type: Pull})
	theirs := python(t, "PUSH", "connect", pull.Addr(), "RECONNECT_IVL=10")
	const messages = 10_000
	theirs.begin("flood", messages, 100)
	eventually(t, "in mid-stream", func() bool { return pull.Stats().Received > 500 })
	got := 0
	closed := make(chan error, 1)
	ctx := soon(t)
	go func() { closed <- pull.Close(ctx) }()
	for {
		if _, err := pull.Receive(soon(t)); err != nil {
			break
		}
		got++
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	before := got
	again := open(t, Options{Type: Pull, Method: Bind, Addresses: []string{pull.Addr()}})
	theirs.begin("send", "end")
	for receive(t, again) != "end" {
		got++
	}
	t.Logf("%d of %d arrived over a restart in mid-stream, %d of them before", got, messages, before)
	if got < messages*9/10 { // what libzmq has in its own buffer of 8 KiB is lost
		t.Errorf("only %d of %d arrived", got, messages)
	}
}

func TestASlowConsumerByLibzmqHoldsUsBackAndLosesNothing(t *testing.T) {
	t.Parallel()
	push, theirs := pair(t, Options{Type: Push}, "PULL", true, "RCVHWM=5")
	const bytes = 1 << 20
	var sent int
	for {
		err := push.Send(within(t, 500*time.Millisecond), make([]byte, bytes))
		if err != nil {
			if sent == 0 {
				t.Fatal(err)
			}
			break
		}
		sent++
	}
	if sent > 30 {
		t.Errorf("%d MiB were taken by a peer that does not consume", sent)
	}
	if got := theirs.receive(sent, bound); len(got) != sent {
		t.Errorf("%d of %d arrived", len(got), sent)
	}
	send(t, push, "more")
}

func TestASlowSubscriberByLibzmqHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	pub := open(t, Options{Type: Pub, HighWater: 5})
	slow := python(t, "SUB", "connect", pub.Addr(), "SUBSCRIBE=", "RCVHWM=1")
	meet(t, func() bool { send(t, pub, "hello"); return len(slow.receive(1, 50*time.Millisecond)) > 0 })
	quick := connected(t, Options{Type: Sub, SubKeys: []string{""}}, pub.Addr())
	meet(t, func() bool { send(t, pub, "hello"); return quick.Stats().Received > 0 })
	for i := range 20 {
		before := quick.Stats().Received
		send(t, pub, fmt.Sprintf("%d %01048576d", i, 0))
		eventually(t, "with the quick one", func() bool { return quick.Stats().Received > before })
		for quick.Stats().Waiting > 0 {
			receive(t, quick)
		}
	}
	if stats := pub.Stats(); stats.Dropped == 0 || stats.Peers != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestLibzmqsHeartbeatsAreAnswered(t *testing.T) {
	t.Parallel()
	pull := open(t, Options{Type: Pull})
	theirs := python(t, "PUSH", "connect", pull.Addr(), "HEARTBEAT_IVL=20", "HEARTBEAT_TIMEOUT=200")
	theirs.send("one")
	receive(t, pull)
	<-within(t, 600*time.Millisecond).Done() // three times the time after which libzmq gives up
	theirs.send("two")
	if got := receive(t, pull); got != "two" || pull.Stats().Connected != 1 {
		t.Errorf("got %q, %d connections", got, pull.Stats().Connected)
	}
}
