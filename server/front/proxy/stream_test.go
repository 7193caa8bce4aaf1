package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestPartsArriveAsTheyAreSent(t *testing.T) {
	for _, c := range []struct{ name, head, part string }{
		{"events", "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked", "6\r\ndata\n\n\r\n"},
		{"length", "Content-Length: 1800", "data\n\n"},
		{"until the end", "Connection: close", "data\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := make(chan time.Time)
			next := make(chan struct{})
			s := start(t, script(t, func(u net.Conn, in *bufio.Reader) {
				_, _ = readHead(in)
				_, _ = io.WriteString(u, "HTTP/1.1 200 OK\r\n"+c.head+"\r\n\r\n")
				for range next {
					at := time.Now()
					_, _ = io.WriteString(u, c.part)
					sent <- at
				}
			}), nil)
			client := s.dial(t)
			send(t, client, get)
			response, err := http.ReadResponse(bufio.NewReader(client), nil) // the head comes before any part
			if err != nil {
				t.Fatal(err)
			}
			var worst, sum time.Duration
			part := make([]byte, 6)
			for range 100 {
				next <- struct{}{}
				at := <-sent
				if _, err := io.ReadFull(response.Body, part); err != nil || string(part) != "data\n\n" {
					t.Fatalf("%q, %v", part, err)
				}
				took := time.Since(at)
				worst, sum = max(worst, took), sum+took
			}
			close(next)
			t.Logf("100 parts: mean %v, worst %v", sum/100, worst)
		})
	}
}

// The application answers each part of the request before the next one is sent.
func TestRequestAndResponseStreamAtTheSameTime(t *testing.T) {
	s := start(t, application(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush()
		buffer := make([]byte, 100)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(bytes.ToUpper(buffer[:n]))
			w.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	}), nil)
	c := s.dial(t)
	send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 3)
	for range 20 {
		send(t, c, "3\r\nabc\r\n")
		if _, err := io.ReadFull(response.Body, part); err != nil || string(part) != "ABC" {
			t.Fatalf("%q, %v", part, err)
		}
	}
	send(t, c, "0\r\n\r\n")
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestAnAnswerBeforeTheEndOfTheUploadArrives(t *testing.T) {
	s := start(t, script(t, func(c net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
	}), nil)
	c := s.dial(t)
	send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"+strings.Repeat("x", 100000))
	got := receive(t, bufio.NewReader(c), "POST")
	got.check(t, 413, "much")
	if !got.Close {
		t.Error("the client is not told that its connection closes")
	}
}

func TestAnUploadThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	for _, c := range []struct{ name, request string }{
		{"length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000)},
		{"chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"},
		{"bad chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			result := make(chan error, 1)
			s := start(t, application(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				result <- err
			}), nil)
			client := s.dial(t)
			send(t, client, c.request)
			if c.name != "bad chunk" {
				_ = client.(*net.TCPConn).CloseWrite()
			}
			if err := <-result; err == nil {
				t.Error("the application read a whole body")
			}
		})
	}
}

func TestASlowUploadIsGivenUp(t *testing.T) {
	s := start(t, application(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }),
		func(o *Options) { o.BodyTimeout = 50 * time.Millisecond })
	s.exchange(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 9000)).
		check(t, 408, "refused: the request did not arrive in time")
}

func TestExpectedBodiesAreAskedFor(t *testing.T) {
	s := start(t, application(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}), nil)
	c := s.dial(t)
	in := bufio.NewReader(c)
	for range 2 {
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10000\r\n\r\n")
		if got, err := http.ReadResponse(in, nil); err != nil || got.StatusCode != 100 {
			t.Fatalf("%v, %v", got, err)
		}
		body := strings.Repeat("x", 10000)
		send(t, c, body)
		receive(t, in, "POST").check(t, 200, body)
	}
}

// TestLargeBodiesTakeLittleMemory moves 64 MB each way, or as many as ZATOHA_PROXY_MB says: 1024 for the whole truth.
func TestLargeBodiesTakeLittleMemory(t *testing.T) {
	megabytes := 64
	if text := os.Getenv("ZATOHA_PROXY_MB"); text != "" {
		var err error
		if megabytes, err = strconv.Atoi(text); err != nil {
			t.Fatalf("ZATOHA_PROXY_MB: %v", err)
		}
	}
	size := int64(megabytes) << 20
	s := start(t, application(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		_, _ = io.CopyN(w, zeros{}, size)
	}), nil)
	runtime.GC()
	before := resident(t)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct{ method, path string }{{"POST", "/length"}, {"POST", "/chunks"}, {"GET", "/length"}, {"GET", "/chunks"}} {
		began := time.Now()
		var body io.Reader
		if c.method == "POST" {
			body = io.LimitReader(zeros{}, size)
		}
		request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+s.address+c.path, body)
		if err != nil {
			t.Fatal(err)
		}
		if c.method == "POST" && c.path == "/length" {
			request.ContentLength = size
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if c.method == "POST" {
			text, err := io.ReadAll(response.Body)
			if want := fmt.Sprint(size, "<nil>"); string(text) != want && string(text) != fmt.Sprint(size, nil) || err != nil {
				t.Errorf("%q, %v; want %s", text, err, want)
			}
		} else if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		_ = response.Body.Close()
		took := time.Since(began)
		t.Logf("%s %s: %d MB in %v, %.0f MB/s; resident %d MB at most", c.method, c.path, megabytes, took, float64(megabytes)/took.Seconds(), peak(t)>>20)
	}
	// The race detector and the application are in the same process, so this is what all of it grew by.
	if grew := peak(t) - before; grew > 64<<20 {
		t.Errorf("resident memory grew by %d MB to %d MB", grew>>20, peak(t)>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func resident(t *testing.T) int64 { return memory(t, "VmRSS:") }

func peak(t *testing.T) int64 { return memory(t, "VmHWM:") }

func memory(t *testing.T, name string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("the size of a process cannot be seen here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Skipf("no %s in /proc/self/status", name)
	return 0
}
