package integration

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// What an operator chooses of HAProxy's directives, as clients and servers see it.

// headerNames answers with the names of a request's headers that begin with X.
func headerNames(w http.ResponseWriter, r *http.Request) {
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if strings.HasPrefix(name, "X") {
			fmt.Fprintf(w, "%s=%s ", name, r.Header.Get(name))
		}
	}
}

// oddNames is a request with names that CGI and its like would take for others.
const oddNames = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX_Tenant: t\r\n" +
	"X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\nX_Forwarded-Proto: https\r\nX.Forwarded.Proto: https\r\n" +
	"X_Forwarded_Host: evil\r\nX-Forwarded_Port: 1\r\nX_Real-IP: 6.6.6.6\r\nX-Real_IP: 6.6.6.6\r\n\r\n"

func TestOddHeaderNamesAreLeftOutOrKeptAsChosen(t *testing.T) {
	for choice, want := range map[string]string{
		"delete":   "X-Forwarded-For=127.0.0.1 X-Forwarded-Proto=http ",
		"preserve": "X-Forwarded-For=127.0.0.1 X-Forwarded-Proto=http X_tenant=t ",
	} {
		t.Run(choice, func(t *testing.T) {
			c := fronted(t, headerNames, "--http-restrict-req-hdr-names="+choice)
			if response, body := converse(t, c.Front, oddNames); response.StatusCode != http.StatusOK || body != want {
				t.Errorf("got %s %q, want %q", response.Status, body, want)
			}
		})
	}
}

// TestABodyIsReadFirstUnlessItStreams has a body come in two parts, once to a server that answers and once to one that
// dies.
func TestABodyIsReadFirstUnlessItStreams(t *testing.T) {
	for _, test := range []struct {
		name     string
		args     []string
		buffered bool
		retried  int // the answer, if the server that was asked first closes the connection
	}{
		{"read first", nil, true, http.StatusOK},
		{"streams", []string{"--no-http-buffer-request"}, false, http.StatusBadGateway},
	} {
		t.Run(test.name, func(t *testing.T) {
			arrived := make(chan bool, 10)
			var dies sync.Once
			c := fronted(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/zato/ping" || r.URL.Path == "/other" {
					return
				}
				arrived <- true
				if r.URL.Path == "/dies" {
					dies.Do(func() { panic(http.ErrAbortHandler) })
				}
				_, _ = io.Copy(w, r.Body)
			}, test.args...)

			response, body := inTwoParts(t, c, "/echo", arrived, test.buffered)
			if response.StatusCode != http.StatusOK || body != "first second" {
				t.Errorf("got %s %q", response.Status, body)
			}
			if response, _ := inTwoParts(t, c, "/dies", arrived, test.buffered); response.StatusCode != test.retried {
				t.Errorf("where its server dies, it is answered by %s, want %d", response.Status, test.retried)
			}
		})
	}
}

// inTwoParts posts a body of two parts, which may be sent twice, and wants the request to be at the server before the
// second part if that is not to be read first, and else behind it.
func inTwoParts(t *testing.T, c *cluster.Cluster, path string, arrived chan bool, buffered bool) (*http.Response, string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", c.Front)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIdempotency-Key: k\r\nContent-Length: 12\r\n\r\nfirst ", path); err != nil {
		t.Fatal(err)
	}
	if buffered {
		ask(t, &client, "http://"+c.Front+"/other") // HAProxy has seen the first part when it has answered this
		select {
		case <-arrived:
			t.Errorf("%s is at the server before its body is read", path)
		default:
		}
	} else {
		select {
		case <-arrived:
		case <-time.After(bound):
			t.Fatalf("%s is not at the server before all of its body is there", path)
		}
	}
	response, body := converseOver(t, conn, "second")
	for len(arrived) > 0 {
		<-arrived
	}
	return response, body
}

// TestAnswersAreTriedAgainAsChosen has a server that answers every request with 503 the first time.
func TestAnswersAreTriedAgainAsChosen(t *testing.T) {
	var asked sync.Map
	c := fronted(t, func(w http.ResponseWriter, r *http.Request) {
		if _, before := asked.LoadOrStore(r.URL.Path, true); !before && r.URL.Path != "/zato/ping" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, "--retry-on=conn-failure,503")
	for request, want := range map[string]int{
		"GET /a HTTP/1.1\r\nHost: a\r\n":                                                    http.StatusOK,
		"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nIdempotency-Key: k\r\n":        http.StatusOK,
		"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n":                              http.StatusServiceUnavailable,
		"PATCH /d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n": http.StatusServiceUnavailable,
	} {
		if response, _ := converse(t, c.Front, request+"Connection: close\r\n\r\n"); response.StatusCode != want {
			t.Errorf("%q is answered by %s, want %d", request, response.Status, want)
		}
	}
}

func TestWithoutRetriesARequestIsSentOnce(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	c := fronted(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dies" {
			mu.Lock()
			asked++
			mu.Unlock()
			panic(http.ErrAbortHandler)
		}
	}, "--retries=0")
	response, body := converse(t, c.Front, "GET /dies HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	enveloped(t, "a server that dies", response, body)
	mu.Lock()
	defer mu.Unlock()
	if response.StatusCode != http.StatusBadGateway || asked != 1 {
		t.Errorf("answered by %s, and sent %d times", response.Status, asked)
	}
}

// checked is a server that counts the checks that it has answered since it was told how to.
type checked struct {
	mu   sync.Mutex
	sick bool
	n    int
}

func (s *checked) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.sick {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (s *checked) becomes(sick bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sick, s.n = sick, 0
}

func (s *checked) checks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func TestServersGoAndComeAfterSoManyChecks(t *testing.T) {
	// The next check behind the last that counts is far enough away to count exactly.
	server := &checked{}
	c := fronted(t, server.ServeHTTP, "--check-fall=4", "--check-rise=3", "--check-interval=4s", "--check-fastinter=20ms", "--check-downinter=4s", "--check-timeout=2s")
	alive := "http://" + c.Front + "/zato-lb-alive"
	// The first check is not to be counted.
	eventually(t, func() error {
		if server.checks() == 0 {
			return errors.New("HAProxy has not checked it")
		}
		return nil
	})
	server.becomes(true)
	t.Logf("out after %s", answers(t, alive, http.StatusServiceUnavailable))
	if n := server.checks(); n != 4 {
		t.Errorf("it is out after %d bad checks, want 4", n)
	}
	server.becomes(false)
	t.Logf("back after %s", answers(t, alive, http.StatusOK))
	if n := server.checks(); n != 3 {
		t.Errorf("it is back after %d good checks, want 3", n)
	}
}

func TestTheOldestTLSIsChosen(t *testing.T) {
	address := freeport.For(t)
	path := filepath.Join(t.TempDir(), "front.pem")
	certificate := writeCertificate(t, path)
	fronted(t, headerNames, "--tls-listen", address, "--tls-cert", path, "--ssl-min-ver=TLSv1.3")
	if response, _ := ask(t, trusting(certificate), "https://"+address+"/hello"); response.TLS.Version != tls.VersionTLS13 {
		t.Errorf("answered by %s", tls.VersionName(response.TLS.Version))
	}
	old := trusting(certificate)
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	response, err := old.Get("https://" + address + "/hello")
	if alert, refused := errors.AsType[tls.AlertError](err); err == nil || !refused && !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v, %v", err, alert)
	}
	if err == nil {
		response.Body.Close()
	}
}

func TestTheChosenDirectivesHoldBehindADataPlaneAPI(t *testing.T) {
	config := newConfig(t, 0)
	f := newForeign(t, &config)
	config.LBArgs = append(config.LBArgs, "--http-restrict-req-hdr-names=delete", "--no-http-buffer-request", "--retry-on=conn-failure,503",
		"--check-fall=4", "--check-rise=3", "--check-fastinter=20ms", "--check-downinter=4s")
	c := started(t, config)
	server := httptest.NewServer(http.HandlerFunc(headerNames))
	t.Cleanup(server.Close)
	register(t, c, "stranger", server.Listener.Addr().String())
	await(t, c, inRotation(1))
	if response, body := converse(t, c.Front, oddNames); response.StatusCode != http.StatusOK || strings.Contains(body, "_") {
		t.Errorf("got %s %q", response.Status, body)
	}
	text := f.file(t)
	for _, line := range []string{"retry-on conn-failure 503 #", "fastinter 20ms downinter 4000ms fall 4 rise 3 "} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
	if strings.Contains(text, "http-buffer-request") {
		t.Errorf("requests are buffered:\n%s", text)
	}
}
