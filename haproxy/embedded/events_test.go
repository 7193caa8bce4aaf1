package embedded

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/haproxy"
)

func TestSessionsAreEndedOnceTheirServerHasBeenDownForAMoment(t *testing.T) {
	e := &Events{down: map[string]time.Time{}}
	now := time.Now()
	at := func(after time.Duration, status string, sessions int) (due []string, wait time.Duration) {
		server := haproxy.Counters{Traffic: haproxy.Traffic{Status: status, Sessions: sessions}}
		return e.due(haproxy.Stats{Servers: map[string]haproxy.Counters{"slot-001": server}}, now.Add(after))
	}
	for _, step := range []struct {
		after    time.Duration
		status   string
		sessions int
		due      bool
		wait     time.Duration
	}{
		{0, "UP", 3, false, cutInterval},
		{0, "UP 1/2", 3, false, cutInterval},
		{0, "DOWN", 3, false, cutDelay},
		{cutDelay / 2, "DOWN", 3, false, cutDelay / 2},
		{cutDelay, "UP", 3, false, cutInterval},
		{cutDelay, "DOWN", 3, false, cutDelay},
		{2 * cutDelay, "DOWN 1/2", 3, true, cutInterval},
		{3 * cutDelay, "DOWN", 0, true, cutInterval}, // an old worker may have some
		{4 * cutDelay, "DOWN", 1, true, cutInterval},
		{5 * cutDelay, "MAINT", 1, false, cutInterval},
		{5 * cutDelay, "DRAIN", 1, false, cutInterval},
	} {
		due, wait := at(step.after, step.status, step.sessions)
		if (len(due) == 1) != step.due || wait != step.wait {
			t.Errorf("%+v: due %v, wait %v", step, due, wait)
		}
	}
}

func TestConnectionsToAHostThatIsCutOffEndByTheirOwnTimeOut(t *testing.T) {
	e := &Events{down: map[string]time.Time{}, connect: 250 * time.Millisecond}
	now := time.Now()
	server := haproxy.Counters{Traffic: haproxy.Traffic{Status: "DOWN", Check: "L4TOUT in 251ms", Sessions: 3}}
	stats := haproxy.Stats{Servers: map[string]haproxy.Counters{"slot-001": server}}
	for after, want := range map[time.Duration]int{0: 0, cutDelay: 0, cutDelay + 499*time.Millisecond: 0, cutDelay + 500*time.Millisecond: 1} {
		e.down["slot-001"] = now
		if due, wait := e.due(stats, now.Add(after)); len(due) != want {
			t.Errorf("after %v: due %v, wait %v", after, due, wait)
		}
	}
}

// freezing is a server that stops answering when it is told to.
type freezing struct {
	*httptest.Server
	frozen  atomic.Bool
	slow    atomic.Bool   // only what is not a check is not answered, until release is closed, if it can be
	release chan struct{} // may be nil
	asked   chan struct{} // gets a token for each request that is not a check
}

func newFreezing(t *testing.T) *freezing {
	t.Helper()
	f := &freezing{asked: make(chan struct{}, 100)}
	end := make(chan struct{})
	f.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/asked" {
			f.asked <- struct{}{}
			if f.slow.Load() {
				select {
				case <-f.release:
				case <-end:
				}
			}
		}
		if f.frozen.Load() {
			<-end
		}
	}))
	t.Cleanup(func() {
		close(end)
		f.Close()
	})
	return f
}

func (f *freezing) in(slot string) haproxy.Server {
	address := f.Listener.Addr().(*net.TCPAddr)
	return haproxy.Server{Name: slot, Address: "127.0.0.1", Port: address.Port, Weight: 1, Admin: haproxy.Ready}
}

// listening hears what a data plane's HAProxy says until the test ends.
func listening(t *testing.T, d *DataPlane) <-chan haproxy.Event {
	t.Helper()
	told := make(chan haproxy.Event, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	events := d.Events(zerolog.New(zerolog.NewTestWriter(t)), func(event haproxy.Event) { told <- event })
	go func() { ended <- events.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return told
}

// asks sends a request that is no check, on a connection of its own; the status of its answer comes later.
func asks(d *DataPlane) <-chan string {
	answered := make(chan string, 1)
	go func() {
		client := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + d.options.Bind + "/asked")
		if err != nil {
			answered <- err.Error()
			return
		}
		response.Body.Close()
		answered <- response.Status
	}()
	return answered
}

// The same in a worker that a reload has replaced meanwhile, where the slots have others than in the new one: who waits
// for another server is left alone.
func TestWhatWaitsInAnOldWorkerForAFrozenServerIsAnsweredByAnother(t *testing.T) {
	d, _ := start(t, 2)
	listening(t, d)
	frozen, slow := newFreezing(t), newFreezing(t)
	slow.release = make(chan struct{})
	if err := set(t, d, []haproxy.Server{frozen.in("slot-001"), {Name: "slot-002", Admin: haproxy.Maint}}); err != nil {
		t.Fatal(err)
	}
	frozen.slow.Store(true) // its checks are good until it freezes
	first := asks(d)
	<-frozen.asked
	slow.slow.Store(true)
	before := []haproxy.Server{frozen.in("slot-001"), slow.in("slot-002")}
	before[0].Admin = haproxy.Drain
	if err := set(t, d, before); err != nil {
		t.Fatal(err)
	}
	second := asks(d)
	<-slow.asked
	before[0].Admin = haproxy.Ready // for the try that follows, the old worker has to know another that is up
	if err := set(t, d, before); err != nil {
		t.Fatal(err)
	}
	must(t, errorOf(d.Rebuild(t.Context(), []haproxy.Server{slow.in("slot-001"), frozen.in("slot-002")}, haproxy.ReloadToRepair)))
	slow.slow.Store(false)
	frozen.frozen.Store(true)
	if status := <-first; status != "200 OK" {
		t.Errorf("the answer is %s", status)
	}
	select {
	case status := <-second:
		t.Errorf("who waited for the other was cut off: %s", status)
	default:
	}
	close(slow.release)
	if status := <-second; status != "200 OK" {
		t.Errorf("the other answer is %s", status)
	}
}

// A request that waits for a server that froze is answered by another one, long before the server's time is up.
func TestWhatWaitsForAFrozenServerIsAnsweredByAnother(t *testing.T) {
	d, _ := start(t, 2)
	told := listening(t, d)
	frozen, well := newFreezing(t), newFreezing(t)
	if err := set(t, d, []haproxy.Server{frozen.in("slot-001"), {Name: "slot-002", Admin: haproxy.Maint}}); err != nil {
		t.Fatal(err)
	}
	frozen.frozen.Store(true)
	answered := asks(d)
	<-frozen.asked
	if err := set(t, d, []haproxy.Server{frozen.in("slot-001"), well.in("slot-002")}); err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != "200 OK" {
		t.Errorf("the answer is %s", status)
	}
	if event := <-told; event.Server != "slot-001" || event.Up || !strings.Contains(event.Reason, "timeout") {
		t.Errorf("told %+v", event)
	}
	frozen.frozen.Store(false)
	for event := range told {
		if event.Server == "slot-001" && event.Up {
			break
		}
	}
}

func TestAnEventSocketThatCannotBeIsAnError(t *testing.T) {
	e := &Events{path: "/nowhere/at/all.sock"}
	if err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "listening to haproxy") {
		t.Errorf("the error is %v", err)
	}
	if !reflect.DeepEqual(e.down, map[string]time.Time(nil)) {
		t.Error("it looked all the same")
	}
}

// What comes at that very moment is nobody's business any more.
func TestTheEndOfListeningIsNoFailureWhateverComesThen(t *testing.T) {
	folder := t.TempDir()
	for range 50 {
		e := &Events{path: filepath.Join(folder, "events"), runtime: socket(filepath.Join(folder, "nobody")), told: func(haproxy.Event) {}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		for sent := 0; sent < 20; {
			if conn, err := net.Dial("unixgram", e.path); err == nil {
				_, _ = conn.Write([]byte("a message"))
				conn.Close()
				sent++
			}
			if sent == 10 {
				cancel()
			}
			if len(ended) > 0 {
				break
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
