package embedded

import (
	"testing"
	"time"

	"zatoha/haproxy"
)

// TestANewcomerGetsItsShareSlowly has a server join one that is there, first with a small part of the requests, in the
// end with half of them.
func TestANewcomerGetsItsShareSlowly(t *testing.T) {
	d, paths := newDataPlane(t)
	d.options.SlowStart = 8 * time.Second
	serve(t, d, paths, 2)
	first, second := serverNamed(t, "first", nil, nil), serverNamed(t, "second", nil, nil)
	first.Name, second.Name = "slot-001", "slot-002"
	must(t, errorOf(d.Rebuild(t.Context(), []haproxy.Server{first, freeSlots(2)[1]}, haproxy.ReloadToGrow))) // at its start HAProxy gives all at once
	client := dial(t, d.options.Bind)
	const requests = 20
	share := func() (n int) {
		for range requests {
			if client.get(t, "/") == "second" {
				n++
			}
		}
		return n
	}

	must(t, errorOf(d.Set(t.Context(), []haproxy.Change{{From: freeSlots(2)[1], To: second}})))
	if n := share(); n > requests/4 {
		t.Errorf("at first it got %d of %d requests", n, requests)
	}
	deadline := time.After(25 * time.Second)
	for share() < requests/2 {
		select {
		case <-deadline:
			t.Fatal("it never gets half of the requests")
		case <-time.After(100 * time.Millisecond):
		}
	}
	stats, err := d.Stats(t.Context())
	if err != nil || stats.Servers["slot-002"].InStatus < d.options.SlowStart/2 {
		t.Errorf("it had half of the requests after %s, %v", stats.Servers["slot-002"].InStatus, err)
	}
}
