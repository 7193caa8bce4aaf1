package integration

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// sidecar starts a server in front of an application, on a free port, and stops it when the test ends.
func sidecar(t *testing.T, c *cluster.Cluster, upstream string) {
	t.Helper()
	address := freeport.For(t)
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "server"),
		"--listen", address, "--proxy-upstream", upstream, "--proxy-health-path", "/well")
	command.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+c.ConsulAddr)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = bound
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Wait() // says that it was told to end, which it was: the test's context has ended by now
		if !command.ProcessState.Success() {
			t.Errorf("the sidecar server: %v", command.ProcessState)
		}
	})
}

func TestAnApplicationJoinsBehindASidecarServer(t *testing.T) {
	c := started(t, newConfig(t, 0))
	var ill atomic.Bool
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
			if ill.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		case "/sum":
			sum := sha256.New()
			n, err := io.Copy(sum, r.Body)
			fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
		case "/events":
			for range 3 {
				_, _ = io.WriteString(w, "data\n\n")
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		case "/echo":
			echo(w)
		default:
			fmt.Fprintf(w, "%s for %s", r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For"))
		}
	}))
	t.Cleanup(application.Close)
	sidecar(t, c, application.URL)
	t.Logf("in rotation %s after its start", await(t, c, inRotation(1)))

	answer := func(response *http.Response, err error) (string, http.Header) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return string(body), response.Header
	}
	client := http.Client{Timeout: bound, Transport: &http.Transport{DisableKeepAlives: true}}
	if body, header := answer(client.Get("http://" + c.Front + "/")); body != "http for 127.0.0.1" || header.Get("X-Zato-CID") == "" {
		t.Errorf("%q %v", body, header)
	}
	const size = 32 << 20
	sum := sha256.New()
	_, _ = io.CopyN(sum, zeros{}, size)
	want := fmt.Sprintf("%d %x <nil>", size, sum.Sum(nil))
	if body, _ := answer(client.Post("http://"+c.Front+"/sum", "", io.LimitReader(zeros{}, size))); body != want {
		t.Errorf("%q, want %q", body, want)
	}
	events(t, c.Front)
	webSocket(t, c.Front)

	ill.Store(true)
	t.Logf("out of rotation %s after the application fell ill", await(t, c, inRotation(0)))
	ill.Store(false)
	t.Logf("in rotation %s after it was well", await(t, c, inRotation(1)))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// echo takes the connection over and sends back what comes.
func echo(w http.ResponseWriter) {
	c, in, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	_, _ = io.Copy(c, in)
}

func events(t *testing.T, front string) {
	t.Helper()
	response, err := http.Get("http://" + front + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := make([]byte, len("data\n\n")*3)
	if _, err := io.ReadFull(response.Body, got); err != nil || !strings.HasSuffix(string(got), "data\n\n") {
		t.Errorf("%q, %v", got, err)
	}
}

func webSocket(t *testing.T, front string) {
	t.Helper()
	c, err := net.Dial("tcp", front)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(bound))
	_, _ = io.WriteString(c, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n") // of RFC 6455
	in := bufio.NewReader(c)
	response, err := http.ReadResponse(in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	for _, message := range []string{"one", strings.Repeat("two", 10000)} {
		go func() { _, _ = io.WriteString(c, message) }()
		got := make([]byte, len(message))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != message {
			t.Fatalf("%.20q…, %v", got, err)
		}
	}
}
