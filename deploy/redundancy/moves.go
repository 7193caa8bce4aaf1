package main

import (
	"context"
	"regexp"
	"time"
)

// moves gives the virtual address away as an operator does.
func moves(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get, post)
	if err != nil {
		return err
	}
	began := time.Now()
	said, err := holder.Yield(ctx)
	if err != nil {
		return err
	}
	p.Measure("the whole command", time.Since(began), 0)
	if shut, ok := shutFor(said); ok {
		p.Measure("nobody could connect", shut, 0)
	}
	if err := p.flawless(ctx, "the virtual address", running); err != nil {
		return err
	}
	after, err := p.Holder(ctx)
	if err != nil {
		return err
	}
	if after == holder {
		p.Fail("the address stayed, though the yield says: %s", said)
	}
	return holder.Resume(ctx)
}

var shut = regexp.MustCompile(`for (\S+) nobody could begin one`)

// shutFor reads the time for which nobody could connect from what lb yield says.
func shutFor(said string) (time.Duration, bool) {
	found := shut.FindStringSubmatch(said)
	if found == nil {
		return 0, false
	}
	d, err := time.ParseDuration(found[1])
	return d, err == nil
}
