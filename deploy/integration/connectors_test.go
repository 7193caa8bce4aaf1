package integration

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
	"zatoha/deploy/rabbittest"
)

// withHosts adds connector hosts to a config.
func withHosts(t *testing.T, config cluster.Config, n int) cluster.Config {
	t.Helper()
	ports, err := freeport.Some(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		config.Hosts = append(config.Hosts, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return config
}

// define writes a definition into Consul.
func define(t *testing.T, c *cluster.Cluster, key string, definition map[string]any) {
	t.Helper()
	if err := c.Write(t.Context(), "zato/main/"+key, definition); err != nil {
		t.Fatal(err)
	}
}

// activeHost waits until a host with a later epoch than the one given is active, and its connectors run.
func activeHost(t *testing.T, c *cluster.Cluster, above uint64, connectors int) (host int, status cluster.HostStatus) {
	t.Helper()
	eventually(t, func() (err error) {
		if host, status, err = c.ActiveHost(t.Context()); err != nil {
			return err
		}
		running := 0
		for _, connector := range status.Connectors {
			if connector.State == "running" {
				running++
			}
		}
		if status.Epoch <= above || running != connectors {
			return fmt.Errorf("%d connectors run, of %+v", running, status)
		}
		return nil
	})
	return host, status
}

// sendBy has a service send a message by an outgoing connector, and returns what the service answers.
func sendBy(t *testing.T, c *cluster.Cluster, kind, name, payload string) (code int, answer string) {
	t.Helper()
	body := fmt.Sprintf(`{"kind": %q, "name": %q, "payload": %q}`, kind, name, payload)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.Front+"/send", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return get(t, request)
}

// noted counts how often demo.log had a message, on whichever server.
func noted(t *testing.T, c *cluster.Cluster, payload string) (times int) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(c.LogDir(), "server-*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no logs of servers: %v", err)
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		times += strings.Count(string(text), fmt.Sprintf(`"payload":%q`, payload))
	}
	return times
}

// goesThrough sends a message until that succeeds, and wants it to reach demo.log. It says how long that took.
func goesThrough(t *testing.T, c *cluster.Cluster, kind, name, payload string) time.Duration {
	t.Helper()
	since := time.Now()
	eventually(t, func() error {
		if code, answer := sendBy(t, c, kind, name, payload); code != http.StatusOK {
			return fmt.Errorf("sending %s: %d %s", payload, code, answer)
		}
		return nil
	})
	eventually(t, func() error {
		if noted(t, c, payload) == 0 {
			return errors.New(payload + " has not come")
		}
		return nil
	})
	return time.Since(since)
}

func TestMessagesOutliveTheirConnectorAndItsHost(t *testing.T) {
	c := started(t, withHosts(t, newConfig(t, 2), 3))
	address := "tcp://" + freeport.For(t)
	define(t, c, "channels/send", map[string]any{"method": "POST", "path": "/send", "service": "demo.send"})
	define(t, c, "connectors/ticks", map[string]any{
		"name": "ticks", "kind": "zmq", "role": "channel", "service": "demo.log", "socket_type": "PULL", "socket_method": "bind", "address": address,
	})
	define(t, c, "connectors/out", map[string]any{
		"name": "out", "kind": "zmq", "role": "outgoing", "socket_type": "PUSH", "socket_method": "connect", "address": address,
	})
	first, before := activeHost(t, c, 0, 1)
	goesThrough(t, c, "zmq", "out", "one")

	kill(t, before.Connectors[0].PID)
	t.Logf("a message goes through %s after the connector's process was killed", goesThrough(t, c, "zmq", "out", "two"))
	if _, now := activeHost(t, c, before.Epoch-1, 1); now.Epoch != before.Epoch || now.Connectors[0].Restarts == 0 {
		t.Errorf("%+v became %+v", before, now)
	}

	c.Hosts[first].Kill()
	t.Logf("a message goes through %s after the active host was killed", goesThrough(t, c, "zmq", "out", "three"))
	second, after := activeHost(t, c, before.Epoch, 1)
	if second == first {
		t.Error("the host that was killed is active")
	}
	if err := c.StartHost(first); err != nil {
		t.Fatal(err)
	}
	for _, server := range c.Config.Servers {
		for epoch, want := range map[uint64]int{before.Epoch: http.StatusConflict, after.Epoch: http.StatusOK} {
			if code, answer := invoke(t, c, server, epoch); code != want {
				t.Errorf("%s answers epoch %d with %d %s, not %d", server, epoch, code, answer, want)
			}
		}
	}

	c.Hosts[second].Signal(syscall.SIGTERM)
	t.Logf("a message goes through %s after the active host was asked to stop", goesThrough(t, c, "zmq", "out", "four"))
	if third, _ := activeHost(t, c, after.Epoch, 1); third == second {
		t.Error("the host that was stopped is active")
	}
	select {
	case <-c.Hosts[second].Done():
	case <-time.After(bound):
		t.Error("the host that was asked to stop has not")
	}
	if n := noted(t, c, "one"); n != 1 { // of the others, some may have been sent again, for want of a confirmation
		t.Errorf("it came %d times", n)
	}
}

// TestAMessageThatIsTooMuchForItsServiceIsPutAside sends one that makes its service run into the server's own time-out.
func TestAMessageThatIsTooMuchForItsServiceIsPutAside(t *testing.T) {
	config := withHosts(t, newConfig(t, 2), 1)
	config.Environ = func(string) []string { return []string{"ZATOHA_SERVER_SERVICE_TIMEOUT=300ms"} }
	c := started(t, config)
	address := "tcp://" + freeport.For(t)
	define(t, c, "channels/send", map[string]any{"method": "POST", "path": "/send", "service": "demo.send"})
	define(t, c, "connectors/naps", map[string]any{
		"name": "naps", "kind": "zmq", "role": "channel", "service": "demo.sleep", "max_attempts": 2,
		"socket_type": "PULL", "socket_method": "bind", "address": address,
	})
	define(t, c, "connectors/out", map[string]any{
		"name": "out", "kind": "zmq", "role": "outgoing", "socket_type": "PUSH", "socket_method": "connect", "address": address,
	})
	host, _ := activeHost(t, c, 0, 1)
	eventually(t, func() error {
		if code, answer := sendBy(t, c, "zmq", "out", `{"ms": 60000}`); code != http.StatusOK {
			return fmt.Errorf("sending: %d %s", code, answer)
		}
		return nil
	})
	eventually(t, func() error {
		status, err := c.HostStatus(t.Context(), host)
		if err != nil {
			return err
		}
		if counters := status.Connectors[0].Counters; counters["failed"] < 2 || counters["dropped"] < 1 || counters["unavailable"] > 0 {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
}

// invoke calls demo.log as a connector host with some epoch would.
func invoke(t *testing.T, c *cluster.Cluster, server string, epoch uint64) (code int, answer string) {
	t.Helper()
	token, err := c.Token()
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server+"/zato/invoke/demo.log", strings.NewReader("by hand"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-Zato-Connector", "ticks")
	request.Header.Set("X-Zato-Connector-Epoch", strconv.FormatUint(epoch, 10))
	request.Header.Set("X-Zato-Message-ID", fmt.Sprintf("by-hand-%d", epoch))
	return get(t, request)
}

func TestMessagesGoOutAndInByRabbitMQ(t *testing.T) {
	node, err := rabbittest.New()
	if errors.Is(err, rabbittest.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	connection, err := amqp091.Dial(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.QueueDeclare("orders", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	c := started(t, withHosts(t, newConfig(t, 2), 2))
	define(t, c, "channels/send", map[string]any{"method": "POST", "path": "/send", "service": "demo.send"})
	define(t, c, "connectors/orders", map[string]any{
		"name": "orders", "kind": "amqp", "role": "channel", "service": "demo.log", "url": node.URL(), "queue": "orders",
	})
	define(t, c, "connectors/orders-out", map[string]any{
		"name": "orders-out", "kind": "amqp", "role": "outgoing", "url": node.URL(), "routing_key": "orders",
	})
	active, before := activeHost(t, c, 0, 2)
	t.Logf("out and in again within %s", goesThrough(t, c, "amqp", "orders-out", "one"))
	if code, answer := sendBy(t, c, "amqp", "no-such", "lost"); code != http.StatusServiceUnavailable || !strings.Contains(answer, "there is no outgoing amqp connection") {
		t.Errorf("%d %s", code, answer)
	}

	c.Hosts[active].Kill()
	since := time.Now()
	if code, answer := sendBy(t, c, "amqp", "orders-out", "two"); code != http.StatusOK {
		t.Errorf("a message that was sent when the host was just killed: %d %s", code, answer)
	}
	t.Logf("a message that was sent when the host was just killed went out %s later, by another", time.Since(since))
	activeHost(t, c, before.Epoch, 2)
	eventually(t, func() error {
		if noted(t, c, "two") != 1 {
			return fmt.Errorf("it came %d times", noted(t, c, "two"))
		}
		return nil
	})

	t.Log("make run finds the broker, and has a sample channel for it")
	config := freeRange(t, 1)
	l := startLocal(t, config, 1, "--rabbitmq", node.Address())
	l.says(t, "sample AMQP channel ")
	l.ready(t)
	sampleWorks(t, config, "amqp")
	l.stop(t, syscall.SIGTERM)
	l.nothingLeft(t)
}
