package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"zatoha/deploy/program"
	"zatoha/lb/address"
)

// own is the runtime socket of this machine's HAProxy, which alone can be told about this machine's address.
func (g *grammar) own() (string, error) {
	if len(g.Sockets) != 1 || !strings.Contains(g.Sockets[0], "/") {
		return "", program.BadConfig("--sockets", "the virtual address is a matter of one machine", "name the path of the socket of its own HAProxy, and run this there")
	}
	return g.Sockets[0], nil
}

// yieldCommand gives the virtual address away, as `lb yield` does within a cluster.
type yieldCommand struct {
	address.Place
	address.Wishes
	meeting
}

// Run gives the address away, and says what that took.
func (y *yieldCommand) Run(ctx context.Context, g *grammar) error {
	socket, err := g.own()
	if err != nil {
		return err
	}
	files, err := y.files()
	if err != nil {
		return err
	}
	outcome, err := y.Yield(ctx, socket, files, y.Wishes)
	if errors.Is(err, address.ErrCannotYield) {
		return program.BadConfig("--virtual-address", err.Error(), "make its configuration with the same flag, by edge config, and reload it")
	}
	if err != nil {
		return err
	}
	fmt.Println(outcome)
	return nil
}

// resumeCommand undoes a yield.
type resumeCommand struct {
	address.Place
	meeting
}

// Run also takes away what a yield that was killed has left.
func (r *resumeCommand) Run(ctx context.Context, g *grammar) error {
	socket, err := g.own()
	if err != nil {
		return err
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	if err := r.Resume(ctx, socket, files); err != nil {
		return err
	}
	fmt.Println("this outer load balancer can have the address again")
	return nil
}
