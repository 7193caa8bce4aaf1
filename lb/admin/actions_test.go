package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
