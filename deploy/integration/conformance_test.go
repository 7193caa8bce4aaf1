package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// requirement is something that RFC 9110 or 9112 wants of servers and gateways, as a request and what must come of it.
// What must be refused, and what is hostile, is in testdata/hostile.
type requirement struct {
	section string // of the RFC
	what    string
	sent    string
	want    string // a pattern of the whole answer
	never   string // a pattern that must not be in it; "": none
	known   string // why it is not kept
}

const (
	req = " HTTP/1.1\r\nHost: x\r\n"
	end = "Connection: close\r\n\r\n"
)

// ofServers are kept by HAProxy and our server together.
var ofServers = []requirement{
	{"9112 2.2", "an empty line before the request is skipped", "\r\nGET /zato/ping" + req + end, `^HTTP/1\.1 200 `, "", ""},
	{"9112 2.3", "a request of HTTP/1.0 is answered", "GET /zato/ping HTTP/1.0\r\n\r\n", `^HTTP/1\.[01] 200 `, `(?i)transfer-encoding`, ""},
	{"9112 3.2", "no Host is 400", "GET /zato/ping HTTP/1.1\r\nConnection: close\r\n\r\n", `^HTTP/1\.[01] 400 `, "", ""},
	{"9112 3.2", "two Hosts are 400", "GET /zato/ping" + req + "Host: y\r\n" + end, `^HTTP/1\.[01] 400 `, "", ""},
	{"9112 3.2.2", "the absolute form is taken", "GET http://x/zato/ping" + req + end, `^HTTP/1\.1 200 `, "", ""},
	{"9112 3.2.4", "OPTIONS of the server as a whole is answered", "OPTIONS *" + req + end, `^HTTP/1\.1 (2\d\d|404) `, "", ""},
	{"9112 5.1", "names of headers have no case", "POST /zato/ping HTTP/1.1\r\nhOST: x\r\ncOnTeNt-LeNgTh: 2\r\n" + end + "{}", `^HTTP/1\.1 200 `, "", ""},
	{"9112 5.1", "space around a value is no part of it", "POST /zato/ping HTTP/1.1\r\nHost:x\r\nContent-Length: \t 2 \t\r\n" + end + "{}", `^HTTP/1\.1 200 `, "", ""},
	{"9112 5.1", "space before the colon is 400", "GET /zato/ping HTTP/1.1\r\nHost : x\r\n" + end, `^HTTP/1\.[01] 400 `, "", ""},
	{"9112 6.3", "a length and chunks: the chunks count, or 400", "POST /zato/ping" + req + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n" + end + "0\r\n\r\n", `^HTTP/1\.[01] (200|400) `, "", ""},
	{"9112 7.1", "chunks, extensions and trailers are read", "POST /zato/ping" + req + "Transfer-Encoding: Chunked\r\n" + end + "1;a=\"b\"\r\n{\r\n01\r\n}\r\n0\r\nX-Trailer: y\r\n\r\n", `^HTTP/1\.1 200 `, "", ""},
	{"9112 6.1", "a transfer coding that nobody knows is 400 or 501", "POST /zato/ping" + req + "Transfer-Encoding: rot13, chunked\r\n" + end + "0\r\n\r\n", `^HTTP/1\.[01] (400|422|501) `, "", ""},
	{"9112 9.3", "a connection is kept", "GET /zato/ping" + req + "\r\nGET /zato/ping" + req + end, `(?s)^HTTP/1\.1 200 .*\}HTTP/1\.1 200 .*\}$`, "", ""},
	{"9112 9.3", "HTTP/1.0 is kept where it is asked for", "GET /zato/ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /zato/ping HTTP/1.0\r\n\r\n", `(?s)^HTTP/1\.[01] 200 .*(?i)connection: keep-alive.*HTTP/1\.[01] 200 `, "", ""},
	{"9112 9.3.2", "pipelined requests are answered in order", "GET /zato/ping" + req + "\r\nGET /none" + req + "\r\nDELETE /zato/ping" + req + end, `(?s)^HTTP/1\.1 200 .*HTTP/1\.1 404 .*HTTP/1\.1 405 `, "", ""},
	{"9112 9.6", "close is announced by who closes", "GET /zato/ping" + req + end, `(?i)connection: close\r\n`, "", ""},
	{"9110 6.6.1", "an answer has a Date", "GET /zato/ping" + req + end, `(?i)\r\ndate: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n`, "", ""},
	{"9110 8.6", "204 has no length and no body", "OPTIONS /zato/ping" + req + end, `(?s)^HTTP/1\.1 204 .*\r\n\r\n$`, `(?i)(content-length|transfer-encoding)`, ""},
	{"9110 9.3.2", "HEAD has the headers of GET and no body", "HEAD /zato/ping" + req + end, `(?si)^HTTP/1\.1 200 .*content-length: 1[0-9]{2}\r\n.*\r\n\r\n$`, "zato_ping_response", ""},
	{"9110 9.3.7", "OPTIONS tells the methods", "OPTIONS /zato/ping" + req + end, `(?i)\r\nallow: GET, HEAD, OPTIONS, POST\r\n`, "", ""},
	{"9110 9.3.8", "TRACE shows nobody's headers", "TRACE /zato/ping" + req + "Cookie: secret\r\n" + end, `^HTTP/1\.1 405 `, "secret", ""},
	{"9110 9.1", "a method that nobody knows is 405 or 501", "FROB /zato/ping" + req + end, `^HTTP/1\.1 (405|501) `, "", ""},
	{"9110 15.5.6", "405 has Allow", "DELETE /zato/ping" + req + end, `(?si)^HTTP/1\.1 405 .*\r\nallow: `, "", ""},
	{"9110 9.1", "methods have case", "get /zato/ping" + req + end, `^HTTP/1\.[01] (400|405|501) `, "", ""},
	{"9110 10.1.1", "100-continue is answered before the body", "POST /zato/ping" + req + "Expect: 100-continue\r\nContent-Length: 2\r\n" + end + "{}", `(?s)^(HTTP/1\.1 100 .*)?HTTP/1\.1 200 `, "", ""},
	{"9110 10.1.1", "HTTP/1.0 gets no 100", "POST /zato/ping HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", `^HTTP/1\.[01] 200 `, ` 100 `, ""},
	{"9110 7.8", "an upgrade that nobody offers is ignored", "GET /zato/ping" + req + "Upgrade: foo/2\r\nConnection: upgrade, close\r\n\r\n", `^HTTP/1\.1 200 `, "", ""},
	{"9110 14.2", "a range of what has none is ignored", "GET /zato/ping" + req + "Range: bytes=0-3\r\n" + end, `^HTTP/1\.1 200 `, "", ""},
	{"9110 13.2.1", "a condition that nobody knows of is ignored", "GET /zato/ping" + req + "If-None-Match: \"x\"\r\n" + end, `^HTTP/1\.1 200 `, "", ""},
	{"9110 11.6.1", "401 has a challenge", "POST /zato/invoke/demo.echo" + req + "Content-Length: 0\r\n" + end, `(?si)^HTTP/1\.1 (401 .*www-authenticate: |404 )`, "", ""},
	{"9110 4.1", "8,000 bytes of target are taken", "GET /zato/ping?" + strings.Repeat("a", 8000) + req + end, `^HTTP/1\.1 200 `, "", ""},
	{"9110 7.1", "a path that is escaped is the same path", "GET /zato/%70ing" + req + end, `^HTTP/1\.1 200 `, "", ""},
}

// ofGateways are kept by HAProxy before somebody else's server, which answers with the headers that it got.
var ofGateways = []requirement{
	{"9110 7.6.1", "Connection's headers are for the next hop only", "GET /" + req + "Connection: close, X-Hop\r\nX-Hop: me\r\nX-End: me\r\n\r\n", `got X-End: \[me\]`, `got X-Hop: `, "HAProxy takes Connection for itself, and passes on the headers that it names; the proxy of our servers drops them"},
	{"9110 7.6.1", "Keep-Alive is for the next hop only", "GET /" + req + "Keep-Alive: timeout=5\r\n" + end, `^HTTP/1\.1 200 `, `got Keep-Alive`, "HAProxy passes on what it does not use itself"},
	{"9110 7.6.3", "a gateway adds Via", "GET /" + req + end, `got Via: `, "", "HAProxy adds none, and X-Forwarded-For tells more"},
	{"9110 10.1.4", "TE is for the next hop only", "GET /" + req + "TE: trailers\r\nConnection: close, TE\r\n\r\n", `^HTTP/1\.1 200 `, `got Te: \[(gzip|deflate)`, ""},
	{"9110 5.3", "headers of one name keep their order", "GET /" + req + "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n" + end, `got X-A: \[1 3\]`, "", ""},
	{"9110 7.2", "Host arrives", "GET / HTTP/1.1\r\nHost: shop.example:8080\r\n" + end, `host shop\.example:8080\n`, "", ""},
	{"9110 4.2.3", "the target arrives as it was sent", "GET /a%2Fb/%e9?x=%20+y" + req + end, `target /a%2Fb/%e9\?x=%20\+y\n`, "", ""},
	{"9112 7.1", "chunks arrive whole", "POST /" + req + "Transfer-Encoding: chunked\r\n" + end + "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", `body abcdef\n`, "", ""},
	{"9110 15.2", "an interim answer is passed on", "GET /early" + req + end, `(?s)^HTTP/1\.1 103 .*HTTP/1\.1 200 `, "", ""},
	{"9110 8.6", "304 has no body", "GET /304" + req + end, `(?s)^HTTP/1\.1 304 .*\r\n\r\n$`, "", ""},
	{"9112 6.3", "an answer to HEAD ends with its head", "HEAD /" + req + "\r\nGET /304" + req + end, `(?s)^HTTP/1\.1 200 .*\r\n\r\nHTTP/1\.1 304 `, "", ""},
	{"9112 7.1", "HTTP/1.0 gets no chunks", "GET /chunks HTTP/1.0\r\nHost: x\r\n\r\n", `(?s)^HTTP/1\.[01] 200 .*\r\n\r\nabcdef$`, `(?i)transfer-encoding`, ""},
}

func TestTheFrontKeepsRFC9110And9112(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		c := started(t, newConfig(t, 1))
		check(t, c.Front, ofServers)
		unharmed(t, c)
	})
	t.Run("gateway", func(t *testing.T) {
		c := fronted(t, reflect)
		check(t, c.Front, ofGateways)
	})
}

func check(t *testing.T, address string, requirements []requirement) {
	t.Helper()
	answers(t, "http://"+address+"/zato/ping", http.StatusOK)
	kept := 0
	for _, r := range requirements {
		got := answered(t, address, r.sent)
		fails := !regexp.MustCompile(r.want).MatchString(got) || r.never != "" && regexp.MustCompile(r.never).MatchString(got)
		switch {
		case !fails && r.known != "":
			t.Logf("RFC %s: %s: kept by this HAProxy, though it is known not to be", r.section, r.what)
			kept++
		case !fails:
			kept++
		case r.known != "":
			t.Logf("RFC %s: not kept, as known: %s: %s", r.section, r.what, r.known)
		default:
			t.Errorf("RFC %s: not kept: %s: %q is answered\n%.500s", r.section, r.what, r.sent, got)
		}
	}
	t.Logf("%d of %d requirements are kept", kept, len(requirements))
}

// answered is all that comes back until the connection is closed, or nothing more comes.
func answered(t *testing.T, address, sent string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, bound)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, sent); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(bufio.NewReader(c))
	if err != nil && len(got) == 0 {
		return err.Error()
	}
	return string(got)
}

// reflect answers with what it was sent.
func reflect(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/304":
		w.WriteHeader(http.StatusNotModified)
		return
	case "/early":
		w.WriteHeader(http.StatusEarlyHints)
	case "/chunks":
		_, _ = io.WriteString(w, "abc")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "def")
		return
	}
	body, err := io.ReadAll(r.Body)
	var text bytes.Buffer
	fmt.Fprintf(&text, "host %s\ntarget %s\nbody %s\nerror %v\n", r.Host, r.RequestURI, body, err)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&text, "got %s: %v\n", name, r.Header[name])
	}
	_, _ = w.Write(text.Bytes())
}
