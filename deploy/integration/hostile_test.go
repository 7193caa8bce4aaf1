package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zatoha/bench/load"
	"zatoha/deploy/cluster"
)

// Each payload of testdata/hostile is sent raw, and in the same write behind it the marker. Many payloads hide a request
// for /smuggled: wherever a reader of the bytes loses its place, somebody sees that request, or a marker with a body, or
// answers once too often.
const (
	marker    = "DELETE /zato/ping HTTP/1.1\r\nHost: marker\r\n\r\n" // answered 405, as no payload is
	bystander = "GET /zato/ping HTTP/1.1\r\nHost: bystander\r\nConnection: close\r\n\r\n"
	quiet     = time.Second           // without a byte, where the marker is wanted to be taken for a body
	lingering = 50 * time.Millisecond // the same behind the answer to the marker: no further one comes
)

// payload is one entry of the corpus, and what may come of it: how HAProxy answers before a server that takes
// everything, how HAProxy and our server answer together, and how our server answers by itself. An answer reads "200 405
// open": the status of each, then whether the connection is left open. Alternatives are separated by "|"; "refused" is
// any status of an error behind which the connection is closed, for releases that are stricter.
type payload struct {
	name                   string
	bytes                  string
	recorder, front, alone string
	known                  string // the one fault that HAProxy is known to let through
}

var refused = regexp.MustCompile(`^[45]\d\d closed$`)

func TestHostileInput(t *testing.T) {
	corpus := readCorpus(t)
	t.Run("recorder", func(t *testing.T) {
		t.Parallel()
		c, r := started(t, newConfig(t, 0)), newRecorder(t)
		register(t, c, "recorder", r.listener.Addr().String())
		await(t, c, inRotation(1))
		answers(t, "http://"+c.Front+"/zato/ping", http.StatusOK)
		for _, p := range corpus {
			r.take()
			outcome(t, c.Front, p, p.recorder)
			for _, fault := range faults(p, r.take()) {
				t.Errorf("%s: behind HAProxy, %s", p.name, fault)
			}
		}
		unharmed(t, c)
	})
	t.Run("front and server", func(t *testing.T) {
		t.Parallel()
		c := started(t, newConfig(t, 1))
		for _, p := range corpus {
			outcome(t, c.Front, p, p.front)
		}
		unharmed(t, c)
	})
	t.Run("server alone", func(t *testing.T) {
		t.Parallel()
		c := started(t, newConfig(t, 1))
		for _, p := range corpus {
			outcome(t, c.Config.Servers[0], p, p.alone)
		}
		unharmed(t, c)
	})
}

// outcome sends a payload and its marker, wants one of the outcomes, and then that others are served as ever.
func outcome(t *testing.T, address string, p payload, want string) {
	t.Helper()
	wanted := strings.Split(want, " | ")
	patience := bound
	if slices.ContainsFunc(wanted, unanswered) {
		patience = quiet
	}
	got := exchange(t, address, p.bytes+marker, patience)
	t.Logf("%-38s %s", p.name, got)
	if !slices.Contains(wanted, got) && !(slices.Contains(wanted, "refused") && refused.MatchString(got)) {
		t.Errorf("%s: %s, want %s", p.name, got, want)
	}
	if got := exchange(t, address, bystander, bound); got != "200 closed" {
		t.Errorf("%s: the next client got %s", p.name, got)
	}
}

// unanswered says of an outcome whether the marker gets no answer though the connection stays.
func unanswered(outcome string) bool {
	return strings.HasSuffix(outcome, "open") && !strings.HasSuffix(outcome, "405 open")
}

// exchange sends bytes over a connection of their own and says what came back, until nothing more does.
func exchange(t *testing.T, address, sent string, patience time.Duration) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, bound)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() { // beside reading: a refusal may come before all is sent, and the rest is then not taken
		defer close(written)
		_, _ = io.WriteString(conn, sent)
	}()
	defer func() { <-written }()
	defer conn.Close()

	var got []string
	wait, in := patience, bufio.NewReader(conn)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Peek(1); err != nil {
			return strings.Join(append(got, ending(err)), " ")
		}
		if err := conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(in, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
		}
		if err != nil {
			return strings.Join(append(got, "garbage"), " ")
		}
		got = append(got, strconv.Itoa(response.StatusCode))
		if response.StatusCode == http.StatusMethodNotAllowed {
			wait = lingering
		}
	}
}

func ending(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "open"
	}
	return "closed" // or reset, with bytes of ours unread
}

// unharmed wants every process that the cluster began with alive, and no panic in a server's log.
func unharmed(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	await(t, c, inRotation(max(1, len(c.Servers))))
	if n := status(t, c).HAProxy.Restarts; n > 0 {
		t.Errorf("HAProxy was restarted %d times", n)
	}
	for i, server := range c.Servers {
		log, err := os.ReadFile(filepath.Join(c.LogDir(), fmt.Sprintf("server-%d.log", i+1)))
		if err != nil || bytes.Contains(log, []byte("panic")) {
			t.Errorf("server-%d's log: %v, %s", i+1, err, log)
		}
		select {
		case <-server.Done():
			t.Errorf("server-%d ended with %s", i+1, server.Ended())
		default:
		}
	}
}

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

var repeated = regexp.MustCompile(`\{(\d+)\*([^}]*)\}`)

// readCorpus reads the payloads. An entry is a line "# name: why", the bytes, as they stand in a Go string and without
// the ends of the lines in the file, where {3*ab} is ababab, and the lines "=> recorder:" and so on.
func readCorpus(t *testing.T) []payload {
	t.Helper()
	files, err := filepath.Glob("testdata/hostile/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var corpus []payload
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
			p, err := readPayload(strings.TrimSuffix(filepath.Base(file), ".txt"), entry)
			if err != nil {
				t.Fatalf("%s: %v in\n%s", file, err, entry)
			}
			corpus = append(corpus, p)
		}
	}
	return corpus
}

func readPayload(topic, entry string) (payload, error) {
	title, rest, _ := strings.Cut(entry, "\n")
	name, _, _ := strings.Cut(strings.TrimPrefix(title, "# "), ":")
	p := payload{name: topic + " " + name}
	var quoted strings.Builder
	for line := range strings.SplitSeq(rest, "\n") {
		who, answers, expected := strings.Cut(line, ": ")
		switch {
		case expected && who == "=> recorder":
			p.recorder = answers
		case expected && who == "=> front":
			p.front = answers
		case expected && who == "=> alone":
			p.alone = answers
		case expected && who == "=> known":
			p.known = answers
		default:
			quoted.WriteString(strings.ReplaceAll(line, `"`, `\"`))
		}
	}
	if !strings.HasPrefix(title, "# ") || p.recorder == "" || p.front == "" || p.alone == "" {
		return p, errors.New("no title, or not all of what is expected")
	}
	long := repeated.ReplaceAllStringFunc(quoted.String(), func(s string) string {
		parts := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(parts[1])
		return strings.Repeat(parts[2], n)
	})
	raw, err := strconv.Unquote(`"` + long + `"`)
	p.bytes = raw
	return p, err
}

const (
	slowClients  = 2000
	slowFor      = 15 * time.Second
	slowOpenings = 500 // connections a second
	paced        = 500 // requests a second of those who do no harm
)

// TestSlowClients holds thousands of connections, each of them as slow as it may be, and looks how others fare.
func TestSlowClients(t *testing.T) {
	tool, err := exec.LookPath("slowhttptest")
	if err != nil {
		t.Skip("no slowhttptest on PATH: install the package slowhttptest to run this test")
	}
	allowFiles(t, 4*slowClients)
	c := started(t, newConfig(t, 3))
	url := "http://" + c.Front
	baseline := beside(t, c, func() { pass(t, slowFor/3) })
	for _, attack := range []struct {
		name string
		args []string
	}{
		{"slow headers", []string{"-H", "-i", "2", "-x", "24", "-u", url + "/zato/ping"}},
		{"slow bodies", []string{"-B", "-i", "2", "-x", "10", "-s", "8192", "-u", url + "/zato/ping"}},
		{"slow readers", []string{"-X", "-k", "3", "-n", "5", "-w", "256", "-y", "512", "-z", "32", "-u", url + "/zato/ping"}},
	} {
		var output []byte
		p99 := beside(t, c, func() {
			args := []string{
				"-n", "19", tool, // it keeps a processor busy, which in earnest would not be ours
				"-c", strconv.Itoa(slowClients), "-r", strconv.Itoa(slowOpenings), "-p", "3",
				"-l", strconv.Itoa(int(slowFor.Seconds())),
			}
			ctx, cancel := context.WithTimeout(t.Context(), slowFor+bound)
			defer cancel()
			output, err = exec.CommandContext(ctx, "nice", append(args, attack.args...)...).CombinedOutput()
		})
		if err != nil {
			t.Fatalf("%s: %v\n%s", attack.name, err, output)
		}
		t.Logf("%s: at most %d connections; p99 %v, %.1f × that without", attack.name, mostConnected(output), p99,
			float64(p99)/float64(baseline))
		if p99 > max(10*baseline, 4*time.Second) {
			t.Errorf("%s: p99 of the others is %v and was %v", attack.name, p99, baseline)
		}
	}
	unharmed(t, c)
}

// beside loads the front without doing harm while something else happens, wants no error, and returns the p99.
func beside(t *testing.T, c *cluster.Cluster, happens func()) time.Duration {
	t.Helper()
	running, err := load.Start(t.Context(), load.Options{
		Addr: c.Front, Connections: 16, Templates: []load.Template{load.Get("/zato/ping")}, Rate: paced,
	})
	if err != nil {
		t.Fatal(err)
	}
	happens()
	report := running.Stop()
	t.Log(report)
	if report.Errors() > 0 || report.Requests == 0 {
		t.Errorf("%d of %d requests failed", report.Errors(), report.Requests)
	}
	return report.Latency.P99
}

// allowFiles raises the number of files that we and what we start may have open.
func allowFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n {
		t.Skipf("no more than %d files may be open, %d are needed: raise the hard limit (ulimit -Hn)", limit.Max, n)
	}
	// Also if it is as high already: Go raises its own limit unasked, and hands the old one to what it starts.
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

var connected = regexp.MustCompile(`connected:\D*?(\d+)\s`)

// mostConnected is the largest number of open connections that slowhttptest printed.
func mostConnected(output []byte) (most int) {
	plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAll(output, nil)
	for _, match := range connected.FindAllSubmatch(plain, -1) {
		n, _ := strconv.Atoi(string(match[1]))
		most = max(most, n)
	}
	return most
}
