package consul

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CONSUL_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// stub is a Consul that answers the calls that a test expects, "GET /v1/status/leader" say, and fails the test on others.
type stub map[string]http.HandlerFunc

// client starts the stub and makes a client of it that is less patient than the real one.
func (s stub) client(t *testing.T) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, known := s[r.Method+" "+r.URL.Path]
		if !known {
			t.Errorf("unexpected call %s %s", r.Method, r.URL)
			http.Error(w, "the stub does not know this call", http.StatusNotImplemented)
			return
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client.timeout, client.wait = 500*time.Millisecond, time.Second
	return client
}

// says answers with a body, and with headers given as "Name: value".
func says(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// hangs answers never; it ends when the client gives up.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// breaks closes the connection without an answer, as a Consul that is killed does.
func breaks(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// inTurn answers each call with the next handler, and later ones with the last.
func inTurn(handlers ...http.HandlerFunc) http.HandlerFunc {
	calls := make(chan http.HandlerFunc, len(handlers))
	for _, handler := range handlers {
		calls <- handler
	}
	last := handlers[len(handlers)-1]
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case handler := <-calls:
			handler(w, r)
		default:
			last(w, r)
		}
	}
}
