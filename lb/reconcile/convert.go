package reconcile

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"zatoha/consul"
	"zatoha/haproxy"
	"zatoha/lb/state"
)

// Servers are the pool's slots in HAProxy's terms.
func Servers(pool state.Pool) []haproxy.Server {
	all := make([]haproxy.Server, 0, len(pool.Slots))
	for _, slot := range pool.Slots {
		all = append(all, server(slot))
	}
	return all
}

func server(slot state.Slot) haproxy.Server {
	if slot.Free() {
		return haproxy.Server{Name: slot.Name, Admin: haproxy.Maint}
	}
	return haproxy.Server{
		Name: slot.Name, Address: slot.Member.Address, Port: slot.Member.Port, Weight: slot.Member.Weight,
		MaxConn: slot.Member.MaxConn, Admin: admin(slot.Member.Mode), Note: note(slot.Member.Key),
	}
}

// admin keeps members that are out in drain: they get nothing new either, and what they have in hand is not cut off, as
// it would be in maintenance.
func admin(mode state.Mode) haproxy.Admin {
	if mode == state.Ready {
		return haproxy.Ready
	}
	return haproxy.Drain
}

// note is the member's key as it can stand in a configuration file.
func note(key string) string {
	if key == strings.TrimSpace(key) && strings.IndexFunc(key, unicode.IsControl) < 0 {
		return key
	}
	return url.PathEscape(key)
}

// Pool is the pool that goes on where an earlier controller ended, also without Consul: with the servers that the file
// has, and of those that HAProxy runs already (none, if it does not run) with the weight, limit and state that they
// have there. It has n slots at least.
func Pool(saved, running []haproxy.Server, n int) state.Pool {
	live := make(map[string]haproxy.Server, len(running))
	for _, server := range running {
		live[server.Name] = server
	}
	slots := make([]state.Slot, 0, len(saved))
	for _, server := range saved {
		slot := state.Slot{Name: server.Name}
		if !server.Free() {
			if now := live[server.Name]; now.Address == server.Address && now.Port == server.Port {
				server.Admin, server.Weight, server.MaxConn = now.Admin, now.Weight, now.MaxConn
			}
			slot.Member = member(server)
		}
		slots = append(slots, slot)
	}
	return state.Adopt(slots, n)
}

func member(server haproxy.Server) state.Member {
	m := state.Member{
		Key: server.Note, ID: server.Note[strings.LastIndexByte(server.Note, '/')+1:],
		Address: server.Address, Port: server.Port, Weight: server.Weight, MaxConn: server.MaxConn, Mode: mode(server.Admin),
	}
	if server.Note == "" {
		m.Key, m.ID = server.Endpoint(), server.Endpoint()
	}
	return m
}

func mode(admin haproxy.Admin) state.Mode {
	switch admin {
	case haproxy.Ready:
		return state.Ready
	case haproxy.Drain:
		return state.Drain
	default:
		return state.Out
	}
}

// converter makes catalogs of Consul's snapshots, with addresses in the place of host names.
type converter struct {
	names   *names
	maxConn int // for instances whose metadata say none
}

func newConverter(maxConn int) converter { return converter{names: newNames(), maxConn: maxConn} }

// recall takes the addresses of the pool's members for those that their host names in a snapshot had last, so that a name
// server that is away while a controller starts removes nobody.
func (r *converter) recall(snapshot consul.Snapshot, pool state.Pool) {
	addresses := map[string]string{}
	for _, slot := range pool.Slots {
		addresses[slot.Member.Key] = slot.Member.Address
	}
	for _, instance := range snapshot.Instances {
		if named(instance) {
			r.names.recall(instance.Address, addresses[instance.Key()])
		}
	}
}

// named says whether an instance has a host name in the place of an address.
func named(instance consul.Instance) bool {
	_, err := netip.ParseAddr(instance.Address)
	return err != nil && instance.Address != ""
}

// prepare looks up the host names in a snapshot that are new. It takes no longer than a lookup may take.
func (r *converter) prepare(ctx context.Context, snapshot consul.Snapshot) {
	var hosts []string
	for _, instance := range snapshot.Instances {
		if named(instance) {
			hosts = append(hosts, instance.Address)
		}
	}
	r.names.meet(ctx, hosts)
}

// catalog converts a snapshot that was prepared.
func (r *converter) catalog(snapshot consul.Snapshot) state.Catalog {
	catalog := state.Catalog{Index: snapshot.Index, Instances: make([]state.Instance, 0, len(snapshot.Instances))}
	for _, instance := range snapshot.Instances {
		address, fault := r.address(instance.Address)
		maxConn := r.maxConn
		if text, says := instance.Meta[consul.MaxConnMeta]; says && fault == "" {
			maxConn, fault = parseMaxConn(text)
		}
		catalog.Instances = append(catalog.Instances, state.Instance{
			Key: instance.Key(), ID: instance.ID, Address: address, Port: instance.Port,
			WeightPassing: instance.WeightPassing, WeightWarning: instance.WeightWarning,
			MaxConn: maxConn,
			Status:  state.Status(instance.Status), Drain: instance.Meta[consul.DrainMeta] == "true", Fault: fault,
			Services: instance.Meta[consul.ServicesMeta],
		})
	}
	return catalog
}

func parseMaxConn(text string) (maxConn int, fault string) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Sprintf("its metadata have %s=%q, which is not a number from 0 on", consul.MaxConnMeta, text)
	}
	return int(n), ""
}

func (r *converter) address(host string) (address, fault string) {
	if host == "" {
		return "", ""
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return r.names.address(host)
	case ip.Zone() != "": // it may hold any text, also commands for HAProxy
		return "", fmt.Sprintf("its address %q has an IPv6 zone, which means nothing to HAProxy", host)
	}
	if usual := ip.AppendTo(make([]byte, 0, 64)); string(usual) != host {
		return string(usual), ""
	}
	return host, ""
}

// Look reads the service once, as a loop that starts from the pool would see it.
func Look(ctx context.Context, client *consul.Client, service string, pool state.Pool, maxConn int, timeout time.Duration) (state.Catalog, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	seen := consul.Observation{Err: context.DeadlineExceeded}
	client.Watch(ctx, service, func(o consul.Observation) {
		seen = o
		cancel()
	})
	if seen.Err != nil {
		return state.Catalog{}, seen.Err
	}
	convert := newConverter(maxConn)
	convert.recall(seen.Snapshot, pool)
	convert.prepare(context.WithoutCancel(ctx), seen.Snapshot)
	return convert.catalog(seen.Snapshot), nil
}
