package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StartConsul starts a real Consul agent, a cluster of one with its UI, that keeps everything in memory, and waits until
// it has elected itself. Its HTTP API listens at the address given; the ports that nobody asks for are any free ones.
// More arguments of the agent may follow.
func StartConsul(ctx context.Context, binary, address, log string, more ...string) (*Process, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("consul's address: %w", err)
	}
	internal, err := FreePorts(3)
	if err != nil {
		return nil, err
	}
	args := []string{
		"agent", "-dev", "-node=local", "-log-level=warn", "-disable-host-node-id", "-bind=127.0.0.1", "-client=" + host,
		"-hcl=disable_update_check = true", "-http-port=" + port, "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
	}
	for i, flag := range []string{"-server-port", "-serf-lan-port", "-serf-wan-port"} {
		args = append(args, fmt.Sprintf("%s=%d", flag, internal[i]))
	}
	return startAgent(ctx, binary, address, log, append(args, more...))
}

// startAgent waits until the agent at the address knows a leader.
func startAgent(ctx context.Context, binary, address, log string, args []string) (*Process, error) {
	p, err := startProcess("consul", log, withoutConsul(os.Environ()), binary, args...)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, func(ctx context.Context) error { return hasLeader(ctx, address) }); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// startDurableConsul is StartConsul for an agent that keeps everything in a folder, its ports too, so that it is the same
// when it is started again.
func startDurableConsul(ctx context.Context, binary, address, log, dir string) (*Process, error) {
	file := filepath.Join(dir, "agent.json")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := writeDurableConsul(file, address, filepath.Join(dir, "data")); err != nil {
			return nil, fmt.Errorf("start consul: %w", err)
		}
	}
	return startAgent(ctx, binary, address, log, []string{"agent", "-config-file=" + file})
}

func writeDurableConsul(file, address, data string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("consul's address: %w", err)
	}
	internal, err := FreePorts(3)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{
		"server": true, "bootstrap_expect": 1, "node_name": "local", "data_dir": data, "bind_addr": "127.0.0.1", "client_addr": host,
		"log_level": "warn", "disable_host_node_id": true, "disable_update_check": true,
		"performance": map[string]int{"raft_multiplier": 1},
		"ports": map[string]any{
			"http": json.Number(port), "dns": -1, "grpc": -1, "grpc_tls": -1,
			"server": internal[0], "serf_lan": internal[1], "serf_wan": internal[2],
		},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// withoutConsul drops the CONSUL_* variables, which would configure the agent and are meant for its clients.
func withoutConsul(environ []string) []string {
	return slices.DeleteFunc(environ, func(variable string) bool { return strings.HasPrefix(variable, "CONSUL_") })
}

func hasLeader(ctx context.Context, address string) error {
	var leader string
	if err := getJSON(ctx, "http://"+address+"/v1/status/leader", &leader); err != nil {
		return err
	}
	if leader == "" {
		return errors.New("consul has no leader yet")
	}
	return nil
}

// getJSON reads a JSON answer of any status into value.
func getJSON(ctx context.Context, url string, value any) error {
	return getJSONBy(ctx, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url, value)
}

func getJSONBy(ctx context.Context, client *http.Client, url string, value any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("%s answers %s, %.100q: %w", url, response.Status, strings.TrimSpace(string(body)), err)
	}
	return nil
}

// FreeConfig is a config of n servers whose addresses are free ones of the loopback. Its programs and folder are left to
// the caller.
func FreeConfig(n int) (Config, error) {
	ports, err := FreePorts(3 + n)
	if err != nil {
		return Config{}, err
	}
	addresses := make([]string, len(ports))
	for i, port := range ports {
		addresses[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	return Config{ConsulAddr: addresses[0], Front: addresses[1], Admin: addresses[2], Servers: addresses[3:]}, nil
}
