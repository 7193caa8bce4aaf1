package invoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zatoha/connectorhost/connector"
)

// serve starts a stand-in of the load balancer and returns a client of it.
func serve(t *testing.T, handler http.HandlerFunc, change func(*Config)) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	config := Config{
		LB: server.URL, Connector: "orders", Service: "order.new", MediaType: "application/json",
		Epoch: func() uint64 { return 7 },
	}
	if change != nil {
		change(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

var message = connector.Message{ID: "4711", Stable: true, Body: []byte(`{"a": 1}`)}

func TestTheRequestIsTheContract(t *testing.T) {
	var got *http.Request
	var body []byte
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}, func(c *Config) { c.Token = connector.NewSecret("${env:ZATOHA_TEST_TOKEN}") })
	t.Setenv("ZATOHA_TEST_TOKEN", "s3cret")
	redelivered := message
	redelivered.Redelivered, redelivered.ContentType, redelivered.Properties = true, "text/plain", map[string]string{"reply_to": "Büro"}
	if err := client.Invoke(t.Context(), redelivered); err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || got.URL.Path != "/zato/invoke/order.new" || string(body) != `{"a": 1}` || got.ContentLength != 8 {
		t.Errorf("%s %s with %q", got.Method, got.URL, body)
	}
	for name, want := range map[string]string{
		"X-Zato-Connector": "orders", "X-Zato-Connector-Epoch": "7", "X-Zato-Message-Id": "4711", "Idempotency-Key": "",
		"X-Zato-Redelivered": "true", "Content-Type": "text/plain", "Authorization": "Bearer s3cret",
		"X-Zato-Properties": `{"reply_to":"B\u00fcro"}`,
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if err := client.Invoke(t.Context(), message); err != nil || got.Header.Get("X-Zato-Redelivered")+got.Header.Get("X-Zato-Properties") != "" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v, %v", got.Header, err)
	}
}

func TestEveryAnswerChoosesWhatBecomesOfTheMessage(t *testing.T) {
	var status int
	var answer, epoch string
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/zato-lb-alive" {
			return
		}
		if epoch != "" {
			w.Header().Set("X-Zato-Connector-Epoch", epoch)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}, nil)
	envelope := func(details string) string {
		return `{"zato_env": {"result": "ZATO_ERROR", "cid": "K1", "details": "` + details + `"}}`
	}
	counts := errors.New("counts")
	for _, test := range []struct {
		status        int
		answer, epoch string
		want          error
	}{
		{200, "", "", nil},
		{204, "", "", nil},
		{301, "", "", connector.ErrUnavailable},
		{400, envelope("no amount"), "", counts},
		{401, "", "", connector.ErrUnavailable},
		{403, "", "", connector.ErrUnavailable},
		{404, envelope("no such service"), "", counts},
		{405, "", "", counts},
		{408, "", "", connector.ErrUnavailable},
		{409, envelope("order 7 is closed"), "", counts},
		{409, envelope("order 7 is closed"), "7", counts},
		{409, envelope("stale"), "8", connector.ErrFenced},
		{409, envelope("epoch 7 is over, there is 8: another connector host has taken over"), "", connector.ErrFenced},
		{409, envelope("the epoch of this ledger is closed"), "", counts},
		{413, "", "", connector.ErrUnfit},
		{415, "", "", connector.ErrUnfit},
		{431, "", "", connector.ErrUnfit},
		{422, "", "", counts},
		{429, "", "", connector.ErrUnavailable},
		{500, envelope("internal error"), "", counts},
		{501, "", "", counts},
		{502, "", "", connector.ErrInterrupted},
		{503, envelope("no server"), "", connector.ErrUnavailable},
		{504, "", "", counts},
	} {
		status, answer, epoch = test.status, test.answer, test.epoch
		err := client.Invoke(t.Context(), message)
		if got := class(err, counts); got != test.want {
			t.Errorf("%d %s %s: %v (%v), want %v", test.status, test.answer, test.epoch, err, got, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint(test.status)) {
			t.Errorf("%v does not say %d", err, test.status)
		}
	}
}

// class is which of the errors it is that choose behaviour; counts if it is another.
func class(err, counts error) error {
	for _, known := range []error{connector.ErrFenced, connector.ErrUnfit, connector.ErrUnavailable, connector.ErrInterrupted, connector.ErrDefinition} {
		if errors.Is(err, known) {
			return known
		}
	}
	if err != nil {
		return counts
	}
	return nil
}

func TestARefusalCountsOnlyIfAServiceGaveIt(t *testing.T) {
	var status int
	var cid, challenge string
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{"X-Zato-CID": cid, "WWW-Authenticate": challenge} {
			if value != "" {
				w.Header().Set(name, value)
			}
		}
		w.WriteHeader(status)
	}, nil)
	counts := errors.New("counts")
	for _, test := range []struct {
		name           string
		status         int
		cid, challenge string
		want           error
	}{
		{"a service that does not know the caller", 401, "K1", `Basic realm="zato"`, counts},
		{"a service that forbids it", 403, "K1", "", counts},
		{"a server that has another token", 401, "K1", `Bearer realm="zato"`, connector.ErrUnavailable},
		{"a load balancer that wants a password", 401, "", `Basic realm="x"`, connector.ErrUnavailable},
		{"a load balancer that lets nobody through", 403, "", "", connector.ErrUnavailable},
	} {
		status, cid, challenge = test.status, test.cid, test.challenge
		if got := class(client.Invoke(t.Context(), message), counts); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestASlowServiceIsToBlameOnlyIfThereAreServers(t *testing.T) {
	var alive atomic.Int64
	free := make(chan struct{})
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/zato-lb-alive" {
			w.WriteHeader(int(alive.Load()))
			return
		}
		<-free
	}, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	defer close(free)
	for status, want := range map[int]error{200: nil, 503: connector.ErrUnavailable} {
		alive.Store(int64(status))
		err := client.Invoke(t.Context(), message)
		if err == nil || class(err, nil) != want {
			t.Errorf("with %d: %v, want %v", status, err, want)
		}
	}
}

// A server that dies when it has the message may have died of it, unless none is left at all.
func TestAMessageIsSuspectedOnlyIfAServerHadItAndOthersLive(t *testing.T) {
	var alive, begun atomic.Int64
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/zato-lb-alive" {
			w.WriteHeader(int(alive.Load()))
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"[:begun.Load()])
			connection.Close()
		}
	}, nil)
	for _, length := range []int64{0, 5, 42} { // no answer, none that is HTTP, half of one
		begun.Store(length)
		for status, want := range map[int]error{200: connector.ErrInterrupted, 503: connector.ErrUnavailable} {
			alive.Store(int64(status))
			if err := client.Invoke(t.Context(), message); class(err, nil) != want {
				t.Errorf("%d bytes of an answer, then alive is %d: %v, want %v", length, status, err, want)
			}
		}
	}
}

func TestATierThatIsAwayIsNotTheMessagesFault(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	client := serve(t, nil, func(c *Config) { c.LB, c.Timeout = "http://"+address, 100*time.Millisecond })
	if err := client.Invoke(t.Context(), message); !errors.Is(err, connector.ErrUnavailable) { // accepted by the kernel, never answered
		t.Errorf("frozen: %v", err)
	}
	listener.Close()
	if err := client.Invoke(t.Context(), message); !errors.Is(err, connector.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			connection.Close()
		}
	}, nil)
	if err := broken.Invoke(t.Context(), message); !errors.Is(err, connector.ErrUnavailable) {
		t.Errorf("an answer that breaks off: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := broken.Invoke(ctx, message); !errors.Is(err, connector.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOnlyTheKindAndTheServersLimitAMessage(t *testing.T) {
	var length int64
	client := serve(t, func(_ http.ResponseWriter, r *http.Request) { length, _ = io.Copy(io.Discard, r.Body) }, nil)
	large := message
	large.Body = make([]byte, 16<<20+1)
	if err := client.Invoke(t.Context(), large); err != nil || length != int64(len(large.Body)) {
		t.Error(err, length)
	}
}

func TestTheLongestPropertiesAreLeftOut(t *testing.T) {
	long, longer := strings.Repeat("1,", 2<<10), strings.Repeat("ü", 3<<10)
	for want, properties := range map[string]map[string]string{
		`{"key":"k"}`:                                 {"key": "k"},
		`{"key":"k","omitted":"part_sizes"}`:          {"key": "k", "part_sizes": long},
		`{"key":"k","omitted":"reply_to,part_sizes"}`: {"key": "k", "part_sizes": long, "reply_to": longer},
		"": {strings.Repeat("n", 5<<10): ""},
	} {
		if got := propertiesValue(properties); got != want {
			t.Errorf("%.200s, want %s", got, want)
		}
	}
}

func TestAnyIDMakesAHeader(t *testing.T) {
	for _, id := range []string{"", " a", "a\r\nX-Evil: 1", "ü", strings.Repeat("x", 256)} {
		value := headerValue(id)
		if !printable(value) || !strings.HasPrefix(value, "sha256-") || value != headerValue(id) {
			t.Errorf("%q: %q", id, value)
		}
	}
	if value := headerValue("4711"); value != "4711" {
		t.Error(value)
	}
}

func TestATokenIsLookedUpAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	calls := 0
	client := serve(t, func(http.ResponseWriter, *http.Request) { calls++ }, func(c *Config) { c.Token = connector.NewSecret("${file:" + file + "}") })
	if err := client.Invoke(t.Context(), message); !errors.Is(err, connector.ErrUnavailable) || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("to\nken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.Invoke(t.Context(), message); err == nil || strings.Contains(err.Error(), "ken\"") || calls != 0 {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.Invoke(t.Context(), message); err != nil || calls != 1 {
		t.Error(err, calls)
	}
}

func TestABadConfigurationIsADefinitionError(t *testing.T) {
	for _, lb := range []string{"", "127.0.0.1:11223", "ftp://x", "http://", "http://a b"} {
		if _, err := New(Config{LB: lb, Epoch: func() uint64 { return 1 }}); !errors.Is(err, connector.ErrDefinition) {
			t.Errorf("%q: %v", lb, err)
		}
	}
}
