package embedded

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/freeport"
	"zatoha/haproxy"
)

// TestWhoIsThereAnewIsUpAtOnce has a server leave and end, be found down while its slot is kept, and come back.
func TestWhoIsThereAnewIsUpAtOnce(t *testing.T) {
	d, _ := start(t, 1)
	listener, err := net.Listen("tcp", freeport.For(t))
	must(t, err)
	first := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = first.Serve(listener) }()
	defer first.Close()
	address := listener.Addr().(*net.TCPAddr)
	ready := haproxy.Server{Name: "slot-001", Address: "127.0.0.1", Port: address.Port, Weight: 1, Admin: haproxy.Ready}
	leaving := ready
	leaving.Admin = haproxy.Drain
	must(t, set(t, d, []haproxy.Server{ready}))
	must(t, set(t, d, []haproxy.Server{leaving}))
	must(t, first.Close())
	awaitStatus(t, d, "DOWN")

	listener, err = net.Listen("tcp", address.String())
	must(t, err)
	second := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = second.Serve(listener) }()
	defer second.Close()
	must(t, errorOf(d.Set(t.Context(), []haproxy.Change{{From: leaving, To: ready, Anew: true}})))
	if status := statusOf(t, d); !strings.HasPrefix(status, "UP") {
		t.Errorf("it is back, and %s", status)
	}
	must(t, second.Close())
	awaitStatus(t, d, "DOWN")
}

func statusOf(t *testing.T, d *DataPlane) string {
	t.Helper()
	stats, err := d.Stats(t.Context())
	must(t, err)
	return stats.Servers["slot-001"].Status
}

func awaitStatus(t *testing.T, d *DataPlane, want string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !strings.HasPrefix(statusOf(t, d), want) {
		select {
		case <-deadline:
			t.Fatalf("it is %s, not %s", statusOf(t, d), want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestWhoIsThereAnewOrElsewhereIsDeclaredUp(t *testing.T) {
	at := func(port int, admin haproxy.Admin) haproxy.Server {
		return haproxy.Server{Name: "slot-001", Address: "127.0.0.1", Port: port, Weight: 1, Admin: admin}
	}
	free := haproxy.Server{Name: "slot-001", Admin: haproxy.Maint}
	for name, c := range map[string]struct {
		change haproxy.Change
		up     bool
	}{
		"back from drain":                  {haproxy.Change{From: at(1, haproxy.Drain), To: at(1, haproxy.Ready), Anew: true}, true},
		"another in its place":             {haproxy.Change{From: at(1, haproxy.Ready), To: at(1, haproxy.Ready), Anew: true}, true},
		"by way of maintenance":            {haproxy.Change{From: at(1, haproxy.Drain), To: at(2, haproxy.Ready), Anew: true}, true},
		"in a free slot":                   {haproxy.Change{From: free, To: at(1, haproxy.Ready), Anew: true}, true},
		"at another address":               {haproxy.Change{From: at(1, haproxy.Ready), To: at(2, haproxy.Ready)}, true},
		"registered, and asked to drain":   {haproxy.Change{From: at(1, haproxy.Drain), To: at(1, haproxy.Drain), Anew: true}, false},
		"ready again, not registered anew": {haproxy.Change{From: at(1, haproxy.Drain), To: at(1, haproxy.Ready)}, false},
	} {
		commands := setCommands("b", c.change)
		if up := slices.Contains(commands, "set server b/slot-001 health up"); up != c.up {
			t.Errorf("%s: %q", name, commands)
		}
	}
}

// TestACheckOfTheOneBeforeCountsForNobody has a slot taken by another while a check of the one before it, which hangs, is
// under way.
func TestACheckOfTheOneBeforeCountsForNobody(t *testing.T) {
	d, _ := start(t, 1)
	checked := make(chan struct{}, 100)
	end := make(chan struct{})
	before := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		checked <- struct{}{}
		<-end
	}))
	defer before.Close()
	defer close(end)
	after := httptest.NewServer(http.NotFoundHandler())
	defer after.Close()
	at := func(server *httptest.Server, admin haproxy.Admin) haproxy.Server {
		port := server.Listener.Addr().(*net.TCPAddr).Port
		return haproxy.Server{Name: "slot-001", Address: "127.0.0.1", Port: port, Weight: 1, Admin: admin}
	}
	must(t, set(t, d, []haproxy.Server{at(before, haproxy.Drain)}))
	<-checked
	must(t, errorOf(d.Set(t.Context(), []haproxy.Change{{From: at(before, haproxy.Drain), To: at(after, haproxy.Ready), Anew: true}})))
	for settled := time.After(time.Second); ; {
		select {
		case <-settled:
			return
		case <-time.After(5 * time.Millisecond):
			if status := statusOf(t, d); !strings.HasPrefix(status, "UP") {
				t.Fatalf("the one that came is %s", status)
			}
		}
	}
}
