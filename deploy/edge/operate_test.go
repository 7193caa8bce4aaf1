package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/freeport"
	"zatoha/deploy/tools/find"
	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

func findHAProxy(t *testing.T) string {
	t.Helper()
	binary, err := find.FindHAProxy()
	if errors.Is(err, find.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

const bound = 20 * time.Second // whatever takes longer is broken

// madeUp is a cluster of one handler. What is asked of /wait waits for its end.
type madeUp struct {
	*httptest.Server
	ill  atomic.Bool // it does not say that it is alive
	busy atomic.Bool // it says 503 to all else
	free chan struct{}
}

func newMadeUp(t *testing.T, name string) *madeUp {
	t.Helper()
	m := &madeUp{free: make(chan struct{})}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == haproxy.AliveURI && m.ill.Load(), r.URL.Path != haproxy.AliveURI && m.busy.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/wait":
			select {
			case <-m.free:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(m.Close)
	return m
}

// outer is a running outer load balancer before the made-up clusters a and b.
type outer struct {
	socket, front string
	masterSocket  string
	metrics       string // address of HAProxy's exporter
	state         string // path of the file
	master        int    // pid of HAProxy
	a, b          *madeUp
}

func startOuter(t *testing.T, change func(*haproxy.Edge)) outer {
	t.Helper()
	binary := findHAProxy(t)
	dir, err := os.MkdirTemp("", "zatoha-edge") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := outer{socket: filepath.Join(dir, "edge.sock"), masterSocket: filepath.Join(dir, "master.sock"), state: filepath.Join(dir, "edge.state"), front: freeport.For(t), metrics: freeport.For(t), a: newMadeUp(t, "a"), b: newMadeUp(t, "b")}
	e := haproxy.DefaultEdge()
	e.Bind, e.StatsSocket, e.ReturnAfter, e.StateFile = o.front, o.socket, 200*time.Millisecond, o.state
	e.MetricsListen = o.metrics
	e.Clusters = []haproxy.Cluster{
		{Name: "a", Address: o.a.Listener.Addr().String()},
		{Name: "b", Address: o.b.Listener.Addr().String()},
	}
	if change != nil {
		change(&e)
	}
	text, err := edit.Apply("", e.Sections())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(binary, "-W", "-S", o.masterSocket, "-f", file)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	o.master = process.Process.Pid
	eventually(t, func() error {
		endpoints, err := balancer{o.socket}.look(t.Context())
		if err == nil && len(endpoints) != 2 {
			err = fmt.Errorf("%+v", endpoints)
		}
		if err == nil {
			_, err = lookAtReplaced(t.Context(), []string{o.masterSocket}) // the master hears signals from then on
		}
		return err
	})
	return o
}

func eventually(t *testing.T, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(bound)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// get asks for a path and returns the status and the body.
func (o outer) get(path string) (int, string, error) {
	client := http.Client{Timeout: bound, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + o.front + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// waiting begins n requests for /wait, and returns when all have arrived somewhere.
func (o outer) waiting(t *testing.T, n int) (ended <-chan int) {
	t.Helper()
	codes := make(chan int, n)
	for range n {
		go func() {
			code, _, _ := o.get("/wait")
			codes <- code
		}()
	}
	eventually(t, func() error {
		views, err := lookAt(t.Context(), []string{o.socket})
		if err == nil && sessions(views, "a")+sessions(views, "b") != n {
			err = errors.New("not all requests have come")
		}
		return err
	})
	return codes
}

func TestADrainWaitsForTheLastSession(t *testing.T) {
	o := startOuter(t, nil)
	codes := o.waiting(t, 4)
	var said bytes.Buffer
	brief := drainCommand{Cluster: "b", Timeout: 1500 * time.Millisecond}
	err := brief.drain(t.Context(), &said, []string{o.socket})
	if err == nil || !strings.Contains(err.Error(), "b: 2 sessions are left") || !strings.Contains(said.String(), "waiting for 2 sessions") {
		t.Errorf("%v\n%s", err, said.String())
	}
	drained := make(chan error, 1)
	go func() {
		long := drainCommand{Cluster: "b", Timeout: bound}
		drained <- long.drain(t.Context(), &said, []string{o.socket})
	}()
	for range 10 {
		if _, body, err := o.get("/"); err != nil || body != "a" {
			t.Errorf("got %q, %v", body, err)
		}
	}
	close(o.b.free)
	if err := <-drained; err != nil || !strings.Contains(said.String(), "b is drained") {
		t.Errorf("%v\n%s", err, said.String())
	}
	if err := status(t.Context(), &said, []string{o.socket}); err == nil || !strings.Contains(err.Error(), "b takes no requests") || !strings.Contains(said.String(), "DRAIN") {
		t.Errorf("%v\n%s", err, said.String())
	}
	close(o.a.free)
	for range 4 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a request was answered with %d", code)
		}
	}
	ready := readyCommand{Cluster: "b", Timeout: bound}
	if err := ready.ready(t.Context(), &said, []string{o.socket}); err != nil || !strings.Contains(said.String(), "b takes requests") {
		t.Errorf("%v\n%s", err, said.String())
	}
	if err := status(t.Context(), &said, []string{o.socket}); err != nil {
		t.Error(err)
	}
}

// asked is the status of an answer, and its text.
func asked(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: bound, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestAnOuterLoadBalancerTellsPrometheusOfItsClusters(t *testing.T) {
	o := startOuter(t, nil)
	tells := func(line string) {
		t.Helper()
		eventually(t, func() error {
			if code, text := asked(t, "http://"+o.metrics+"/metrics"); code != http.StatusOK || !strings.Contains(text, line) {
				return fmt.Errorf("%d: no %s in %.2000s", code, line, text)
			}
			return nil
		})
	}
	status := func(cluster, state string) string {
		return fmt.Sprintf("haproxy_server_status{proxy=%q,server=%q,state=%q} 1\n", haproxy.EdgeBackend, cluster, state)
	}
	active := func(n int) string {
		return fmt.Sprintf("haproxy_backend_active_servers{proxy=%q} %d\n", haproxy.EdgeBackend, n)
	}
	tells(status("a", "UP"))
	tells(active(2))
	if err := (balancer{o.socket}).tell(t.Context(), "set server "+haproxy.EdgeBackend+"/b state drain"); err != nil {
		t.Fatal(err)
	}
	tells(status("b", "DRAIN"))
	tells(active(1))
	o.a.ill.Store(true)
	tells(status("a", "DOWN"))
	tells(active(0))
	for _, elsewhere := range []string{"http://" + o.metrics + "/", "http://" + o.front + "/metrics"} {
		if code, text := asked(t, elsewhere); code != http.StatusNotFound {
			t.Errorf("%s: %d, %s", elsewhere, code, text)
		}
	}
}

func TestWhatIsLeftOfADrainIsCutIfAskedFor(t *testing.T) {
	o := startOuter(t, nil)
	o.waiting(t, 2)
	var said bytes.Buffer
	d := drainCommand{Cluster: "b", Timeout: 1200 * time.Millisecond, Cut: true}
	if err := d.drain(t.Context(), &said, []string{o.socket}); err != nil || !strings.Contains(said.String(), "ending what is left") {
		t.Errorf("%v\n%s", err, said.String())
	}
}

func TestADrainIsRefused(t *testing.T) {
	o := startOuter(t, nil)
	try := func(d drainCommand, sockets ...string) error {
		d.Timeout = bound
		return d.drain(t.Context(), io.Discard, sockets)
	}
	for what, err := range map[string]error{
		`has no cluster "c"; it has a, b`:                                             try(drainCommand{Cluster: "c"}, o.socket),
		"nothing was changed: the outer load balancer at 127.0.0.1:1 does not answer": try(drainCommand{Cluster: "b"}, o.socket, "127.0.0.1:1"),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q is not in: %v", what, err)
		}
	}
	if views, err := lookAt(t.Context(), []string{o.socket}); err != nil || !seen(views[0], "b").takes() {
		t.Errorf("it was changed: %+v %v", views, err)
	}
	o.a.ill.Store(true)
	eventually(t, func() error {
		return last(must(lookAt(t.Context(), []string{o.socket})), "a") // b is the last one
	})
	eventually(t, func() error {
		if err := last(must(lookAt(t.Context(), []string{o.socket})), "b"); err == nil {
			return errors.New("a is not missed")
		}
		return nil
	})
	if err := try(drainCommand{Cluster: "b"}, o.socket); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Error(err)
	}
	if err := try(drainCommand{Cluster: "b", Force: true}, o.socket); err != nil {
		t.Error(err)
	}
	r := readyCommand{Cluster: "a", Timeout: 500 * time.Millisecond}
	if err := r.ready(t.Context(), io.Discard, []string{o.socket}); err == nil || !strings.Contains(err.Error(), "it is DOWN") {
		t.Error(err)
	}
}

func seen(v view, cluster string) endpoint { e, _ := v.of(cluster); return e }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestARequestThatAClusterHasNobodyForIsTriedAtTheOther(t *testing.T) {
	o := startOuter(t, nil)
	o.a.busy.Store(true)
	for range 20 {
		if code, body, err := o.get("/"); err != nil || code != http.StatusOK || body != "b" {
			t.Errorf("%d %q %v", code, body, err)
		}
	}
	codes := map[int]int{}
	for range 10 {
		response, err := http.Post("http://"+o.front+"/", "text/plain", strings.NewReader("once"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		codes[response.StatusCode]++
	}
	if codes[http.StatusServiceUnavailable] != 5 {
		t.Errorf("POSTs without a key were answered with %v", codes)
	}
}

func TestAStandbyGetsNothingUntilItIsNeeded(t *testing.T) {
	o := startOuter(t, func(e *haproxy.Edge) { e.Standby = true })
	all := func(from string) {
		t.Helper()
		eventually(t, func() error {
			for range 5 {
				if _, body, err := o.get("/"); err != nil || body != from {
					return fmt.Errorf("got %q, %v", body, err)
				}
			}
			return nil
		})
	}
	for range 10 {
		if _, body, err := o.get("/"); err != nil || body != "a" {
			t.Errorf("got %q, %v", body, err)
		}
	}
	o.a.busy.Store(true) // which no check finds, and what may be sent twice goes on
	for range 10 {
		if code, body, err := o.get("/"); err != nil || code != http.StatusOK || body != "b" {
			t.Errorf("got %d %q, %v", code, body, err)
		}
	}
	o.a.busy.Store(false)
	o.a.ill.Store(true)
	all("b")
	o.a.ill.Store(false)
	all("a")
}

// watch watches until ctx ends.
func (o outer) watch(ctx context.Context, said io.Writer) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := watch{balancer: balancer{o.socket}, stateFile: o.state, log: zerolog.New(said)}
		w.run(ctx, func() {})
	}()
	return done
}

// reload has HAProxy load its file again, and returns when it has.
func (o outer) reload(t *testing.T) {
	t.Helper()
	worker := func() string {
		info, err := balancer{o.socket}.ask(t.Context(), "show info")
		if err != nil {
			return ""
		}
		_, after, _ := strings.Cut(info, "\nPid: ")
		pid, _, _ := strings.Cut(after, "\n")
		return pid
	}
	before := worker()
	if err := syscall.Kill(o.master, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if now := worker(); now == "" || now == before {
			return errors.New("it was not reloaded")
		}
		return nil
	})
}

func TestADrainOutlivesAReload(t *testing.T) {
	o := startOuter(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	watched := o.watch(ctx, io.Discard)
	defer func() { cancel(); <-watched }()
	d := drainCommand{Cluster: "b", Timeout: bound}
	if err := d.drain(t.Context(), io.Discard, []string{o.socket}); err != nil {
		t.Fatal(err)
	}
	o.reload(t)
	if views := must(lookAt(t.Context(), []string{o.socket})); !seen(views[0], "b").draining || seen(views[0], "a").draining {
		t.Errorf("after the reload: %+v", views)
	}
	r := readyCommand{Cluster: "b", Timeout: bound}
	if err := r.ready(t.Context(), io.Discard, []string{o.socket}); err != nil {
		t.Error(err)
	}
}

func TestTheWatchEndsWhatHangsInAClusterThatIsDown(t *testing.T) {
	o := startOuter(t, nil)
	codes := o.waiting(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var said bytes.Buffer
	watched := o.watch(ctx, &said)
	close(o.a.free)
	o.b.ill.Store(true) // and what hangs there is tried at a
	for range 2 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a request was answered with %d", code)
		}
	}
	cancel()
	<-watched
	if !strings.Contains(said.String(), `"cluster":"b"`) {
		t.Error(said.String())
	}
}

func TestWhatIsNoOuterLoadBalancerIsRefused(t *testing.T) {
	for _, answer := range []string{"", "Can't find backend.\n", "1\n# be_id be_name\n\n# pxname,svname\nbck_clusters,a\n", "# pxname,\"\n"} {
		if endpoints, err := parse(answer); err == nil {
			t.Errorf("%q: %+v", answer, endpoints)
		}
	}
}
