package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"
)

// anyLines draws the header lines of a request, hop-by-hop and hostile ones among them.
func anyLines(t *rapid.T) []byte {
	names := []string{
		"A", "x-b", "Cookie", "Connection", "connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Proxy-Authorization", "proxy-x", "Expect",
		"Host", "X-Zato-CID", "x_zato_cid", "X-Forwarded-For", "Content-Length", "Transfer-Encoding", "Via",
	}
	values := []string{"", "1", "close", "keep-alive, x-b", "A, Upgrade", "X-Forwarded-For, Content-Length", "websocket", "h2c", "chunked", " a  b ", "te\tb"}
	var raw bytes.Buffer
	for range rapid.IntRange(0, 8).Draw(t, "lines") {
		raw.WriteString(rapid.SampledFrom(names).Draw(t, "name") + ":" + rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "space") +
			rapid.SampledFrom(values).Draw(t, "value") + rapid.SampledFrom([]string{"\r\n", "\r\n", "\n"}).Draw(t, "end"))
	}
	raw.WriteString("\r\n")
	return raw.Bytes()
}

func TestEveryHeadThatIsSentIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := head{
			method: []byte("POST"), target: []byte(rapid.SampledFrom([]string{"/", "/a?b", "*", "http://h/x", "http://h?x"}).Draw(t, "target")),
			host: []byte("shop"), raw: anyLines(t), length: rapid.SampledFrom([]int{none, chunked, 0, 5}).Draw(t, "length"), cid: testCID,
		}
		sound(t, h)
	})
}

// What Connection names is dropped in a second pass: the first may be too large for the buffer that an upload sends.
func TestAHeadThatOutgrowsItsBufferIsRefused(t *testing.T) {
	for _, c := range []struct {
		dropped, kept int
		fits          bool
	}{{40_000, 10_000, true}, {70_000, 10_000, false}, {10_000, 70_000, false}, {10, 60_000, false}} {
		raw := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nConnection: dropped\r\nDropped: " + strings.Repeat("d", c.dropped) +
			"\r\nKept: " + strings.Repeat("k", c.kept) + "\r\n\r\n"
		ctx := &fasthttp.RequestCtx{}
		if err := ctx.Request.Header.Read(bufio.NewReaderSize(strings.NewReader(raw), len(raw))); err != nil {
			t.Fatal(err)
		}
		e := &exchange{p: &Proxy{}, ctx: ctx, cid: testCID}
		text, err := e.makeHead()
		var refused *failure
		if c.fits != (err == nil) || !c.fits && (!errors.As(err, &refused) || refused.status != fasthttp.StatusRequestHeaderFieldsTooLarge) {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil && !bytes.Equal(text, (*e.buffer)[:len(text)]) {
			t.Errorf("%+v: the buffer has another head", c)
		}
		e.release()
	}
}

func FuzzHead(f *testing.F) {
	f.Add("/", "A: b\r\nConnection: A\r\n\r\n", 5)
	f.Add("http://h/x", "Host: x\r\nX-Zato-CID: K\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", none)
	f.Add("/", "Transfer-Encoding : chunked\r\n folded\r\n\r\n", chunked)
	f.Add("*", "A:\rb\n\nGET / HTTP/1.1\r\n\r\n", 0)
	f.Fuzz(func(t *testing.T, target, raw string, length int) {
		if length < none || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			t.Skip("the server lets no such thing through")
		}
		sound(t, head{method: []byte("POST"), target: []byte(target), host: []byte("shop"), raw: []byte(raw), length: length, cid: testCID})
	})
}

// sound checks what holds for every head: it is one request, framed as we say, with our CID, one host, and nothing that
// was meant for us alone.
func sound(t interface {
	Fatalf(format string, args ...any)
}, h head,
) {
	text, err := h.append([]byte("kept"))
	if !bytes.HasPrefix(text, []byte("kept")) {
		t.Fatalf("what was there before is not kept: %q", text)
	}
	if text = text[4:]; err != nil {
		if len(text) > 0 {
			t.Fatalf("%v, and yet %q", err, text)
		}
		return
	}
	lines := strings.Split(string(text), "\r\n")
	if n := len(lines); n < 3 || lines[n-1] != "" || lines[n-2] != "" || slices.Contains(lines[:n-2], "") || strings.Count(string(text), "\n") != n-1 {
		t.Fatalf("it is not one head: %q", text)
	}
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(text, "0\r\n\r\n"...))))
	if err != nil {
		if authority, _, urlErr := splitURL(h.target); urlErr == nil && len(authority) > 0 || h.target[0] == '/' || strings.Contains(err.Error(), "invalid header") || strings.Contains(err.Error(), "malformed") {
			return // net/http is stricter about targets, hosts and values than any proxy
		}
		t.Fatalf("%v: %q", err, text)
	}
	wantLength := map[bool]int64{true: -1, false: int64(max(h.length, 0))}[h.length == chunked]
	if request.ContentLength != wantLength {
		t.Fatalf("the length is %d, want %d: %q", request.ContentLength, wantLength, text)
	}
	if got := request.Header.Values("X-Zato-CID"); len(got) != 1 || got[0] != testCID {
		t.Fatalf("CIDs: %q", got)
	}
	for name := range request.Header {
		c := classify([]byte(name))
		granted := h.upgrade != nil && (c == ofConnection || c == ofUpgrade)
		if c != endToEnd && !granted && !strings.EqualFold(name, cidName) && c != ofLength {
			t.Fatalf("%s was passed on: %q", name, text)
		}
	}
	if h.upgrade == nil && request.Header.Get("Connection") != "" {
		t.Fatalf("Connection was passed on: %q", text)
	}
}

func TestEndToEndHeadersSurviveInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []string
		var raw strings.Builder
		for range rapid.IntRange(0, 6).Draw(t, "lines") {
			if rapid.Bool().Draw(t, "hop by hop") {
				raw.WriteString(rapid.SampledFrom([]string{"Keep-Alive: x", "TE: trailers", "Connection: close", "Connection: gone", "Gone: 1", "Proxy-A: b", "Upgrade: x"}).Draw(t, "line") + "\r\n")
				continue
			}
			line := rapid.StringMatching(`[A-Za-z][a-z-]{0,12}x`).Draw(t, "name") + ": " + rapid.StringMatching(`([!-~]([ -~]{0,20}[!-~])?)?`).Draw(t, "value")
			want = append(want, line)
			raw.WriteString(line + "\r\n")
		}
		raw.WriteString("Connection: gone\r\n\r\n")
		h := head{method: []byte("GET"), target: []byte("/"), host: []byte("h"), raw: []byte(raw.String()), length: none, cid: "K"}
		text, err := h.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		expected := "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(want, "X-Zato-CID: K"), "\r\n") + "\r\n\r\n"
		if string(text) != expected {
			t.Fatalf("got  %q\nwant %q", text, expected)
		}
	})
}

func TestConnectionCannotNameWhatTheLoadBalancerSaid(t *testing.T) {
	for _, name := range []string{"X-Forwarded-For", "x-forwarded-proto", "X-Zato-Anything", "Forwarded", "Traceparent", "Content-Type"} {
		raw := name + ": 1\r\nConnection: " + name + "\r\n\r\n"
		text, err := (&head{method: []byte("GET"), target: []byte("/"), host: []byte("h"), raw: []byte(raw), length: none, cid: "K"}).append(nil)
		if err != nil || !strings.Contains(string(text), name+": 1\r\n") {
			t.Errorf("%q, %v", text, err)
		}
	}
}

func TestResponsesAreCleansed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
		var want []string
		for range rapid.IntRange(0, 8).Draw(t, "lines") {
			if rapid.Bool().Draw(t, "hop by hop") {
				raw += rapid.SampledFrom([]string{
					"Keep-Alive: x", "TE: x", "Connection: close", "Connection: gone, keep-alive", "Gone: 1", "gone: 2", "Proxy-A: b",
					"proxy-authenticate: c", "Upgrade: x", "X-Zato-CID: other", "x_zato_cid: other", "Connection: Content-Length, X-Zato-CID",
				}).Draw(t, "line") + "\r\n"
				continue
			}
			name, value := rapid.SampledFrom([]string{"A", "Bb", "Set-Cookie", "Etag", "X-Forwarded-For"}).Draw(t, "name"), rapid.StringMatching(`[!-~]{0,9}`).Draw(t, "value")
			raw += name + ": " + value + "\r\n"
			want = append(want, name+": "+value)
		}
		var h fasthttp.ResponseHeader
		if err := h.Read(bufio.NewReader(strings.NewReader(raw + "Connection: gone\r\n\r\n"))); err != nil {
			t.Fatal(err)
		}
		if reusable := cleanse(&h, testCID); reusable == strings.Contains(raw, "Connection: close") {
			t.Fatalf("reusable: %v after %q", reusable, raw)
		}
		var got []string
		for line := range strings.SplitSeq(string(h.Header()), "\r\n") {
			if name, _, _ := strings.Cut(line, ":"); slices.Contains([]string{"A", "Bb", "Set-Cookie", "Etag", "X-Forwarded-For"}, name) {
				got = append(got, line)
			} else if line != "" && name != "Date" && name != "Content-Length" && line != "X-Zato-CID: "+testCID && !strings.HasPrefix(line, "HTTP/1.1 200 OK") && name != "Content-Type" {
				t.Fatalf("%q was passed on, of %q", line, raw)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || strings.Count(string(h.Header()), "X-Zato-CID") != 1 {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
