package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// TestMain lets the test binary play a child, a parent, and a process that a child has started.
func TestMain(m *testing.M) {
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil { // a child that ends is to end at once
		panic(err)
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "play-child":
			if err := ServeChild(context.Background(), play); err != nil {
				fmt.Fprintln(os.Stderr, "child:", err)
				os.Exit(1)
			}
			if lingers {
				select {}
			}
			os.Exit(0)
		case "play-parent":
			playParent()
			os.Exit(0)
		case "play-grandchild":
			select {}
		}
	}
	goleak.VerifyTestMain(m)
}

// role is what a child of these tests is to do.
type role struct {
	Behave string `json:"behave"`
	Log    string `json:"log"` // file to note in when it receives
}

// lingers says that this process, a child, is not to end by itself when its work is done.
var lingers bool

// play is the only kind that there is here.
func play(ctx context.Context, job *Job) error {
	var role role
	if err := json.Unmarshal(job.Definition.JSON, &role); err != nil {
		return Permanent(err)
	}
	switch role.Behave {
	case "fail":
		return Permanent(errors.New("no such queue: declare it"))
	case "babble":
		_, err := fmt.Fprintln(os.NewFile(reports, "reports"), "this is no message")
		return err
	}
	if role.Behave == "echo" { // what the parent says on the link, once
		said := make([]byte, 5)
		if _, err := io.ReadFull(job.Link, said); err != nil {
			return err
		}
		if _, err := job.Link.Write(said); err != nil {
			return err
		}
	}
	info := map[string]string{"epoch": fmt.Sprint(job.Epoch)}
	if role.Behave == "spawn" {
		cmd := exec.Command(os.Args[0], "play-grandchild")
		if err := cmd.Start(); err != nil {
			return err
		}
		info["grandchild"] = fmt.Sprint(cmd.Process.Pid)
	}
	if err := job.Report(Report{State: Prepared}); err != nil {
		return err
	}
	select {
	case <-job.Going():
	case <-job.Draining():
		return nil
	}
	note(role.Log, "start", job)
	if err := job.Report(Report{State: Running, Info: info, Counters: map[string]int64{"received": 1}}); err != nil {
		return err
	}
	switch role.Behave {
	case "crash":
		return errors.New("it crashed")
	case "deaf":
		select {}
	}
	<-job.Draining()
	note(role.Log, "stop", job)
	lingers = role.Behave == "linger"
	return nil
}

func note(path, what string, job *Job) {
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprintf(file, "%s %s %d\n", what, job.Definition.Hash, bootClock())
}

// stubTenure is a lease that holds as long as the test wants.
type stubTenure struct {
	ctx      context.Context
	lose     context.CancelFunc
	leaving  chan struct{}
	renewals chan time.Time
	mu       sync.Mutex
	until    time.Time
	stop     func()
}

const (
	testBeat  = 250 * time.Millisecond
	testFence = 800 * time.Millisecond
)

func newStubTenure() *stubTenure {
	t := &stubTenure{leaving: make(chan struct{}), renewals: make(chan time.Time, 1), until: time.Now().Add(testFence)}
	t.ctx, t.lose = context.WithCancel(context.Background())
	beating, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(testBeat)
		defer tick.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case <-tick.C:
				t.mu.Lock()
				t.until = time.Now().Add(testFence)
				t.mu.Unlock()
				select {
				case t.renewals <- t.Until():
				default:
				}
			}
		}
	}()
	t.stop = func() {
		end()
		<-done
		t.lose()
	}
	return t
}

func (t *stubTenure) Context() context.Context   { return t.ctx }
func (t *stubTenure) Leaving() <-chan struct{}   { return t.leaving }
func (t *stubTenure) Renewals() <-chan time.Time { return t.renewals }
func (t *stubTenure) Until() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until
}

// stage is a supervisor under test.
type stage struct {
	t           *testing.T
	supervisor  *Supervisor
	tenure      *stubTenure
	definitions chan []Definition
	statuses    chan []Status
	links       chan net.Conn
	last        []Status
	done        chan struct{}
	busy        sync.Mutex // held, it stops the supervisor's loop
}

func newStage(t *testing.T, adjust ...func(*Policy)) *stage {
	s := &stage{
		t: t, tenure: newStubTenure(), definitions: make(chan []Definition), statuses: make(chan []Status, 10_000), links: make(chan net.Conn, 100),
		done: make(chan struct{}),
	}
	policy := DefaultPolicy()
	policy.Drain = time.Second
	for _, change := range adjust {
		change(&policy)
	}
	supervisor, err := New(Options{
		Command: []string{os.Args[0], "play-child"}, Policy: policy, Log: zerolog.Nop(),
		Observe: func(all []Status) {
			s.busy.Lock()
			defer s.busy.Unlock()
			s.statuses <- all
		}, Linked: func(_ int, link net.Conn) { s.links <- link },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.supervisor = supervisor
	go func() {
		defer close(s.done)
		supervisor.Run(s.tenure, 7, s.definitions)
	}()
	t.Cleanup(func() {
		s.tenure.stop()
		<-s.done
		supervisor.Close()
	})
	return s
}

func definition(name, hash, behave string, beside bool, log string) Definition {
	text, err := json.Marshal(role{Behave: behave, Log: log})
	if err != nil {
		panic(err)
	}
	return Definition{Name: name, Kind: "test", Hash: hash, JSON: text, Beside: beside}
}

// await reads statuses until the connector is as wanted.
func (s *stage) await(name string, ok func(Status) bool) Status {
	s.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		for _, status := range s.last {
			if status.Name == name && ok(status) {
				return status
			}
		}
		select {
		case s.last = <-s.statuses:
		case <-timeout:
			s.t.Fatalf("%s is not as wanted: %+v", name, s.last)
		}
	}
}

func running(hash string) func(Status) bool {
	return func(s Status) bool { return s.State == Running && s.Hash == hash }
}

// alive says whether there is a process, other than one that has ended and is not yet reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// awaitEnd waits until none of the processes is alive, and returns how long it took.
func awaitEnd(t *testing.T, pids ...int) time.Duration {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		for alive(pid) {
			if time.Since(begun) > 10*time.Second {
				t.Fatalf("process %d lives on", pid)
			}
			<-tick.C
		}
	}
	return time.Since(begun)
}

// playParent is a parent in a process of its own: it prints the pid of each child that runs.
func playParent() {
	tenure := newStubTenure()
	definitions := make(chan []Definition, 1)
	definitions <- []Definition{definition("a", "1", "deaf", false, ""), definition("b", "1", "", false, "")}
	told := map[int]bool{}
	supervisor, err := New(Options{
		Command: []string{os.Args[0], "play-child"}, Policy: DefaultPolicy(), Log: zerolog.Nop(),
		Observe: func(all []Status) {
			for _, s := range all {
				if s.State == Running && !told[s.PID] {
					told[s.PID] = true
					fmt.Println(s.PID)
				}
			}
		},
	})
	if err != nil {
		panic(err)
	}
	defer supervisor.Close()
	supervisor.Run(tenure, 1, definitions)
}

// startParent starts one, and returns it and its two children.
func startParent(t *testing.T) (parent *exec.Cmd, children []int) {
	t.Helper()
	parent = exec.Command(os.Args[0], "play-parent")
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = parent.Process.Kill()
		_ = parent.Wait()
		for _, pid := range children {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
	})
	lines := bufio.NewScanner(output)
	for len(children) < 2 && lines.Scan() {
		var pid int
		if _, err := fmt.Sscan(lines.Text(), &pid); err != nil {
			t.Fatal(err)
		}
		children = append(children, pid)
	}
	if len(children) < 2 {
		t.Fatal("the parent has ended")
	}
	return parent, children
}
