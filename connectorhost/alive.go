package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"zatoha/deploy/program"
)

// beatless is how long the lease may go without a beat, be it one that failed, before the host counts as hung.
const beatless = 5 * time.Second

// beaten is told of each beat of the lease.
func (h *host) beaten() { h.beat.Store(int64(time.Since(h.began))) }

// alive says whether the host still does what it is there for: it competes for the lease, and it answers what it is asked,
// which takes the lock that all of its parts share.
func (h *host) alive(ctx context.Context, listening net.Addr) error {
	if silent := time.Since(h.began) - time.Duration(h.beat.Load()); silent > max(beatless, 5*h.LeaseTTL) {
		return fmt.Errorf("the lease was not competed for in %v", silent.Round(time.Millisecond))
	}
	address, err := net.ResolveTCPAddr(listening.Network(), listening.String())
	if err != nil {
		return err
	}
	if program.Unspecified(address.IP.String()) {
		address.IP = net.IPv4(127, 0, 0, 1)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.String()+"/connectors", nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return errors.New("it does not answer: " + err.Error())
	}
	return response.Body.Close()
}
