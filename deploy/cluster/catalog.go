package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Registration is an instance as Consul is told of it. Without a check it counts as healthy.
type Registration struct {
	ID      string
	Service string // its name; zato-server is what the load balancer follows unless told otherwise
	Address string // host:port
	Weight  int    // 0 means Consul's default, 1
	Tags    []string
	Meta    map[string]string
	Passing bool // it has a check, which passes from the first and is not asked for a day
}

// catalogClient keeps its connections, for those who change the catalog often.
var catalogClient = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

// Register puts an instance into Consul, or changes it, as any program can: by one PUT to the agent.
func (c *Cluster) Register(ctx context.Context, r Registration) error {
	definition, err := r.definition()
	if err != nil {
		return fmt.Errorf("register %s: %w", r.ID, err)
	}
	return c.put(ctx, "agent/service/register", definition)
}

// definition is what the agent takes.
func (r Registration) definition() (map[string]any, error) {
	host, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		return nil, err
	}
	definition := map[string]any{"ID": r.ID, "Name": r.Service, "Address": host, "Port": json.Number(port)}
	if r.Tags != nil {
		definition["Tags"] = r.Tags
	}
	if r.Meta != nil {
		definition["Meta"] = r.Meta
	}
	if r.Weight > 0 {
		definition["Weights"] = map[string]int{"Passing": r.Weight, "Warning": 1}
	}
	if r.Passing {
		definition["Check"] = map[string]string{"TTL": "24h", "Status": "passing"}
	}
	return definition, nil
}

// Deregister takes an instance out of Consul.
func (c *Cluster) Deregister(ctx context.Context, id string) error {
	return c.put(ctx, "agent/service/deregister/"+url.PathEscape(id), nil)
}

// healthEntry is as much of an instance as Consul tells with its health.
type healthEntry struct {
	Node    struct{ Address string }
	Service struct {
		ID, Address string
		Port        int
		Weights     struct{ Passing, Warning int }
	}
	Checks []struct{ Status string }
}

// Healthy asks Consul itself for the instances of a service that none of their checks is critical of.
func (c *Cluster) Healthy(ctx context.Context, service string) ([]Registration, error) {
	var entries []healthEntry
	if err := getJSON(ctx, "http://"+c.ConsulAddr+"/v1/health/service/"+url.PathEscape(service), &entries); err != nil {
		return nil, err
	}
	return healthy(service, entries), nil
}

func healthy(service string, entries []healthEntry) (all []Registration) {
	for _, e := range entries {
		r := Registration{
			ID: e.Service.ID, Service: service, Weight: e.Service.Weights.Passing,
			Address: net.JoinHostPort(cmp.Or(e.Service.Address, e.Node.Address), strconv.Itoa(e.Service.Port)),
		}
		critical := false
		for _, check := range e.Checks {
			critical = critical || check.Status == "critical"
			if check.Status == "warning" {
				r.Weight = e.Service.Weights.Warning
			}
		}
		if !critical {
			all = append(all, r)
		}
	}
	return all
}

// Write puts a value, as JSON, under a key.
func (c *Cluster) Write(ctx context.Context, key string, value any) error {
	return c.put(ctx, "kv/"+key, value)
}

func (c *Cluster) put(ctx context.Context, call string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("consul: %s: %w", call, err)
	}
	address := "http://" + c.ConsulAddr + "/v1/" + call
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, address, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("consul: %s: %w", call, err)
	}
	response, err := catalogClient.Do(request)
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", response.Status, answer)
	}
	if err != nil {
		return fmt.Errorf("consul: %s: %w", call, err)
	}
	return nil
}
