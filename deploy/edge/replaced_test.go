package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// idle is a client that has asked once, and keeps its connection.
func (o outer) idle(t *testing.T) *http.Transport {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := (&http.Client{Timeout: bound, Transport: transport}).Get("http://" + o.front + "/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil { // or the connection is given up
		t.Fatal(err)
	}
	response.Body.Close()
	return transport
}

// notDrained wants a drain of b to be too long, and to say why.
func (o outer) notDrained(t *testing.T, why ...string) {
	t.Helper()
	var said bytes.Buffer
	d := drainCommand{Cluster: "b", Timeout: 1200 * time.Millisecond}
	err := d.drain(t.Context(), &said, []string{o.socket}, o.masterSocket)
	if err == nil {
		t.Fatalf("it is drained: %s", said.String())
	}
	for _, part := range why {
		if !strings.Contains(err.Error(), part) || !strings.Contains(said.String(), part) {
			t.Errorf("%q is not in both of: %v\n%s", part, err, said.String())
		}
	}
}

func TestADrainWaitsForWorkersThatAReloadHasReplaced(t *testing.T) {
	o := startOuter(t, nil)
	codes := o.waiting(t, 2)
	idle := o.idle(t)
	o.reload(t)
	const willCome = "clients from before a reload may bring a request more: HAProxy's old worker "
	o.notDrained(t, "b: 1 sessions are left", willCome)
	var said bytes.Buffer
	if err := status(t.Context(), &said, []string{o.socket}, o.masterSocket); err == nil || strings.Count(said.String(), ", old worker ") != 2 {
		t.Errorf("%v\n%s", err, said.String())
	}
	close(o.a.free)
	close(o.b.free)
	for range 2 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a request was answered with %d", code)
		}
	}
	o.notDrained(t, "b: 0 sessions are left", willCome) // the next request of the idle client may go there
	idle.CloseIdleConnections()
	d := drainCommand{Cluster: "b", Timeout: bound}
	if err := d.drain(t.Context(), &said, []string{o.socket}, o.masterSocket); err != nil || strings.Contains(said.String(), "NOT SEEN") {
		t.Errorf("%v\n%s", err, said.String())
	}
	// Who knew of the drain at the reload sends nothing there, and is waited for no longer.
	idle = o.idle(t)
	o.reload(t)
	if all, err := lookAtReplaced(t.Context(), []string{o.masterSocket}); err != nil || len(all) != 1 || !seen(all[0].view, "b").draining {
		t.Errorf("of the worker that knew of the drain: %+v, %v", all, err)
	}
	if err := d.drain(t.Context(), &said, []string{o.socket}, o.masterSocket); err != nil {
		t.Error(err)
	}
	idle.CloseIdleConnections()
}

func TestWhatAReplacedWorkerHasIsCutToo(t *testing.T) {
	o := startOuter(t, nil)
	codes := o.waiting(t, 2)
	o.reload(t)
	var said bytes.Buffer
	d := drainCommand{Cluster: "b", Timeout: 1200 * time.Millisecond, Cut: true}
	err := d.drain(t.Context(), &said, []string{o.socket}, o.masterSocket)
	if err != nil || !strings.Contains(said.String(), "ending what is left") || !strings.Contains(said.String(), "may bring a request more") {
		t.Errorf("%v\n%s", err, said.String())
	}
	close(o.a.free) // where what was ended is tried again
	for range 2 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a request was answered with %d", code)
		}
	}
}

func TestADrainSaysWhatItCannotSee(t *testing.T) {
	o := startOuter(t, nil)
	var said bytes.Buffer
	d := drainCommand{Cluster: "b", Timeout: bound}
	if err := d.drain(t.Context(), &said, []string{o.socket}, o.masterSocket+".none"); err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "--masters") {
		t.Error(err)
	}
	if views := must(lookAt(t.Context(), []string{o.socket})); !seen(views[0], "b").takes() {
		t.Errorf("it was changed: %+v", views)
	}
	if err := d.drain(t.Context(), &said, []string{o.socket}); err != nil || strings.Count(said.String(), "NOT SEEN at 1 of 1 outer load balancers") != 1 {
		t.Errorf("%v\n%s", err, said.String())
	}
}

func TestWhichMastersAreAsked(t *testing.T) {
	o := startOuter(t, nil)
	left := filepath.Join(filepath.Dir(o.state), "left.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	here, named := []string{o.socket}, []string{"/run/m"}
	for _, c := range []struct {
		grammar
		usual string
		want  []string
	}{
		{grammar{Sockets: []string{"10.0.9.1:9999"}}, o.masterSocket, nil}, // that of this machine has nothing to do with it
		{grammar{Sockets: here, Masters: named}, o.masterSocket, named},
		{grammar{Sockets: here}, o.masterSocket, []string{o.masterSocket}},
		{grammar{Sockets: here}, left + ".none", nil},
		{grammar{Sockets: here}, left, nil},
	} {
		if got := c.masters(t.Context(), c.usual); !slices.Equal(got, c.want) {
			t.Errorf("%q, where there is %s: %q", c.Sockets, c.usual, got)
		}
	}
}
