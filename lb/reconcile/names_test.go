package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"zatoha/consul"
	"zatoha/lb/state"
)

// resolver is a name server that a test can change.
type resolver struct {
	mu        sync.Mutex
	addresses []string
	err       error
	hangs     bool
}

func (r *resolver) lookup(ctx context.Context, _, host string) (found []netip.Addr, err error) {
	r.mu.Lock()
	hangs, addresses, fails := r.hangs, r.addresses, r.err
	r.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if host == "nowhere.local" {
		return nil, errors.New("no such host")
	}
	for _, address := range addresses {
		found = append(found, netip.MustParseAddr(address))
	}
	return found, fails
}

func (r *resolver) change(how func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how()
}

// named shows the loop instances by these host names, and one by its address, and says how long that took.
func (w *world) named(t *testing.T, hosts ...string) time.Duration {
	t.Helper()
	w.index++
	snapshot := consul.Snapshot{Index: w.index}
	for i, host := range append(hosts, "10.0.0.99") {
		snapshot.Instances = append(snapshot.Instances, consul.Instance{
			Node: "n", ID: fmt.Sprintf("web-%02d", i), Address: host, Port: 80, WeightPassing: 1, Status: consul.Passing,
		})
	}
	began := time.Now()
	w.Observe(t.Context(), consul.Observation{Snapshot: snapshot})
	took := time.Since(began)
	synctest.Wait()
	return took
}

func TestHostNamesAreResolvedAndRemembered(t *testing.T) {
	server := &resolver{addresses: []string{"::1", "10.0.0.7", "10.0.0.3"}}
	r := newConverter(0)
	r.names.lookup = server.lookup
	for _, c := range []struct{ host, address, fault string }{
		{"10.0.0.1", "10.0.0.1", ""},
		{"::1", "::1", ""},
		{"", "", ""},
		{"web.local", "10.0.0.3", ""},
		{"fe80::1%eth0;shutdown frontend f", "", `its address "fe80::1%eth0;shutdown frontend f" has an IPv6 zone, which means nothing to HAProxy`},
		{"nowhere.local", "", `its address "nowhere.local" cannot be resolved: no such host`},
	} {
		r.prepare(t.Context(), consul.Snapshot{Instances: []consul.Instance{{Address: c.host}}})
		if address, fault := r.address(c.host); address != c.address || fault != c.fault {
			t.Errorf("%q is %q, %q", c.host, address, fault)
		}
	}
}

func TestTheAddressOfANameIsFollowed(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		server := &resolver{addresses: []string{"10.0.0.7"}}
		w.convert.names.lookup = server.lookup
		expect := func(when, address string) {
			t.Helper()
			pass(lookupInterval)
			t.Log(when)
			w.runs(t, "slot-001 "+address+":80 ready", "slot-002 10.0.0.99:80 ready")
		}
		w.named(t, "web.local")
		expect("at first", "10.0.0.7")
		server.change(func() { server.addresses = []string{"10.0.0.3", "10.0.0.7"} })
		expect("its address is among others", "10.0.0.7")
		server.change(func() { server.addresses = []string{"10.0.0.8"} })
		expect("it has another one", "10.0.0.8")
		server.change(func() { server.err = errors.New("name server down") })
		expect("nobody answers", "10.0.0.8")
		server.change(func() { server.err, server.addresses = nil, nil })
		expect("it has none", "10.0.0.8")
	})
}

func TestAStartWithoutANameServerRemovesNobody(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		server := &resolver{err: errors.New("name server down")}
		w.convert.names.lookup = server.lookup
		left := state.NewPool(2) // by an earlier controller
		left.Slots[0].Member = state.Member{Key: "n/web-00", ID: "web-00", Address: "10.0.0.7", Port: 80, Weight: 1, Mode: state.Ready}
		w.plane.change(func() { w.plane.running = Servers(left) })
		w.mu.Lock()
		w.pool = left
		w.mu.Unlock()
		w.named(t, "web.local")
		w.runs(t, "slot-001 10.0.0.7:80 ready", "slot-002 10.0.0.99:80 ready")
		w.named(t, "web.local", "new.local")
		if report := w.Report(); len(report.Refused) != 1 || report.Refused[0].ID != "web-01" {
			t.Errorf("refused %v", report.Refused)
		}
		server.change(func() { server.err, server.addresses = nil, []string{"10.0.0.3", "10.0.0.7"} })
		pass(2 * lookupInterval)
		w.runs(t, "slot-001 10.0.0.7:80 ready", "slot-002 10.0.0.99:80 ready", "slot-003 10.0.0.3:80 ready")
	})
}

func TestANameThatComesBackIsLookedUpAnew(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		server := &resolver{addresses: []string{"10.0.0.7"}}
		w.convert.names.lookup = server.lookup
		comes := func(when, address string) {
			t.Helper()
			t.Log(when)
			w.named(t, "web.local")
			w.runs(t, "slot-001 "+address+":80 ready", "slot-002 10.0.0.99:80 ready")
			w.catalog(t, "web-98 passing", "web-99 passing")
		}
		comes("at first", "10.0.0.7")
		server.change(func() { server.addresses = []string{"10.0.0.8"} })
		comes("it has another address", "10.0.0.8")
		server.change(func() { server.err = errors.New("name server down") })
		comes("nobody answers", "10.0.0.8")
	})
}

func TestANameServerThatHangsIsWaitedForOnce(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		server := &resolver{addresses: []string{"10.0.0.7"}}
		w.convert.names.lookup = server.lookup
		w.named(t, "web.local")
		server.change(func() { server.hangs = true })
		hosts := []string{"web.local"}
		if took := w.named(t, hosts...); took != 0 {
			t.Errorf("a known name took %s", took)
		}
		for i := range 20 {
			hosts = append(hosts, fmt.Sprintf("new-%d.local", i))
		}
		if took := w.named(t, hosts...); took > lookupTimeout {
			t.Errorf("twenty names took %s", took)
		}
		if report := w.Report(); len(report.Refused) != 20 {
			t.Errorf("refused %v", report.Refused)
		}
		if took := w.named(t, hosts[:20]...); took != 0 {
			t.Errorf("names that were waited for took %s once more", took)
		}
		server.change(func() { server.hangs = false })
		pass(2 * lookupInterval)
		if report := w.Report(); len(report.Refused) != 0 {
			t.Errorf("still refused when the name server is back: %v", report.Refused)
		}
	})
}
