package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/supervise"
	"zatoha/connectorhost/zmtp"
	"zatoha/deploy/freeport"
)

func TestAChildHasHalfOfTheProcessorsAndNoneOfTheSettings(t *testing.T) {
	t.Setenv("ZATOHA_CONNECTORHOST_LEASE_TTL", "3s")
	processors := func() (all []string) {
		for _, variable := range childEnv() {
			if strings.HasPrefix(variable, "ZATOHA_CONNECTORHOST_") {
				t.Error(variable)
			}
			if said, is := strings.CutPrefix(variable, procs+"="); is && said != "" {
				all = append(all, said)
			}
		}
		return all
	}
	t.Setenv(procs, "")
	if got, want := processors(), strconv.Itoa((runtime.GOMAXPROCS(0)+1)/2); !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %s", got, want)
	}
	t.Setenv(procs, "7")
	if got := processors(); !slices.Equal(got, []string{"7"}) {
		t.Errorf("the environment says 7, a child gets %q", got)
	}
}

func TestDefinitionsOfEachKindAreReadByItsRules(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"name": "a", "kind": "amqp", "role": "channel", "service": "s", "queue": "q"}`, "url is missing"},
		{`{"name": "a", "kind": "zmq", "role": "channel", "service": "s", "socket_type": "PUSH", "socket_method": "bind", "address": "tcp://h:1"}`, `socket_type is "PUSH"`},
		{`{"name": "a", "kind": "zmq", "role": "chanel"}`, `role is "chanel"`},
		{`{"name": "` + strings.Repeat("a", 101) + `", "kind": "zmq"}`, "name is "},
		{`{"name": "a b", "kind": "amqp"}`, "name: \"a b\": must be of letters"},
	} {
		_, err := parse([]byte(test.text), "")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.100s: error %v, want %q", test.text, err, test.want)
		} else if strings.Count(err.Error(), "name") > 1 && strings.Contains(test.text, "a b") {
			t.Errorf("the name is blamed twice: %v", err)
		}
	}
	channel, err := parse([]byte(`{"name": "a", "kind": "amqp", "role": "channel", "service": "s", "queue": "q", "url": "amqp://h"}`), "a")
	if err != nil || channel.about != (traits{Beside: true}) || !channel.Beside {
		t.Errorf("%+v, %v", channel, err)
	}
	out, err := parse([]byte(`{"name": "a", "kind": "zmq", "role": "outgoing", "socket_type": "PUB", "socket_method": "bind", "address": "tcp://127.0.0.1:1"}`), "a")
	if err != nil || !out.about.InServers || !out.about.Outgoing {
		t.Errorf("%+v, %v", out, err)
	}
	c := catalog{good: map[string]parsed{"a": out, "b": channel}}
	if here, there := c.active(), c.inServers(); len(here) != 1 || len(there) != 1 || there[0] != (elsewhere{"a", "zmq"}) {
		t.Errorf("%+v, %+v", here, there)
	}
}

func TestWhatAConnectorDoesInTheWordsOfItsHost(t *testing.T) {
	for _, test := range []struct {
		state connector.State
		role  connector.Role
		going bool
		want  supervise.State
	}{
		{connector.Connecting, connector.Channel, false, supervise.Connecting},
		{connector.BackingOff, connector.Channel, true, supervise.Connecting},
		{connector.Waiting, connector.Channel, true, supervise.Connecting},
		{connector.Prepared, connector.Channel, false, supervise.Prepared},
		{connector.Running, connector.Channel, true, supervise.Running},
		{connector.Blocked, connector.Channel, true, supervise.Running},
		{connector.Draining, connector.Channel, true, supervise.Running},
		{connector.Running, connector.Outgoing, false, supervise.Prepared},
		{connector.Running, connector.Outgoing, true, supervise.Running},
		{connector.Failed, connector.Channel, true, ""},
		{connector.Fenced, connector.Channel, true, ""},
	} {
		said, ok := translate(connector.Status{
			State: test.state, Role: test.role, Reason: "so it is", InFlight: 2, Counts: connector.Counts{Accepted: 7}, LastMessage: time.Unix(1, 0),
		}, test.going)
		if said.State != test.want || ok != (test.want != "") {
			t.Errorf("%+v: %+v", test, said)
		}
		if ok && (said.Validate() != nil || !strings.HasSuffix(said.Why, "so it is") || said.Counters["accepted"] != 7 || said.Info["in_flight"] != "2") {
			t.Errorf("%+v: %+v", test, said)
		}
	}
}

func TestOneThatIsHeldUpIsAWarning(t *testing.T) {
	if status, _ := health(supervise.Status{State: supervise.Running}); status != "passing" {
		t.Error(status)
	}
	if status, output := health(supervise.Status{State: supervise.Running, Why: "no server takes messages"}); status != "warning" || output != "running: no server takes messages" {
		t.Error(status, output)
	}
}

// front is the load balancer's, with a service behind it that notes what comes.
type front struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newFront(t *testing.T) *front {
	f := &front{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seen = append(f.seen, fmt.Sprintf("%s %s epoch %s, %s: %s",
			r.URL.Path, r.Header.Get("X-Zato-Connector"), r.Header.Get("X-Zato-Connector-Epoch"), r.Header.Get("Authorization"), body))
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *front) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.seen...)
}

// push sends by ZeroMQ, and returns when the peer has it.
func push(t *testing.T, address string, payloads ...string) {
	t.Helper()
	socket, err := zmtp.Open(zmtp.Options{Type: zmtp.Push, Method: zmtp.Connect, Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	defer socket.Close(ctx)
	for _, payload := range payloads {
		if err := socket.Send(ctx, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAChannelCallsItsServiceOnTheActiveHost(t *testing.T) {
	lb := newFront(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newTrio(t, append(patient, "--invoke-url", lb.URL, "--invoke-token-file", token)...)
	address := "tcp://" + freeport.For(t)
	w.put("ticks", fmt.Sprintf(`{"name": "ticks", "kind": "zmq", "role": "channel", "service": "tick.new", "socket_type": "PULL", "socket_method": "bind", "address": %q}`, address))
	w.put("out", `{"name": "out", "kind": "zmq", "role": "outgoing", "socket_type": "PUB", "socket_method": "bind", "address": "tcp://127.0.0.1:1"}`)
	active, r := w.active(0, 1)
	push(t, address, "one")
	want := fmt.Sprintf("/zato/invoke/tick.new ticks epoch %d, Bearer 0123456789abcdef: one", r.Epoch)
	eventually(t, "the service is called", func() bool { all := lb.all(); return len(all) == 1 && all[0] == want }, func() string { return fmt.Sprint(lb.all()) })
	active.await("its counts", func(r report) bool {
		return len(r.Connectors) == 1 && r.Connectors[0].Counters["accepted"] == 1 && r.Connectors[0].Info["guarantee"] == "at most once" &&
			len(r.InServers) == 1 && r.InServers[0].Name == "out"
	})
	said, err := command(nil, "status", "--admin", active.address).CombinedOutput()
	if err != nil || !strings.Contains(string(said), "in the servers") {
		t.Errorf("status: %v: %s", err, said)
	}

	t.Log("another host takes over, with a later epoch")
	active.stop()
	_, now := w.active(r.Epoch, 1)
	push(t, address, "two")
	want = fmt.Sprintf("/zato/invoke/tick.new ticks epoch %d, Bearer 0123456789abcdef: two", now.Epoch)
	eventually(t, "the service is called", func() bool { all := lb.all(); return len(all) == 2 && all[1] == want }, func() string { return fmt.Sprint(lb.all()) })
}

func TestAChannelThatIsToldOfALaterEpochStopsUntilThereIsOne(t *testing.T) {
	var over atomic.Uint64 // the highest epoch that is refused
	over.Store(math.MaxUint64)
	lb := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if epoch, _ := strconv.ParseUint(r.Header.Get("X-Zato-Connector-Epoch"), 10, 64); epoch <= over.Load() {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprintf(w, `{"zato_env": {"details": "epoch %d is over"}}`, epoch)
		}
	}))
	defer lb.Close()
	w := newTrio(t, append(patient, "--invoke-url", lb.URL)...)
	address := "tcp://" + freeport.For(t)
	w.put("ticks", fmt.Sprintf(`{"name": "ticks", "kind": "zmq", "role": "channel", "service": "tick.new", "socket_type": "PULL", "socket_method": "bind", "address": %q}`, address))
	active, r := w.active(0, 1)
	push(t, address, "one")
	active.await("it is fenced", func(r report) bool {
		return len(r.Connectors) == 1 && r.Connectors[0].State == supervise.Fenced && r.Connectors[0].PID == 0 && r.Connectors[0].Restarts == 0
	})
	said, err := command(nil, "status", "--admin", active.address).CombinedOutput()
	if err == nil || !strings.Contains(string(said), "connector ticks is fenced") || !strings.Contains(string(said), "is over") {
		t.Errorf("status: %v: %s", err, said)
	}
	<-time.After(time.Second) // in which it would have been started again three times
	log := active.stderr.String()
	if n := strings.Count(log, "a child has started"); n != 1 {
		t.Errorf("started %d times", n)
	}
	if n := strings.Count(log, "a connector is fenced"); n != 1 || strings.Count(log, "is over") != 1 {
		t.Errorf("it is said %d times:\n%s", n, log)
	}

	t.Log("a later epoch: the host hands over, and gets the lease back")
	over.Store(r.Epoch)
	other := "host-a"
	if active.id == other {
		other = "host-b"
	}
	for _, to := range []string{other, active.id} {
		if said, err := command(nil, "move", to, "--admin", active.address).CombinedOutput(); err != nil {
			t.Fatalf("move: %v: %s", err, said)
		}
	}
	if again, _ := w.active(r.Epoch, 1); again != active {
		t.Fatalf("%s is active", again.id)
	}
	push(t, address, "two")
	active.await("its counts", func(r report) bool { return len(r.Connectors) == 1 && r.Connectors[0].Counters["accepted"] == 1 })
}

func TestCallsTakeAsLongAsTheHostAllows(t *testing.T) {
	text, err := (&settings{InvokeTimeout: 3 * time.Minute}).shared("")
	if err != nil {
		t.Fatal(err)
	}
	var got shared
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if c := got.calls(&connector.Definition{}, 7); c.Timeout != 3*time.Minute || c.Epoch() != 7 {
		t.Errorf("%v, epoch %d", c.Timeout, c.Epoch())
	}
}

func TestTheTokenIsNowhereInWhatAHostShows(t *testing.T) {
	s := settings{InvokeURL: "http://127.0.0.1:1", InvokeToken: "0123456789abcdef-secret", DrainTimeout: 4 * time.Second}
	text, err := s.shared(s.InvokeToken)
	if err != nil {
		t.Fatal(err)
	}
	var got shared
	if err := json.Unmarshal(text, &got); err != nil || got.Token != s.InvokeToken || got.Drain != 3*time.Second {
		t.Errorf("%+v, %v", got, err)
	}
	shown, err := json.Marshal(newHost(s, net.JoinHostPort("127.0.0.1", "1"), zerolog.Nop()).report())
	if err != nil || strings.Contains(string(shown), "secret") {
		t.Errorf("%s, %v", shown, err)
	}
}
