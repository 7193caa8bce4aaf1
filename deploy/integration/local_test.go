package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// local is a running `make run`, less the make.
type local struct {
	cmd    *exec.Cmd
	output *output
	config cluster.Config
}

// output is what a program prints, readable while it prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startLocal runs the program local on the config's ports with so many servers.
func startLocal(t *testing.T, config cluster.Config, servers int, more ...string) *local {
	t.Helper()
	l := &local{output: &output{}, config: config}
	args := append([]string{
		"--bin", bin, "--dir", config.Dir, "--listen", config.Front, "--admin-listen", config.Admin, "--consul", config.ConsulAddr,
		"--first-server", config.Servers[0], "--first-host", config.Hosts[0], "--rabbitmq", "127.0.0.1:1",
	}, more...)
	l.cmd = exec.Command(filepath.Join(bin, "local"), args...)
	l.cmd.Env = append(os.Environ(), fmt.Sprintf("SERVERS=%d", servers))
	l.cmd.Stdout, l.cmd.Stderr = l.output, l.output
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

// ready waits for the table.
func (l *local) ready(t *testing.T) {
	t.Helper()
	l.says(t, "Ctrl-C stops everything")
}

// says waits until the text was printed.
func (l *local) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() error {
		if !strings.Contains(l.output.String(), text) {
			return fmt.Errorf("it does not say %q:\n%s", text, l.output)
		}
		return nil
	})
}

// stop sends the signal and waits for the end.
func (l *local) stop(t *testing.T, signal syscall.Signal) (status int) {
	t.Helper()
	if err := l.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	return l.wait(t)
}

func (l *local) wait(t *testing.T) (status int) {
	t.Helper()
	timer := time.AfterFunc(bound, func() { _ = l.cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := l.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return l.cmd.ProcessState.ExitCode()
}

// nothingLeft waits until nothing of the cluster listens or lies about any more.
func (l *local) nothingLeft(t *testing.T) {
	t.Helper()
	for _, address := range append([]string{l.config.Front, l.config.Admin, l.config.ConsulAddr}, slices.Concat(l.config.Servers, l.config.Hosts)...) {
		eventually(t, func() error {
			listener, err := net.Listen("tcp", address)
			if err == nil {
				err = listener.Close()
			}
			return err
		})
	}
	eventually(t, func() error {
		sockets, _ := filepath.Glob(filepath.Join(l.config.Dir, "lb", "*.sock"))
		pids, _ := filepath.Glob(filepath.Join(l.config.Dir, "lb", "*.pid"))
		if left := append(sockets, pids...); len(left) > 0 {
			return fmt.Errorf("left behind: %v", left)
		}
		return nil
	})
}

// freeRange is a config whose servers have n ports in a row, and three connector hosts have others.
func freeRange(t *testing.T, n int) cluster.Config {
	t.Helper()
	config := newConfig(t, 1)
	config.Servers, config.Hosts = inRow(t, n), inRow(t, 3)
	return config
}

// inRow are n addresses that are free, with ports in a row.
func inRow(t *testing.T, n int) (row []string) {
	t.Helper()
	ports, err := freeport.Row(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		row = append(row, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return row
}

func TestMakeRunStartsShowsAndStopsEverything(t *testing.T) {
	config := freeRange(t, 5)
	for range 2 {
		began := time.Now()
		l := startLocal(t, config, 5)
		l.ready(t)
		t.Logf("ready after %s", time.Since(began))
		for _, row := range []string{"load balancer, HAProxy (pid ", "its controller (pid ", "Consul (pid ", "server-5 ", "connectorhost-3 ", "), active ", "sample ZeroMQ channel ", "curl -i http://" + config.Front + "/zato/ping"} {
			if !strings.Contains(l.output.String(), row) {
				t.Errorf("the table does not show %q:\n%s", row, l.output)
			}
		}
		answers(t, "http://"+config.Front+"/zato/ping", http.StatusOK)
		sampleWorks(t, config, "zmq")
		began = time.Now()
		if status := l.stop(t, syscall.SIGINT); status != 0 {
			t.Errorf("exit status %d:\n%s", status, l.output)
		}
		t.Logf("stopped after %s", time.Since(began))
		l.nothingLeft(t)
		if _, err := os.Stat(filepath.Join(config.Dir, "token")); err == nil {
			t.Error("the token is left")
		}
	}
}

// sampleWorks has a message sent to the sample channel, as the table says, and looks for it in the servers' logs.
func sampleWorks(t *testing.T, config cluster.Config, kind string) {
	t.Helper()
	c := &cluster.Cluster{Config: config}
	eventually(t, func() error { // the channels may just be on their way to the servers
		body := fmt.Sprintf(`{"kind": %q, "name": "sample-%s-out", "payload": "hello by %s"}`, kind, kind, kind)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+config.Front+"/sample/send", strings.NewReader(body))
		if err != nil {
			return err
		}
		if code, answer := get(t, request); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, answer)
		}
		return nil
	})
	eventually(t, func() error {
		if noted(t, c, "hello by "+kind) == 0 {
			return errors.New("the message has not come")
		}
		return nil
	})
}

func TestMakeRunTellsWhatDied(t *testing.T) {
	config := freeRange(t, 2)
	l := startLocal(t, config, 2)
	l.ready(t)
	l.kill(t, "server-2", "server-2")
	answers(t, "http://"+config.Front+"/zato/ping", http.StatusOK)
	again := exec.Command("sh", "-c", l.kill(t, "Consul", "consul"))
	again.Dir, again.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-again.Process.Pid, syscall.SIGKILL)
		_ = again.Wait() // it was killed
		l.nothingLeft(t)
	}()
	answers(t, "http://"+config.ConsulAddr+"/v1/status/leader", http.StatusOK)
	l.stop(t, syscall.SIGTERM)
}

// kill kills a program by its pid in the table, and returns the line that is said to start it again.
func (l *local) kill(t *testing.T, row, name string) (again string) {
	t.Helper()
	_, rest, _ := strings.Cut(l.output.String(), row+" (pid ")
	var pid int
	if _, err := fmt.Sscanf(rest, "%d", &pid); err != nil {
		t.Fatal(err)
	}
	kill(t, pid)
	said := fmt.Sprintf("%s (pid %d) ended: signal: killed. To start it again, in another terminal:\n    ", name, pid)
	l.says(t, said)
	_, again, _ = strings.Cut(l.output.String(), said)
	again, _, _ = strings.Cut(again, "\n")
	return again
}

func TestAKilledMakeRunLeavesNothing(t *testing.T) {
	l := startLocal(t, freeRange(t, 2), 2)
	l.ready(t)
	l.stop(t, syscall.SIGKILL)
	l.nothingLeft(t)
}

func TestASecondMakeRunLeavesTheFirstAlone(t *testing.T) {
	config := freeRange(t, 2)
	first := startLocal(t, config, 2)
	first.ready(t)
	second := startLocal(t, config, 2)
	status := second.wait(t)
	if said := strings.TrimSpace(second.output.String()); status != 2 || !strings.Contains(said, "another cluster runs in "+config.Dir) || strings.Contains(said, "\n") {
		t.Errorf("exit status %d, %q", status, said)
	}
	answers(t, "http://"+config.Front+"/zato/ping", http.StatusOK)
	for _, name := range []string{"token", "lb/haproxy.cfg", "log/lb.log"} {
		if _, err := os.Stat(filepath.Join(config.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	if status := first.stop(t, syscall.SIGINT); status != 0 {
		t.Errorf("exit status %d:\n%s", status, first.output)
	}
	first.nothingLeft(t)
}

func TestMakeRunRefusesABusyPort(t *testing.T) {
	config := freeRange(t, 2)
	for what, address := range map[string]string{
		"Consul": config.ConsulAddr, "the load balancer": config.Front, "the status page": config.Admin, "server-2": config.Servers[1], "connectorhost-3": config.Hosts[2],
	} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l := startLocal(t, config, 2)
		status := l.wait(t)
		listener.Close()
		said := strings.TrimSpace(l.output.String())
		if want := fmt.Sprintf("%s is in use, %s needs it", address, what); status != 2 || !strings.Contains(said, want) || strings.Contains(said, "\n") {
			t.Errorf("%s busy: exit status %d, %q", what, status, said)
		}
		l.nothingLeft(t)
	}
}
