package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"zatoha/deploy/cluster"
)

// Whole waits until each load balancer sends traffic to every server, or cluster, is good enough for the virtual address,
// one has that, if it is shared, and one connector host is active.
func (f *Fleet) Whole(ctx context.Context) error {
	for _, behind := range f.Behind {
		if err := behind.Whole(ctx); err != nil {
			return fmt.Errorf("cluster %s: %w", behind.Name, err)
		}
	}
	return Until(ctx, f.whole)
}

func (f *Fleet) whole(ctx context.Context) error {
	servers, hosts := 0, 0
	for _, n := range f.Nodes {
		servers += n.Servers
		if n.Connectors {
			hosts++
		}
	}
	for _, n := range f.Nodes {
		if err := n.whole(ctx, servers); err != nil {
			return fmt.Errorf("%s: %w", n.Role.Name, err)
		}
	}
	if hosts > 0 {
		if _, _, err := f.Active(ctx); err != nil {
			return err
		}
	}
	if !f.shares() {
		return nil
	}
	_, err := f.Holder(ctx)
	return err
}

func (n *Node) whole(ctx context.Context, servers int) error {
	for _, p := range slices.Concat(n.Services, []*cluster.Process{n.Agent, n.Connector, n.LB, n.HAProxy, n.Watch, n.Track, n.Keepalived}) {
		if p != nil && p.HasEnded() {
			return &cluster.EndedError{Process: p}
		}
	}
	if !n.Balances {
		return nil
	}
	if err := n.balances(ctx, servers); err != nil {
		return err
	}
	if !n.fleet.shares() {
		return nil
	}
	if text, err := os.ReadFile(filepath.Join(n.trackDir(), "track")); err != nil || string(text) != "0\n" {
		return fmt.Errorf("keepalived is told %q, %v", text, err)
	}
	return n.Ready()
}

// balances says whether a node's load balancer sends to all that it is to send to.
func (n *Node) balances(ctx context.Context, servers int) error {
	if n.Outer {
		for _, behind := range n.fleet.Behind {
			if takes, err := n.Takes(ctx, behind.Name); err != nil {
				return err
			} else if !takes {
				return fmt.Errorf("cluster %s gets no requests", behind.Name)
			}
		}
		return nil
	}
	status, err := n.Status(ctx)
	if err == nil && (len(status.Rotation) != servers || !status.HAProxy.Running) {
		err = fmt.Errorf("the load balancer has %d of %d servers", len(status.Rotation), servers)
	}
	return err
}
