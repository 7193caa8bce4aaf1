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
	"slices"
	"strconv"
	"strings"
	"time"

	"zatoha/deploy/freeport"
)

// StartConsul starts a real Consul agent, a cluster of one with its UI, that keeps everything in memory, and waits until
// it has elected itself. Its HTTP API listens at the address given; the ports that nobody asks for are any free ones.
// More arguments of the agent may follow.
func StartConsul(ctx context.Context, binary, address, log string, more ...string) (*Process, error) {
	return startConsul(ctx, false, binary, address, log, more...)
}

func startConsul(ctx context.Context, asUnit bool, binary, address, log string, more ...string) (*Process, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("consul's address: %w", err)
	}
	internal, err := freeport.Some(3)
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
	p, err := startAs(asUnit, "consul", log, PlainEnviron(), binary, append(args, more...)...)
	if err != nil {
		return nil, err
	}
	if err := p.Await(ctx, func(ctx context.Context) error { return hasLeader(ctx, address) }); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// PlainEnviron is our environment without what would configure an agent, its clients or a program of ours: a cluster is
// configured by whoever starts it, and not by what their shell has for another one.
func PlainEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "CONSUL_") || strings.HasPrefix(variable, "ZATOHA_")
	})
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

// once keeps no connections: what it asks may be gone the next time.
var once = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// getJSON reads a JSON answer of any status into value.
func getJSON(ctx context.Context, url string, value any) error {
	return getJSONBy(ctx, &once, url, value)
}

func getJSONBy(ctx context.Context, client *http.Client, url string, value any) error {
	body, response, err := get(ctx, client, url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("%s answers %s, %.100q: %w", url, response.Status, strings.TrimSpace(string(body)), err)
	}
	return nil
}

// get reads a whole answer of any status, for which there are two seconds.
func get(ctx context.Context, client *http.Client, url string) (body []byte, response *http.Response, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err = client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", url, err)
	}
	return body, response, nil
}

// FreeConfig is a config of n servers whose addresses are free ones of the loopback. Its programs and folder are left to
// the caller.
func FreeConfig(n int) (Config, error) {
	ports, err := freeport.Some(3 + n)
	if err != nil {
		return Config{}, err
	}
	addresses := make([]string, len(ports))
	for i, port := range ports {
		addresses[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	return Config{ConsulAddr: addresses[0], Front: addresses[1], Admin: addresses[2], Servers: addresses[3:]}, nil
}
