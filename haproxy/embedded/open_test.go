package embedded

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"zatoha/haproxy"
)

// says has somebody say something at the runtime socket of a running HAProxy.
func says(t *testing.T, d *DataPlane, command string) {
	t.Helper()
	if _, err := d.runtime.api().ExecuteRaw(command); err != nil {
		t.Fatal(err)
	}
}

// answers says whether the front answers clients in this time. Of one that was shut down the kernel takes connections all
// the same: HAProxy's master still has its socket.
func answers(d *DataPlane, in time.Duration) bool {
	client := http.Client{Timeout: in, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + d.options.Bind + haproxy.AliveURI)
	if err == nil {
		response.Body.Close()
	}
	return err == nil
}

func TestAFrontThatSomebodyStoppedIsOpenedAgain(t *testing.T) {
	d, _ := start(t, 2)
	want := []haproxy.Server{member(1, haproxy.Ready), freeSlots(2)[1]}
	if err := set(t, d, want); err != nil {
		t.Fatal(err)
	}
	if done, err := d.Open(t.Context(), want); err != nil || done != (haproxy.Rewrite{}) {
		t.Errorf("%v, and of an open front it is said to have done %+v", err, done)
	}
	for _, c := range []struct {
		command, status string
		reload          haproxy.Reload
	}{
		{"disable frontend " + haproxy.Frontend, haproxy.Paused, ""},
		{"shutdown frontend " + haproxy.Frontend, haproxy.Shut, haproxy.ReloadToUndo},
	} {
		says(t, d, c.command)
		stats, err := d.Counters(t.Context())
		if err != nil || stats.Frontend.Status != c.status || !stats.Frontend.Closed() || answers(d, 200*time.Millisecond) {
			t.Errorf("after %s: %v, the front is %s", c.command, err, stats.Frontend.Status)
		}
		if done, err := d.Open(t.Context(), want); err != nil || done != (haproxy.Rewrite{Opened: true, Reload: c.reload}) {
			t.Errorf("after %s: %v, and it is said to have done %+v", c.command, err, done)
		}
		if stats, err := d.Counters(t.Context()); err != nil || stats.Frontend.Closed() || !answers(d, 5*time.Second) {
			t.Errorf("after %s and opening: %v, the front is %s", c.command, err, stats.Frontend.Status)
		}
		same(t, d, want)
	}
}

func TestAFrontWithAllItsConnectionsIsFull(t *testing.T) {
	d, paths := newDataPlane(t)
	d.options.MaxConn = 1
	serve(t, d, paths, 1)
	full := func() bool {
		stats, err := d.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stats.Full
	}
	if full() {
		t.Error("it is full from the beginning")
	}
	dial(t, d.options.Bind)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(5 * time.Second); !full(); {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("a client is connected, and it is not full")
		}
	}
}

func TestChecksThatSomebodySwitchedOffAreSwitchedOnAgain(t *testing.T) {
	d, _ := start(t, 4)
	want := []haproxy.Server{member(1, haproxy.Ready), member(2, haproxy.Drain), member(3, haproxy.Maint), freeSlots(4)[3]}
	unchecked := func() (names []string) {
		t.Helper()
		running, err := d.Servers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, server := range running {
			if server.Unchecked {
				names = append(names, server.Name)
			}
			if server.Unchecked != want[i].Differs(server) {
				t.Errorf("want %+v, runs %+v", want[i], server)
			}
		}
		return names
	}
	if err := set(t, d, want); err != nil {
		t.Fatal(err)
	}
	if got := unchecked(); len(got) > 0 {
		t.Errorf("without anybody's doing %v are unchecked", got)
	}
	for _, server := range want {
		says(t, d, "disable health "+haproxy.Backend+"/"+server.Name)
	}
	if got := unchecked(); !slices.Equal(got, []string{"slot-001", "slot-002", "slot-003", "slot-004"}) {
		t.Errorf("unchecked are %v", got)
	}
	if err := set(t, d, want); err != nil {
		t.Fatal(err)
	}
	if got := unchecked(); len(got) > 0 {
		t.Errorf("%v are still unchecked", got)
	}
}
