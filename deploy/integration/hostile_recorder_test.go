package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder is an upstream that keeps what reached it, byte for byte, and answers as our server would.
type recorder struct {
	listener net.Listener
	mu       sync.Mutex
	requests []recorded
}

// recorded is one request as Go's parser, which is strict, makes it out.
type recorded struct {
	raw    string // head and body as they came
	method string // empty if this is no request at all
	target string
	host   string
	body   string
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{listener: listener}
	var connections sync.WaitGroup
	t.Cleanup(connections.Wait)
	t.Cleanup(func() { listener.Close() })
	connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			connections.Go(func() {
				defer stop()
				defer conn.Close()
				r.serve(conn)
			})
		}
	})
	return r
}

// serve reads requests until one is none.
func (r *recorder) serve(conn net.Conn) {
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(conn, &raw))
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		request, err := http.ReadRequest(in)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(request.Body)
		}
		got := recorded{raw: string(raw.Next(raw.Len() - in.Buffered())), body: string(body)}
		if err == nil {
			got.method, got.target, got.host = request.Method, request.RequestURI, request.Host
		}
		if got.host != healthCheck {
			r.mu.Lock()
			r.requests = append(r.requests, got)
			r.mu.Unlock()
		}
		if _, err := io.WriteString(conn, got.answer()); err != nil || got.method == "" {
			return
		}
	}
}

// healthCheck is what HAProxy's own checks are addressed to.
const healthCheck = "bck_http_plain"

func (r recorded) answer() string {
	path, _, _ := strings.Cut(strings.TrimPrefix(r.target, "http://"+r.host), "?")
	status := http.StatusNotFound
	switch {
	case r.method == "":
		return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	case path != "/zato/ping":
	case r.method == http.MethodGet || r.method == http.MethodPost:
		status = http.StatusOK
	default:
		status = http.StatusMethodNotAllowed
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
}

// take returns what has come since the last call.
func (r *recorder) take() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.requests
	r.requests = nil
	return taken
}

// faults says what of the requests that reached the upstream its client never sent, or what another upstream might
// read differently.
func faults(p payload, requests []recorded) (all []string) {
	first := strings.Fields(p.bytes)[0]
	fault := func(r recorded, format string, args ...any) {
		all = append(all, fmt.Sprintf("%s in %.300q", fmt.Sprintf(format, args...), r.raw))
	}
	if n := len(requests) - 1; n >= 0 && requests[n].host == "bystander" {
		requests = requests[:n]
	}
	for i, r := range requests {
		switch {
		case i == 0 && strings.HasPrefix(r.raw, first+" "):
		case r.host == "marker" && r.method == http.MethodDelete && r.body == "" && i == len(requests)-1:
		default:
			fault(r, "request %d of %d is nobody's", i+1, len(requests))
		}
		if strings.HasPrefix(r.target, "/smuggled") {
			fault(r, "a smuggled request")
		}
		for _, doubt := range doubts(r.raw) {
			if p.known == "" || !strings.HasPrefix(doubt, p.known) {
				fault(r, "%s", doubt)
			}
		}
	}
	return all
}

// These are the lines, and the beginnings of chunks, of which all readers make the same.
var (
	requestLine = regexp.MustCompile(`^[!#$%&'*+.^_|~0-9A-Za-z-]+ [^\x00- \x7f]+ HTTP/1\.[01]$`)
	headerLine  = regexp.MustCompile(`^([!#$%&'*+.^_|~0-9A-Za-z-]+):([^\x00-\x08\n-\x1f\x7f]*)$`)
	chunked     = regexp.MustCompile(`(?i)\r\n\r\n([0-9a-f]+\r\n|$)`)
)

// doubts are what two readers of a request may disagree about.
func doubts(raw string) (all []string) {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(strings.TrimSuffix(head, "\r\n"), "\r\n") // a parser that gave up has not read the empty line
	if !requestLine.MatchString(lines[0]) {
		all = append(all, "a doubtful request line")
	}
	framing, hosts := 0, 0
	for _, line := range lines[1:] {
		parts := headerLine.FindStringSubmatch(line)
		if parts == nil {
			all = append(all, fmt.Sprintf("the doubtful header %.80q", line))
			continue
		}
		switch value := strings.TrimSpace(parts[2]); strings.ToLower(parts[1]) {
		case "host":
			hosts++
		case "content-length":
			framing++
			if _, err := strconv.ParseUint(value, 10, 63); err != nil {
				all = append(all, "a doubtful length")
			}
		case "transfer-encoding":
			framing++
			if !strings.EqualFold(value, "chunked") || !strings.HasSuffix(lines[0], "1.1") || !chunked.MatchString(raw) {
				all = append(all, "doubtful chunks")
			}
		}
	}
	if framing > 1 {
		all = append(all, "two lengths")
	}
	if hosts > 1 || hosts == 0 && strings.HasSuffix(lines[0], "1.1") {
		all = append(all, fmt.Sprintf("%d hosts", hosts))
	}
	return all
}
