package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTheRequestArrivesAsItWasSent compares bytes: what the client sent with what the application got.
func TestTheRequestArrivesAsItWasSent(t *testing.T) {
	got := make(chan string, 1)
	upstream := script(t, func(c net.Conn, in *bufio.Reader) {
		head, err := readHead(in)
		if err != nil {
			return
		}
		got <- head
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	const cid = "X-Zato-CID: " + testCID + "\r\n"
	for _, c := range []struct{ name, request, want string }{
		{
			"plain", "GET /a/..b//%20c?q=../1&q=2 HTTP/1.1\r\nHost: shop.example\r\nx-odd-CASE: 1\r\nCookie: a=b; ;c\r\nCookie: d\r\n\r\n",
			"GET /a/..b//%20c?q=../1&q=2 HTTP/1.1\r\nHost: shop.example\r\nx-odd-CASE: 1\r\nCookie: a=b; ;c\r\nCookie: d\r\n" + cid,
		},
		{
			"forwarded headers and trace", "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\ntraceparent: 00-1-2-01\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\ntraceparent: 00-1-2-01\r\n" + cid,
		},
		{
			"hop by hop", "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x-mine, X-Forwarded-For\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nX-Mine: 1\r\n" +
				"Proxy-Authorization: b\r\nProxy-Connection: c\r\nUpgrade: websocket\r\nX-Forwarded-For: 1.2.3.4\r\nA: b\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\nA: b\r\n" + cid,
		},
		{"a CID of the client's", "GET / HTTP/1.1\r\nHost: x\r\nX-Zato-CID: K1\r\nX_Zato_Cid: K2\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n" + cid},
		{"URL as target", "GET http://real.example/p?q HTTP/1.1\r\nHost: other\r\n\r\n", "GET /p?q HTTP/1.1\r\nHost: real.example\r\n" + cid},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n" + cid + "Content-Length: 0\r\n"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n" + cid},
		{"no body", "POST / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\n" + cid + "Content-Length: 0\r\n"},
		{"body", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "PUT / HTTP/1.1\r\nHost: x\r\n" + cid + "Content-Length: 2\r\n"},
		{"expectation", "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "PUT / HTTP/1.1\r\nHost: x\r\n" + cid + "Content-Length: 2\r\n"},
		{"chunks", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "PUT / HTTP/1.1\r\nHost: x\r\n" + cid + "Transfer-Encoding: chunked\r\n"},
		{"upgrade", "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n" + cid + "Connection: Upgrade\r\nUpgrade: websocket\r\n"},
		{"upgrade to HTTP/2", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n" + cid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, upstream, nil)
			client := s.dial(t)
			send(t, client, c.request)
			if head := <-got; head != c.want+"\r\n" {
				t.Errorf("got\n%swant\n%s", head, c.want)
			}
			_ = client.Close()
		})
	}
	t.Run("an upstream with a path", func(t *testing.T) {
		s := start(t, upstream+"/base/", nil)
		send(t, s.dial(t), "GET /p HTTP/1.1\r\nHost: x\r\n\r\n")
		want := "GET /base/p HTTP/1.1\r\nHost: x\r\n" + cid + "\r\n"
		if head := <-got; head != want {
			t.Errorf("got\n%swant\n%s", head, want)
		}
	})
}

// TestWhatCannotBePassedOnIsRefused has no upstream at all: nothing must be connected to.
func TestWhatCannotBePassedOnIsRefused(t *testing.T) {
	s := start(t, "http://127.0.0.1:1", nil)
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"length and chunks", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"folded header", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
		{"space in a name", "GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", 400},
		{"fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"user in a URL", "GET http://a@b/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"dots", "GET /a/x/../../b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"dots at the end", "GET /a/.. HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"one dot", "GET /./a?b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"dots in a URL", "GET http://x/../a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"encoded dots", "GET /a/%2e%2E/b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"dots between encoded slashes", "GET /a%2f.%2e%2Fb HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := s.exchange(t, c.request)
			if got.StatusCode != c.status || !strings.HasPrefix(got.body, "refused: ") || !got.Close {
				t.Errorf("%d %q, closed: %v", got.StatusCode, got.body, got.Close)
			}
		})
	}
}

func TestTheResponseArrivesAsItWasSent(t *testing.T) {
	for _, c := range []struct {
		name, response string
		method         string
		status         int
		body           string
		headers        string // names that must not be there begin with -
	}{
		{"length", "HTTP/1.1 201 Made\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nX-A: b\r\n\r\nhi", "GET", 201, "hi", "Set-Cookie=a=1|b=2; Path=/ X-A=b -Content-Type Content-Length=2"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nhi\r\n4\r\n you\r\n0\r\n\r\n", "GET", 200, "hi you", ""},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nhi", "GET", 200, "hi", "-Connection"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Type: text/x\r\n\r\nhi", "GET", 200, "hi", "Content-Type=text/x"},
		{"hop by hop", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, x-mine\r\nKeep-Alive: timeout=1\r\nX-Mine: 1\r\nProxy-Authenticate: x\r\nUpgrade: y\r\nX-Zato-CID: other\r\n\r\n", "GET", 200, "", "-Connection -Keep-Alive -X-Mine -Proxy-Authenticate -Upgrade"},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, "", "-Content-Length -Transfer-Encoding"},
		{"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nEtag: x\r\n\r\n", "GET", 304, "", "Etag=x Content-Length=7"},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "HEAD", 200, "", "Content-Length=7"},
		{"HEAD of chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200, "", "-Content-Length"},
		{"a status of one's own", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", "GET", 799, "", ""},
		{"100 before", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", 200, "hi", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, answering(t, c.response), nil)
			got := s.exchange(t, c.method+" / HTTP/1.1\r\nHost: x\r\n\r\n")
			got.check(t, c.status, c.body)
			if got.Close {
				t.Error("the client's connection is closed")
			}
			for want := range strings.FieldsSeq(strings.ReplaceAll(c.headers, "; ", ";_")) {
				name, value, _ := strings.Cut(strings.ReplaceAll(want, ";_", "; "), "=")
				have := strings.Join(got.Header.Values(name), "|")
				if absent, no := strings.CutPrefix(name, "-"); no && got.Header.Values(absent) != nil || have != value {
					t.Errorf("%s is %q, want %q", name, have, value)
				}
			}
		})
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	s := start(t, application(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", body, r.Trailer.Get("X-Check"))
		w.Header().Set("X-Sum", "42")
	}), nil)
	got := s.exchange(t, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n2\r\nhi\r\n0\r\nX-Check: 7\r\n\r\n")
	got.check(t, 200, "hi 7")
	if got.Trailer.Get("X-Sum") != "42" {
		t.Errorf("trailers: %v", got.Trailer)
	}
}

func TestEarlyHintsArriveBeforeTheResponse(t *testing.T) {
	finish := make(chan struct{})
	s := start(t, application(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		<-finish
	}), nil)
	c := s.dial(t)
	send(t, c, get)
	in := bufio.NewReader(c)
	hints, err := http.ReadResponse(in, nil)
	close(finish)
	if err != nil || hints.StatusCode != 103 || hints.Header.Get("Link") == "" {
		t.Fatalf("%v, %v", hints, err)
	}
	receive(t, in, "GET").check(t, 200, "")
}

func TestAClientOfHTTP10GetsNoChunks(t *testing.T) {
	s := start(t, application(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, "part ")
			w.(http.Flusher).Flush()
		}
	}), nil)
	got := s.exchange(t, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	got.check(t, 200, "part part part ")
	if got.TransferEncoding != nil || !got.Close {
		t.Errorf("transfer encoding %v, closed: %v", got.TransferEncoding, got.Close)
	}
}

// Many requests on few connections, with all kinds of bodies: whatever is left over would become part of the next.
func TestConnectionsAreUsedAgain(t *testing.T) {
	s := start(t, application(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(body)
	}), nil)
	c := s.dial(t)
	in := bufio.NewReader(c)
	for i := range 60 {
		body := strings.Repeat("x", i*i*20)
		path := []string{"/", "/chunked"}[i%2]
		if i%3 == 0 {
			send(t, c, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", path, max(len(body), 1), body+strings.Repeat("y", 1-min(len(body), 1))))
			if len(body) == 0 {
				body = "y"
			}
		} else {
			send(t, c, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body))
		}
		receive(t, in, "POST").check(t, 200, body)
	}
	if _, idle := s.pool.counts(); idle != 1 {
		t.Errorf("%d idle connections, want 1", idle)
	}
}

func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	s := start(t, application(t, func(http.ResponseWriter, *http.Request) {}), func(o *Options) { o.IdleTimeout = 20 * time.Millisecond })
	for range 3 {
		s.exchange(t, get).check(t, 200, "")
		eventually(t, "the idle connection is closed", func() bool { _, idle := s.pool.counts(); return idle == 0 })
	}
}
