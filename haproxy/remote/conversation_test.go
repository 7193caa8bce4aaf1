package remote

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// exchange is one request and its answer. As text:
//
//	POST /v2/services/haproxy/configuration/raw?skip_reload=true&version=2
//	X-Runtime-Actions: SetServerState bck_http_plain slot-001 ready
//	    global
//	      nbthread 2
//	201
//	Configuration-Version: 3
//
// A body is indented by four spaces. Of the headers only those are kept that mean something here; of answers to POST
// only errors, because nobody reads the others; and of statistics only what is not 0, and not whose they are.
type exchange struct {
	call    string // method and URI
	actions string
	sent    string
	status  int
	version string
	answer  string
}

const bodyIndent = "    "

// request is the part of the text that a request has to be like.
func (e exchange) request() string {
	text := e.call + "\n"
	if e.actions != "" {
		text += "X-Runtime-Actions: " + e.actions + "\n"
	}
	return text + indented(e.sent)
}

func (e exchange) String() string {
	text := e.request() + strconv.Itoa(e.status) + "\n"
	if e.version != "" {
		text += "Configuration-Version: " + e.version + "\n"
	}
	return text + indented(e.answer)
}

func indented(body string) (text string) {
	for line := range strings.Lines(body) {
		text += bodyIndent + strings.TrimSuffix(line, "\n") + "\n"
	}
	return text
}

// parseConversation reads what exchanges were written as.
func parseConversation(text string) (all []exchange, err error) {
	var e *exchange
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		body, isBody := strings.CutPrefix(line, bodyIndent)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "":
		case word == "GET" || word == "POST":
			all = append(all, exchange{call: line})
			e = &all[len(all)-1]
		case e == nil:
			return nil, fmt.Errorf("%q stands before the first request", line)
		case isBody && e.status == 0:
			e.sent += body + "\n"
		case isBody:
			e.answer += body + "\n"
		case word == "X-Runtime-Actions:":
			e.actions = rest
		case word == "Configuration-Version:":
			e.version = rest
		default:
			if e.status, err = strconv.Atoi(line); err != nil {
				return nil, fmt.Errorf("%q is nothing that a conversation has: %w", line, err)
			}
		}
	}
	return all, nil
}

// conversationFile is where a subtest's conversation is.
func conversationFile(t *testing.T) string {
	_, name, _ := strings.Cut(t.Name(), "/")
	return filepath.Join("testdata", strings.NewReplacer("_", "-", "'", "").Replace(name)+".txt")
}

// replay is an API that knows one conversation and refuses everything else, until the test ends.
func replay(t *testing.T) *httptest.Server {
	t.Helper()
	text, err := os.ReadFile(conversationFile(t))
	if err != nil {
		t.Fatalf("no recorded conversation: %v; record it as conformance_test.go says", err)
	}
	left, err := parseConversation(string(text))
	if err != nil {
		t.Fatalf("%s: %v", conversationFile(t), err)
	}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		came, err := received(r)
		if err != nil || len(left) == 0 || left[0].request() != came.request() {
			t.Errorf("unknown call:\n%s(%v) instead of\n%s", came.request(), err, next(left))
			http.Error(w, "unknown call", http.StatusTeapot)
			return
		}
		w.Header().Set("Configuration-Version", left[0].version)
		w.WriteHeader(left[0].status)
		_, _ = io.WriteString(w, left[0].answer)
		left = left[1:]
	}))
	t.Cleanup(func() {
		server.Close()
		if len(left) > 0 && !t.Failed() {
			t.Errorf("%d calls were not made, the first:\n%s", len(left), next(left))
		}
	})
	return server
}

func next(left []exchange) string {
	if len(left) == 0 {
		return "nothing"
	}
	return left[0].request()
}

func received(r *http.Request) (exchange, error) {
	body, err := io.ReadAll(r.Body)
	return exchange{call: r.Method + " " + r.URL.RequestURI(), actions: r.Header.Get("X-Runtime-Actions"), sent: string(body)}, err
}

// record passes calls on to a real API, and at the end of a test that passed writes down what was said, with what
// differs from run to run replaced by what a replay uses. Without write it only passes on.
func record(t *testing.T, api *url.URL, write bool, replaced *strings.Replacer) *httptest.Server {
	t.Helper()
	var mu sync.Mutex
	var all []exchange
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, err := received(r)
		if err == nil {
			err = said.forward(r, api)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Configuration-Version", said.version)
		w.WriteHeader(said.status)
		_, _ = io.WriteString(w, said.answer)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, said)
	}))
	t.Cleanup(func() {
		server.Close()
		if !write || t.Failed() || t.Skipped() {
			return
		}
		var text []string
		for _, said := range all {
			text = append(text, replaced.Replace(said.shortened().String()))
		}
		if err := os.WriteFile(conversationFile(t), []byte(strings.Join(text, "\n")), 0o644); err != nil {
			t.Error(err)
		}
	})
	return server
}

var idle = regexp.MustCompile(`"\w+":0,|"node":"[^"]*",`)

// shortened is the exchange without what is not worth keeping.
func (e exchange) shortened() exchange {
	switch {
	case strings.HasPrefix(e.call, "POST ") && e.status/100 == 2:
		e.answer = ""
	case strings.Contains(e.call, "/stats/native"), strings.Contains(e.call, "/runtime/info"):
		e.answer = idle.ReplaceAllString(e.answer, "")
	}
	return e
}

// forward has the API answer.
func (e *exchange) forward(r *http.Request, api *url.URL) error {
	target := *api
	target.Path, target.RawQuery = r.URL.Path, r.URL.RawQuery
	sent, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), strings.NewReader(e.sent))
	if err != nil {
		return err
	}
	sent.Header = r.Header.Clone()
	response, err := http.DefaultClient.Do(sent)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	e.status, e.answer, e.version = response.StatusCode, string(body), response.Header.Get("Configuration-Version")
	return err
}
