package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"zatoha/deploy/program"
)

// HostStatus is what a connector host says of itself.
type HostStatus struct {
	Host   string `json:"host"`
	Role   string `json:"role"`
	Epoch  uint64 `json:"epoch"` // of its own tenure
	Held   bool   `json:"held"`  // some host holds the lease
	Holder struct {
		Host  string `json:"host"`
		Epoch uint64 `json:"epoch"`
	} `json:"holder"`
	Connectors []Connector `json:"connectors"`
	Hosts      []struct {
		ID string `json:"id"`
	} `json:"hosts"` // that it knows of
}

// Connector is one that a host runs.
type Connector struct {
	Name     string           `json:"name"`
	State    string           `json:"state"`
	Why      string           `json:"why"`
	PID      int              `json:"pid"`
	Restarts int              `json:"restarts"`
	Counters map[string]int64 `json:"counters"`
}

// Active is the role of the host that runs the connectors.
const Active = "active"

// tokenFile has the secret that the servers share with the connector hosts.
func (c *Cluster) tokenFile() string { return filepath.Join(c.Dir, "token") }

// Token is that secret.
func (c *Cluster) Token() (string, error) {
	text, err := os.ReadFile(c.tokenFile())
	return string(text), err
}

// writeToken makes one up, if there is anybody to use it.
func (c *Cluster) writeToken() error {
	if len(c.Config.Hosts) == 0 {
		return nil
	}
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // never fails
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("the token of connectors: %w", err)
	}
	if err := os.RemoveAll(c.tokenFile()); err != nil { // so that it has the right mode
		return fmt.Errorf("the token of connectors: %w", err)
	}
	return os.WriteFile(c.tokenFile(), []byte(hex.EncodeToString(bits[:])), 0o600)
}

func (c *Cluster) tokenArgs() []string {
	if len(c.Config.Hosts) == 0 {
		return nil
	}
	return []string{"--invoke-token-file", c.tokenFile()}
}

// startHosts starts the connector hosts.
func (c *Cluster) startHosts() error {
	c.Hosts = make([]*Process, len(c.Config.Hosts))
	for i := range c.Config.Hosts {
		if err := c.StartHost(i); err != nil {
			return err
		}
	}
	return nil
}

// awaitActive waits until one of the connector hosts is active, if there are any.
func (c *Cluster) awaitActive(ctx context.Context) error {
	if len(c.Config.Hosts) == 0 {
		return nil
	}
	return c.Hosts[0].Await(ctx, func(ctx context.Context) error {
		if ended := c.ended(); ended != nil {
			return ended
		}
		_, _, err := c.ActiveHost(ctx)
		return err
	})
}

// StartHost starts connector host i, counted from 0.
func (c *Cluster) StartHost(i int) (err error) {
	name := fmt.Sprintf("connectorhost-%d", i+1)
	args := append([]string{"--listen", c.Config.Hosts[i], "--invoke-url", "http://" + string(program.HostPort(c.Front).Local())}, c.tokenArgs()...)
	c.Hosts[i], err = c.begin(name, "connectorhost", filepath.Join(c.Bin, "connectorhost"), args...)
	return err
}

// HostStatus asks connector host i what it does.
func (c *Cluster) HostStatus(ctx context.Context, i int) (HostStatus, error) {
	var status HostStatus
	err := getJSON(ctx, "http://"+c.Config.Hosts[i]+"/connectors", &status)
	return status, err
}

var errNoneActive = errors.New("no connector host is active")

// ActiveHost finds the connector host that is active.
func (c *Cluster) ActiveHost(ctx context.Context) (i int, status HostStatus, err error) {
	for i := range c.Config.Hosts {
		if status, err := c.HostStatus(ctx, i); err == nil && status.Role == Active {
			return i, status, nil
		}
	}
	return 0, HostStatus{}, errNoneActive
}
