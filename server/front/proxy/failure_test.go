package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestWhatTheApplicationDoesWrongIsSaid(t *testing.T) {
	silent := script(t, func(_ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) })
	halfHead := script(t, func(c net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ")
		_, _ = io.Copy(io.Discard, in)
	})
	refusing := listen(t)
	_ = refusing.Close()
	for _, c := range []struct {
		name, upstream string
		status         int
		reason, body   string
	}{
		{"nobody listens", "http://" + refusing.Addr().String(), 502, "connect", "the application cannot be reached"},
		{"silence", silent, 504, "response_timeout", "the application did not answer in time"},
		{"silence in the head", halfHead, 504, "response_timeout", "the application did not answer in time"},
		{"a close", answering(t, ""), 502, "no_response", "the application closed the connection without an answer"},
		{"a close in the head", answering(t, "HTTP/1.1 200 OK\r\nA: b"), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"no HTTP", answering(t, "220 mail.example\r\n\r\n"), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"two lengths", answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"a length that is none", answering(t, "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na"), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"an unknown encoding", answering(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"NUL in a header", answering(t, "HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n"), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"an upgrade that nobody asked for", answering(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"endless interim responses", answering(t, strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20)), 502, "bad_response", "the application's answer is no valid HTTP response"},
		{"a large head", answering(t, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 20000)+"\r\n\r\n"), 502, "bad_response", "the application's response headers are too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.upstream, func(o *Options) { o.ResponseTimeout = 60 * time.Millisecond })
			s.exchange(t, get).check(t, c.status, "refused: "+c.body)
			if got := s.metric(t, fmt.Sprintf("zato_server_upstream_failures_total{reason=%q}", c.reason)); got != 1 {
				t.Errorf("the metric of %s is %v", c.reason, got)
			}
			if log := s.log.String(); !strings.Contains(log, testCID) || !strings.Contains(log, c.reason) {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

func TestAConnectionThatCannotBeHadInTimeIs504(t *testing.T) {
	// A listener that accepts nothing, with its queue full, leaves connections waiting.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 4 {
		if c, err := net.DialTimeout("tcp", address, 50*time.Millisecond); err == nil {
			defer c.Close()
		}
	}
	s := start(t, "http://"+address, func(o *Options) { o.ConnectTimeout = 50 * time.Millisecond })
	s.exchange(t, get).check(t, 504, "refused: the application cannot be reached in time")
}

func TestATruncatedResponseLooksTruncated(t *testing.T) {
	for _, c := range []struct{ name, response, version string }{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome", "1.1"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", "1.1"},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nzz\r\n", "1.1"},
		{"no end of the trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\nA: b\r\n", "1.1"},
		{"chunks to a client of HTTP/1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", "1.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, answering(t, c.response), nil)
			got := s.exchange(t, "GET / HTTP/"+c.version+"\r\nHost: x\r\n\r\n")
			if got.StatusCode != 200 || !strings.HasPrefix("some", got.body) || got.err == nil {
				t.Errorf("%d %q, %v", got.StatusCode, got.body, got.err)
			}
			eventually(t, "it is counted", func() bool {
				return s.metric(t, `zato_server_upstream_failures_total{reason="broken_off"}`) == 1
			})
		})
	}
}

func TestAResponseThatStopsIsBrokenOff(t *testing.T) {
	s := start(t, script(t, func(c net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
		_, _ = io.Copy(io.Discard, in)
	}), func(o *Options) { o.BodyTimeout = 80 * time.Millisecond })
	if got := s.exchange(t, get); got.body != "some" || got.err == nil {
		t.Errorf("%q, %v", got.body, got.err)
	}
}

func TestOnlyHarmlessRequestsAreSentAgain(t *testing.T) {
	// Each connection answers one request and is closed when the second one comes, as an application does that closes
	// unused connections just then.
	var requests atomic.Int32
	upstream := script(t, func(c net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		requests.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, _ = in.Peek(1)
	})
	for _, c := range []struct {
		request string
		status  int
	}{
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		{"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 502},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 502},
		{"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 502},
	} {
		t.Run(c.request[:6], func(t *testing.T) {
			s := start(t, upstream, func(o *Options) { o.IdleTimeout = time.Minute })
			s.exchange(t, get).check(t, 200, "")
			requests.Store(0)
			if got := s.exchange(t, c.request); got.StatusCode != c.status {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
			if want := map[int]int32{200: 1}[c.status]; requests.Load() != want {
				t.Errorf("%d further requests, want %d", requests.Load(), want)
			}
		})
	}
}

func TestAConnectionThatTheApplicationClosedIsNotUsed(t *testing.T) {
	s := start(t, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil)
	for range 10 {
		s.exchange(t, "POST / HTTP/1.1\r\nHost: x\r\n\r\n").check(t, 200, "")
		eventually(t, "the application's close has arrived", func() bool {
			s.pool.mu.Lock()
			defer s.pool.mu.Unlock()
			return len(s.pool.idle) == 0 || !s.pool.idle[0].usable()
		})
	}
}

// Who answers more than was asked would answer the next client's request with it.
func TestAnAnswerTooManyIsNobodys(t *testing.T) {
	s := start(t, script(t, func(c net.Conn, in *bufio.Reader) {
		for {
			if _, err := readHead(in); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}
	}), nil)
	for range 5 {
		s.exchange(t, get).check(t, 200, "ok")
	}
}

func TestTooManyRequestsAreToldSo(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	s := start(t, application(t, func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-finish
	}), func(o *Options) { o.Connections, o.ConnectTimeout = 1, 50*time.Millisecond })
	first := s.dial(t)
	send(t, first, get)
	<-entered
	second := s.exchange(t, get)
	second.check(t, 503, "refused: the application has too many requests in hand")
	if second.Header.Get("Retry-After") != "1" {
		t.Error("there is no Retry-After")
	}
	close(finish)
	receive(t, bufio.NewReader(first), "GET").check(t, 200, "")
}

func TestTheApplicationSeesThatTheClientHasGone(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin string // of the response
	}{
		{"before the response", ""},
		{"between parts of the response", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun, gone := make(chan struct{}), make(chan error, 1)
			s := start(t, script(t, func(u net.Conn, in *bufio.Reader) {
				_, _ = readHead(in)
				_, _ = io.WriteString(u, c.begin)
				close(begun)
				_, err := in.ReadByte()
				gone <- err
			}), nil)
			client := s.dial(t)
			send(t, client, get)
			<-begun
			if c.begin != "" {
				if _, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil {
					t.Fatal(err)
				}
			}
			_ = client.Close()
			if err := <-gone; err == nil || isTimeout(err) {
				t.Errorf("the application's connection: %v", err)
			}
			eventually(t, "it is counted", func() bool {
				return s.metric(t, `zato_server_upstream_failures_total{reason="client_gone"}`) == 1
			})
		})
	}
}

func TestCloseEndsWhatIsInFlight(t *testing.T) {
	entered := make(chan struct{})
	s := start(t, script(t, func(_ net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		close(entered)
		_, _ = io.Copy(io.Discard, in)
	}), nil)
	c := s.dial(t)
	send(t, c, get)
	<-entered
	s.Close()
	receive(t, bufio.NewReader(c), "GET").check(t, 503, "refused: the server is stopping")
	s.exchange(t, get).check(t, 503, "refused: the server is stopping")
}

func TestBadOptionsAreRefused(t *testing.T) {
	for upstream, want := range map[string]string{
		"":                      `upstream "": it must begin with http:// and a host; give a base URL like http://127.0.0.1:8000`,
		"127.0.0.1:80":          `upstream "127.0.0.1:80": it is no URL; give a base URL like http://127.0.0.1:8000`,
		"https://a":             `upstream "https://a": only http is spoken to an application, which is to be on the same machine; give a base URL like http://127.0.0.1:8000`,
		"http://a?b":            `upstream "http://a?b": it must have no user, query or fragment; give a base URL like http://127.0.0.1:8000`,
		"http://u:p@a":          `upstream "http://u:p@a": it must have no user, query or fragment; give a base URL like http://127.0.0.1:8000`,
		"http://127.0.0.1:8000": "",
		"http://[::1]:8000/a/":  "",
		"http://localhost":      "",
	} {
		got := ""
		p, err := New(testOptions(upstream))
		if err != nil {
			got = err.Error()
		} else {
			p.Close()
		}
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	_, err := New(Options{Upstream: "http://a", HealthPath: "x y"})
	for _, want := range []string{"connect timeout", "response timeout", "body timeout", "tunnel timeout", "idle timeout", "health timeout", "health interval", "connections", "header bytes", "health path", "Refuse"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of the %s in %v", want, err)
		}
	}
}
