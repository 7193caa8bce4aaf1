package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zatoha/bench/pause"
	"zatoha/deploy/netns"
)

// A bad link, as of a port or a cable that is about to fail.
const (
	lossy = 20 // of a thousand packets are lost, each way
	late  = 20 * time.Millisecond
)

// links are the scenarios of links that do not fail, and are bad.
func links(o options) []scenario {
	return []scenario{{
		name: "link-bad", on: scenery{roles: four(), messages: true, fastGossip: true}, trials: 4, fault: badLink,
		does:     fmt.Sprintf("lose %d of a thousand packets of one host, by turns, and delay the others by %v where the kernel can, for %v", lossy, late, o.spell()),
		passLine: "0 failed requests, also to the host's own load balancer; the virtual address stays; never two run a connector at once; " + o.keeps(),
	}}
}

// spell is how long a link is bad.
func (o options) spell() time.Duration { return min(o.Partition, 20*time.Second) }

func badLink(ctx context.Context, p *playing) error {
	victim := p.Nodes[p.Number%len(p.Nodes)]
	loads, stayed, err := p.staying(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	err = victim.Impair(ctx, late, lossy)
	if errors.Is(err, netns.ErrNoDelay) {
		p.Note("nothing is delayed: %v", netns.ErrNoDelay)
		err = victim.Impair(ctx, 0, lossy)
	}
	if err := errors.Join(err, pause.For(ctx, p.options.spell())); err != nil {
		return err
	}
	stayed(ctx)
	return p.healed(ctx, began, p.options.spell(), loads)
}
