package reconcile

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
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
		if slot.Free() {
			all = append(all, haproxy.Server{Name: slot.Name, Admin: haproxy.Maint})
			continue
		}
		all = append(all, haproxy.Server{
			Name: slot.Name, Address: slot.Member.Address, Port: slot.Member.Port, Weight: slot.Member.Weight,
			Admin: admin(slot.Member.Mode), Note: note(slot.Member.Key),
		})
	}
	return all
}

func admin(mode state.Mode) haproxy.Admin {
	switch mode {
	case state.Ready:
		return haproxy.Ready
	case state.Drain:
		return haproxy.Drain
	default:
		return haproxy.Maint
	}
}

// note is the member's key as it can stand in a configuration file.
func note(key string) string {
	if key == strings.TrimSpace(key) && strings.IndexFunc(key, unicode.IsControl) < 0 {
		return key
	}
	return url.PathEscape(key)
}

// Pool is the pool that these server lines were written from, with n slots at least. It is how a controller goes on
// where the last one ended, also without Consul.
func Pool(saved []haproxy.Server, n int) state.Pool {
	slots := make([]state.Slot, 0, len(saved))
	for _, server := range saved {
		slot := state.Slot{Name: server.Name}
		if !server.Free() {
			slot.Member = member(server)
		}
		slots = append(slots, slot)
	}
	return state.Adopt(slots, n)
}

func member(server haproxy.Server) state.Member {
	m := state.Member{
		Key: server.Note, ID: server.Note[strings.LastIndexByte(server.Note, '/')+1:],
		Address: server.Address, Port: server.Port, Weight: server.Weight, Mode: state.Out,
	}
	if server.Note == "" {
		m.Key, m.ID = server.Endpoint(), server.Endpoint()
	}
	if server.Admin == haproxy.Ready {
		m.Mode = state.Ready
	}
	return m
}

// drainMeta is the metadata by which an instance asks to leave rotation.
const drainMeta = "drain"

// resolver turns the host names that instances may have registered into addresses, which is all that the runtime
// socket takes. It remembers the last answer for each name, so that a name server's failure removes nobody.
type resolver struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	known  map[string]netip.Addr
}

// catalog converts a snapshot of Consul's.
func (r *resolver) catalog(ctx context.Context, snapshot consul.Snapshot) state.Catalog {
	catalog := state.Catalog{Index: snapshot.Index}
	for _, instance := range snapshot.Instances {
		address, fault := r.address(ctx, instance.Address)
		catalog.Instances = append(catalog.Instances, state.Instance{
			Key: instance.Key(), ID: instance.ID, Address: address, Port: instance.Port,
			WeightPassing: instance.WeightPassing, WeightWarning: instance.WeightWarning,
			Status: state.Status(instance.Status), Drain: instance.Meta[drainMeta] == "true", Fault: fault,
		})
	}
	return catalog
}

// lookupTimeout bounds the resolution of one name.
const lookupTimeout = 2 * time.Second

func (r *resolver) address(ctx context.Context, host string) (address, fault string) {
	if host == "" {
		return "", ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), ""
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := r.lookup(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		if ip, known := r.known[host]; known {
			return ip.String(), ""
		}
		return "", fmt.Sprintf("its address %q cannot be resolved: %v", host, err)
	}
	// IPv4 first, and always the same one of several.
	ip := slices.MinFunc(found, netip.Addr.Compare).Unmap()
	if r.known == nil {
		r.known = map[string]netip.Addr{}
	}
	r.known[host] = ip
	return ip.String(), ""
}
