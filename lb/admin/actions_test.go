package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

func TestAnOperatorActsAndNobodyElse(t *testing.T) {
	done := 0
	f := healthy()
	handler := New(Options{Actions: map[string]Action{
		"work": func(context.Context) (any, error) { done++; return "done", nil },
		"fail": func(context.Context) (any, error) { return nil, errors.New("it cannot be done") },
	}}, f, f, prometheus.NewRegistry(), zerolog.Nop()).Handler()

	for name, c := range map[string]struct {
		method, path, host string
		header             http.Header
		code               int
		says               string
	}{
		"an action":                  {"POST", "/actions/work", "127.0.0.1:11224", nil, 200, `"done"`},
		"one that fails":             {"POST", "/actions/fail", "[::1]:11224", nil, 409, "it cannot be done"},
		"one that is none":           {"POST", "/actions/nothing", "localhost:11224", nil, 404, `no action \"nothing\"`},
		"by GET":                     {"GET", "/actions/work", "127.0.0.1:11224", nil, 404, ""},
		"from another site":          {"POST", "/actions/work", "127.0.0.1:11224", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, ""},
		"from another origin":        {"POST", "/actions/work", "127.0.0.1:11224", http.Header{"Origin": {"http://evil.example"}}, 403, ""},
		"by a name that points here": {"POST", "/actions/work", "evil.example:11224", nil, 403, "use its IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(c.method, "http://"+c.host+c.path, nil)
			for key, values := range c.header {
				request.Header[key] = values
			}
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if body := recorder.Body.String(); recorder.Code != c.code || !strings.Contains(body, c.says) {
				t.Errorf("%d %s", recorder.Code, body)
			}
		})
	}
	if done != 1 {
		t.Errorf("acted %d times", done)
	}
}

// pipe is a listener at which there is one client.
type pipe struct {
	server chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case conn := <-p.server:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestAnActionThatTakesLongIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(d time.Duration) Action {
			return func(ctx context.Context) (any, error) {
				select {
				case <-time.After(d):
					return "done", nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
		}
		f := healthy()
		admin := New(Options{Actions: map[string]Action{"long": wait(ActionTimeout - time.Second), "longer": wait(time.Hour)}}, f, f, prometheus.NewRegistry(), zerolog.Nop())
		listener := &pipe{server: make(chan net.Conn, 1), closed: make(chan struct{})}
		client, server := net.Pipe()
		listener.server <- server
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- admin.Serve(ctx, listener) }()
		answers := bufio.NewReader(client)
		for path, code := range map[string]int{"/actions/long": http.StatusOK, "/actions/longer": http.StatusGatewayTimeout} {
			if _, err := io.WriteString(client, "POST "+path+" HTTP/1.1\r\nHost: 127.0.0.1:11224\r\nContent-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != code {
				t.Errorf("%s: %s %s, %v", path, response.Status, text, err)
			}
		}
		cancel()
		if err := errors.Join(<-done, client.Close()); err != nil {
			t.Error(err)
		}
	})
}
