package integration

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
