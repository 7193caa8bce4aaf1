package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/freeport"
)

// TestTenThousandIdleConnections wants a server with 10,000 kept connections, each of which has had an answer, to take
// no more than 150 MB of memory while they are idle, and to serve them again.
func TestTenThousandIdleConnections(t *testing.T) {
	const connections, most = 10_000, 150 << 20
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Max < connections+1000 {
		t.Skipf("SKIPPED: only %d files may be open here (%v): raise ulimit -n", files.Max, err)
	}
	application := httptest.NewServer(http.NotFoundHandler())
	defer application.Close()
	for _, mode := range []struct {
		name string
		args []string
	}{{"services", nil}, {"sidecar", []string{"--proxy-upstream", application.URL}}} {
		t.Run(mode.name, func(t *testing.T) {
			address, pid := serverAlone(t, append(mode.args, "--max-connections", strconv.Itoa(connections+100))...)
			before := memoryOf(t, pid, "VmRSS:")
			conns := make([]net.Conn, connections)
			defer func() {
				for _, c := range conns {
					if c, ok := c.(*net.TCPConn); ok {
						_ = c.SetLinger(0) // leave no 10,000 ports behind that wait
						_ = c.Close()
					}
				}
			}()
			began := time.Now()
			for i := range conns {
				conns[i] = pinged(t, address, nil)
			}
			opened := time.Since(began)
			resting := fmt.Sprintf("\nzato_server_connections_resting %d\n", connections)
			eventually(t, func() error {
				response, err := http.Get("http://" + address + "/metrics")
				if err != nil {
					return err
				}
				defer response.Body.Close()
				text, err := io.ReadAll(response.Body)
				if err == nil && !strings.Contains(string(text), resting) {
					err = fmt.Errorf("not all rest")
				}
				return err
			})
			for i := 0; i < connections; i += 100 {
				pinged(t, address, conns[i])
			}
			now, peak := memoryOf(t, pid, "VmRSS:"), memoryOf(t, pid, "VmHWM:")
			t.Logf("%d idle connections, opened in %v: %d MB before, %d MB with them, %d MB at most", connections, opened.Round(time.Millisecond), before>>20, now>>20, peak>>20)
			if now > most {
				t.Errorf("%d MB, want at most %d", now>>20, most>>20)
			}
		})
	}
}

// pinged asks for a ping on the connection, or on a new one.
func pinged(t *testing.T, address string, c net.Conn) net.Conn {
	t.Helper()
	if c == nil {
		var err error
		if c, err = net.DialTimeout("tcp", address, bound); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", response, err)
	}
	return c
}

// serverAlone is a server without a cluster.
func serverAlone(t *testing.T, args ...string) (address string, pid int) {
	t.Helper()
	address = freeport.For(t)
	nobody := freeport.For(t)
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, filepath.Join(bin, "server"), append([]string{"--listen", address, "--consul-http-addr", nobody}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait()
	})
	eventually(t, func() error {
		response, err := http.Get("http://" + address + "/zato/ready")
		if err == nil {
			response.Body.Close()
		}
		return err
	})
	return address, command.Process.Pid
}

func memoryOf(t *testing.T, pid int, name string) (size int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name {
			size, err = strconv.ParseInt(fields[1], 10, 64)
		}
	}
	if err != nil || size == 0 {
		t.Fatalf("no %s of process %d: %v", name, pid, err)
	}
	return size << 10
}
