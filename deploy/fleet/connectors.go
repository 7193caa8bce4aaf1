package fleet

import (
	"context"
	"errors"
	"fmt"

	"zatoha/deploy/cluster"
)

// ConnectorStatus asks a node's connector host.
func (n *Node) ConnectorStatus(ctx context.Context) (status cluster.HostStatus, err error) {
	return status, n.Get(ctx, fmt.Sprintf("http://%s:%d/connectors", n.Address, ConnectorPort), &status)
}

// Active is the node whose connector host is active, by its own word.
func (f *Fleet) Active(ctx context.Context) (*Node, cluster.HostStatus, error) {
	for _, n := range f.Nodes {
		if !n.Connectors {
			continue
		}
		if status, err := n.ConnectorStatus(ctx); err == nil && status.Role == cluster.Active {
			return n, status, nil
		}
	}
	return nil, cluster.HostStatus{}, errors.New("no connector host is active")
}

// Move asks a node's connector host, which is active, to hand over to another's.
func (n *Node) Move(ctx context.Context, to *Node) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body := fmt.Appendf(nil, `{"to": %q}`, to.Role.Name)
	return call(ctx, n.HTTP(), "", "POST", fmt.Sprintf("http://%s:%d/move", n.Address, ConnectorPort), body, nil)
}
