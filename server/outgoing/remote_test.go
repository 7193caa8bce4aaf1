package outgoing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"zatoha/consul"
	"zatoha/server/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is generous: whatever takes longer is broken, however slow the machine.
const bound = 20 * time.Second

// host is a connector host: it answers as it is told, and keeps what it got.
type host struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	got  []string
}

func newHost(t *testing.T, answer http.HandlerFunc) *host {
	h := &host{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.seen, h.got = append(h.seen, r), append(h.got, string(body))
		h.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	return h
}

func (h *host) address() string { return strings.TrimPrefix(h.URL, "http://") }

// ids are the message IDs as they came.
func (h *host) ids() (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.seen {
		ids = append(ids, r.Header.Get(headerMessageID))
	}
	return ids
}

func newSet(t *testing.T, config Config) *Set {
	t.Helper()
	s := New(config)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx)
	})
	return s
}

// inTurn answers the first request by the first, and so on; the last answers the rest.
func inTurn(answers ...http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		answers[min(int(n.Add(1)), len(answers))-1](w, r)
	}
}

func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func breaks(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func kindOf(err error) service.Kind {
	var failure *service.Error
	if errors.As(err, &failure) {
		return failure.Kind
	}
	return -1
}

func TestWhatAnAnswerMeans(t *testing.T) {
	ok := says(200, "")
	for _, test := range []struct {
		name    string
		answers []http.HandlerFunc
		kind    service.Kind // of the error; -1: none
		says    string
		tries   int // 0: more than one
	}{
		{"confirmed", []http.HandlerFunc{ok}, -1, "", 1},
		{"204 too", []http.HandlerFunc{says(204, "")}, -1, "", 1},
		{"not connected, then confirmed", []http.HandlerFunc{says(503, "no"), says(503, "no"), ok}, -1, "", 3},
		{"a broken connection, then confirmed", []http.HandlerFunc{breaks, ok}, -1, "", 2},
		{"not the active host, then it is", []http.HandlerFunc{says(409, ""), says(421, ""), says(429, ""), says(502, ""), says(504, ""), ok}, -1, "", 6},
		{
			"never connected",
			[]http.HandlerFunc{says(503, `{"zato_env": {"result": "ZATO_ERROR", "details": "the broker is down"}}`)},
			service.Unavailable, `outgoing amqp connection "orders": not confirmed, it may have been sent or not: connector host`, 0,
		},
		{"never connected, and sure of it", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(headerOutcome, notSent)
			http.Error(w, "the broker is down", http.StatusServiceUnavailable)
		}}, service.Unavailable, `not sent: connector host HOST: 503 the broker is down`, 0},
		{"no such connection", []http.HandlerFunc{says(404, "x")}, service.Unavailable, `there is no outgoing amqp connection "orders"`, 1},
		{"too large", []http.HandlerFunc{says(413, "over 1 MB")}, service.TooLarge, "413 over 1 MB", 1},
		{"never to be taken", []http.HandlerFunc{says(422, "no such exchange")}, service.BadRequest, "422 no such exchange", 1},
		{"a wrong token", []http.HandlerFunc{says(401, "who?")}, service.Unavailable, "not sent: connector host HOST: 401 who?", 0},
		{"a token that is being exchanged", []http.HandlerFunc{says(401, "who?"), says(200, "")}, -1, "", 2},
		{"a bug", []http.HandlerFunc{says(500, "oops")}, service.Internal, "500 oops", 1},
		{"a redirect", []http.HandlerFunc{says(302, "")}, service.Internal, "302", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, inTurn(test.answers...))
			s := newSet(t, Config{})
			s.hosts.set([]string{h.address()})
			patience := bound
			if test.tries == 0 {
				patience = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := s.Outgoing("amqp", "orders").Send(ctx, service.Message{Payload: []byte("body")})
			if kindOf(err) != test.kind || err != nil && !strings.Contains(strings.ReplaceAll(err.Error(), h.address(), "HOST"), test.says) {
				t.Errorf("%v", err)
			}
			ids := h.ids()
			if test.tries > 0 && len(ids) != test.tries || len(ids) < 1 {
				t.Errorf("%d tries, want %d", len(ids), test.tries)
			}
			for i, id := range ids {
				if id != ids[0] || id == "" || h.got[i] != "body" {
					t.Errorf("try %d had the ID %q and the body %q", i, id, h.got[i])
				}
			}
		})
	}
}

func TestASendWaitsForAHostAndLeavesOneThatHangs(t *testing.T) {
	hung, good := newHost(t, hangs), newHost(t, says(200, ""))
	s := newSet(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Outgoing("amqp", "orders").Send(ctx, service.Message{})
	if kindOf(err) != service.Unavailable || !strings.Contains(err.Error(), "not sent: no connector host is active") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a host: %v", err)
	}
	sent := make(chan error, 1)
	go func() {
		sent <- s.Outgoing("amqp", "orders").Send(context.WithoutCancel(t.Context()), service.Message{Payload: []byte("x")})
	}()
	s.hosts.set([]string{hung.address()})
	eventually(t, func() bool { return len(hung.ids()) == 1 })
	s.hosts.set([]string{good.address()})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if a, b := hung.ids(), good.ids(); len(b) != 1 || a[0] != b[0] {
		t.Errorf("IDs %q and %q", a, b)
	}
}

func TestOneThatOnlySaysItIsActiveIsPassedOver(t *testing.T) {
	good, dead := newHost(t, says(200, "")), newHost(t, says(200, ""))
	dead.Close()
	s := newSet(t, Config{})
	s.hosts.set([]string{dead.address(), good.address()})
	if err := s.Outgoing("amqp", "orders").Send(t.Context(), service.Message{}); err != nil || len(good.ids()) != 1 {
		t.Error(err)
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(bound)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
		<-poll.C
	}
}

func TestASendWithoutADeadlineIsBounded(t *testing.T) {
	s := newSet(t, Config{Timeout: 20 * time.Millisecond})
	if err := s.Outgoing("amqp", "x").Send(context.Background(), service.Message{}); kindOf(err) != service.Unavailable || !strings.Contains(err.Error(), "it took 20ms") {
		t.Error(err)
	}
}

func TestThePayloadIsNotReadAfterASend(t *testing.T) {
	h := newHost(t, hangs)
	s := newSet(t, Config{})
	s.hosts.set([]string{h.address()})
	for range 20 { // the race detector is the judge
		payload := bytes.Repeat([]byte("x"), 1<<20)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_ = s.Outgoing("amqp", "x").Send(ctx, service.Message{Payload: payload})
		cancel()
		clear(payload)
	}
}

func TestTheLatestHealthyHostIsActive(t *testing.T) {
	host := func(address, epoch string, status consul.Status, tags ...string) consul.Instance {
		return consul.Instance{Address: address, Port: 17110, Tags: tags, Status: status, Meta: map[string]string{consul.EpochMeta: epoch}}
	}
	of := func(cluster string, i consul.Instance) consul.Instance {
		i.Meta[consul.ClusterMeta] = cluster
		return i
	}
	for _, test := range []struct {
		name      string
		instances []consul.Instance
		want      string
	}{
		{"none", nil, ""},
		{"only standbys", []consul.Instance{host("a", "9", consul.Passing, "standby")}, ""},
		{"one", []consul.Instance{host("a", "", consul.Passing, "standby"), host("b", "", consul.Critical, "x", "active")}, "b:17110"},
		{"two during a takeover", []consul.Instance{host("a", "9", consul.Passing, "active"), host("b", "10", consul.Critical, "active")}, "b:17110 a:17110"},
		{"two of one epoch", []consul.Instance{host("a", "9", consul.Critical, "active"), host("b", "9", consul.Warning, "active")}, "b:17110 a:17110"},
		{"two that say no epoch", []consul.Instance{host("a", "?", consul.Passing, "active"), host("b", "", consul.Passing, "active")}, "a:17110 b:17110"},
		{"another cluster's", []consul.Instance{of("other", host("a", "10", consul.Passing, "active")), of("main", host("b", "9", consul.Passing, "active"))}, "b:17110"},
		{"no port", []consul.Instance{{Address: "a", Tags: []string{"active"}}}, ""},
		{"IPv6", []consul.Instance{host("::1", "", consul.Passing, "active")}, "[::1]:17110"},
	} {
		if got := strings.Join(active(test.instances, "main"), " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// scripted observes what a test wants.
type scripted []consul.Observation

func (s scripted) Watch(_ context.Context, _ string, observe func(consul.Observation)) {
	for _, o := range s {
		observe(o)
	}
}

func TestTheLastHostStaysWhileConsulCannotTell(t *testing.T) {
	s := newSet(t, Config{})
	one := consul.Observation{Snapshot: consul.Snapshot{Instances: []consul.Instance{{Address: "a", Port: 1, Tags: []string{"active"}}}}}
	s.Follow(t.Context(), scripted{one, {Err: errors.New("no leader")}}, "hosts", "main")
	if host, _, _ := s.hosts.get(0); host != "a:1" {
		t.Errorf("after an error: %q", host)
	}
	s.Follow(t.Context(), scripted{one, {}}, "hosts", "main")
	if host, _, _ := s.hosts.get(0); host != "" {
		t.Errorf("after it was removed: %q", host)
	}
}

func TestCloseEndsSendsThatWait(t *testing.T) {
	s := New(Config{})
	sent := make(chan error, 1)
	go func() { sent <- s.Outgoing("amqp", "x").Send(context.Background(), service.Message{}) }()
	eventually(t, func() bool { return testutil.ToFloat64(s.metrics.inFlight.WithLabelValues("amqp")) == 1 })
	_ = s.Close(t.Context())
	if err := <-sent; kindOf(err) != service.Unavailable || !strings.Contains(err.Error(), "the server is stopping") {
		t.Error(err)
	}
	if s.Outgoing("jms", "x") != nil {
		t.Error("there is a kind jms")
	}
}

func TestSendsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := newHost(t, inTurn(says(200, ""), says(503, ""), says(200, ""), says(404, ""), says(413, "")))
	s := newSet(t, Config{Registry: registry})
	s.hosts.set([]string{h.address()})
	for range 4 {
		_ = s.Outgoing("amqp", "orders").Send(t.Context(), service.Message{})
	}
	want := `
# HELP zato_server_outgoing_messages_total Messages that services sent, by connection and result (sent, unconfirmed, or the kind of error).
# TYPE zato_server_outgoing_messages_total counter
zato_server_outgoing_messages_total{kind="amqp",name="orders",result="sent"} 2
zato_server_outgoing_messages_total{kind="amqp",name="orders",result="too large"} 1
zato_server_outgoing_messages_total{kind="amqp",name="unknown",result="unknown"} 1
# HELP zato_server_outgoing_retries_total Tries with a connector host that decided nothing, by kind of connection.
# TYPE zato_server_outgoing_retries_total counter
zato_server_outgoing_retries_total{kind="amqp"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "zato_server_outgoing_messages_total", "zato_server_outgoing_retries_total"); err != nil {
		t.Error(err)
	}
}
