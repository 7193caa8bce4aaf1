package main

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/lb/address"
)

// elsewhere is an address that this machine does not have.
var elsewhere = netip.MustParseAddr("192.0.2.1")

func TestAnOuterLoadBalancerYieldsAndResumes(t *testing.T) {
	o := startOuter(t, func(e *haproxy.Edge) { e.Yields = true })
	g := &grammar{Sockets: []string{o.socket}}
	place, dir := address.Place{Fronts: address.Fronts{Listen: program.HostPort(o.front)}, VirtualAddress: elsewhere}, meeting{t.TempDir()}
	files, err := dir.files()
	if err != nil {
		t.Fatal(err)
	}
	wishes := address.Wishes{Turnover: bound, Gate: bound, Move: bound}
	if err := (&yieldCommand{place, wishes, dir}).Run(t.Context(), g); err != nil || !files.Yielded() {
		t.Errorf("yielded is %v: %v", files.Yielded(), err)
	}
	if err := (&resumeCommand{place, dir}).Run(t.Context(), g); err != nil || files.Yielded() {
		t.Errorf("yielded is %v: %v", files.Yielded(), err)
	}
	// An address that the machine has and that nobody takes stays: all is as before.
	place.VirtualAddress, wishes.Move = netip.MustParseAddr("127.0.0.1"), 1
	for _, before := range []bool{true, false} {
		if err := files.SetYielded(before); err != nil {
			t.Fatal(err)
		}
		if err := (&yieldCommand{place, wishes, dir}).Run(t.Context(), g); err == nil || !strings.Contains(err.Error(), "nobody has taken the address") || files.Yielded() != before {
			t.Errorf("yielded is %v, was %v: %v", files.Yielded(), before, err)
		}
	}
	response, err := http.Get("http://" + o.front)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Close {
		t.Errorf("%d, closed: %v", response.StatusCode, response.Close)
	}
}

func TestWhatCannotYield(t *testing.T) {
	o, dir := startOuter(t, nil), meeting{t.TempDir()}
	place := address.Place{Fronts: address.Fronts{Listen: program.HostPort(o.front)}, VirtualAddress: elsewhere}
	for want, command := range map[string]struct {
		meeting
		sockets []string
	}{
		"--virtual-address: HAProxy here cannot be told": {dir, []string{o.socket}},
		"--sockets":   {dir, []string{o.socket, o.socket}},
		"its own":     {dir, []string{"10.0.9.1:9999"}},
		"--track-dir": {meeting{filepath.Join(dir.TrackDir, "x")}, []string{o.socket}},
	} {
		g := &grammar{Sockets: command.sockets}
		if err := (&yieldCommand{Place: place, meeting: command.meeting}).Run(t.Context(), g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
		if want == "--virtual-address: HAProxy here cannot be told" {
			continue // there is no harm in resuming
		}
		if err := (&resumeCommand{place, command.meeting}).Run(t.Context(), g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("resume: %v does not say %q", err, want)
		}
	}
	if err := (&resumeCommand{place, dir}).Run(context.Background(), &grammar{Sockets: []string{o.socket + ".none"}}); err == nil || !strings.Contains(err.Error(), os.ErrNotExist.Error()) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("of no haproxy: %v", err)
	}
}

func TestAPairIsToldOfItsAddress(t *testing.T) {
	for _, args := range [][]string{{"--virtual-address=10.0.9.100"}, {"--virtual-address=fd00::100", "--listen=[::]:11223"}} {
		flags, err := config(t, append(args, "--clusters=a=10.0.1.1:11223")...)
		if err != nil || !flags.edge().Yields {
			t.Errorf("%q: yields is %v: %v", args, flags.edge().Yields, err)
		}
	}
	if _, err := parsed(t, "yield", "--listen=10.0.9.1:11223", "--virtual-address=10.0.9.100"); err == nil || !strings.Contains(err.Error(), "--listen: 10.0.9.1:11223 does not go with") {
		t.Errorf("where the address would not be answered: %v", err)
	}
}
