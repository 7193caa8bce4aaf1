package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// names are the addresses behind the host names that instances may have registered; the runtime socket takes only
// addresses. A name is waited for when it comes, for the first time or again. While it is in use its last answer counts,
// and another one is looked for in the background, so that a name server that is slow or away keeps up nobody and removes
// nobody.
type names struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	known map[string]answer // of all names that were seen so far
	inUse []string          // by the last snapshot, sorted
}

// answer is the address of a name, or why there has never been one.
type answer struct {
	address netip.Addr
	err     error
}

const (
	lookupTimeout  = 2 * time.Second  // of all lookups at one time
	lookupInterval = 10 * time.Second // between two lookups of the same name
	lookupLimit    = 64               // at a time
)

func newNames() *names {
	return &names{lookup: net.DefaultResolver.LookupNetIP, known: map[string]answer{}}
}

// meet takes the names that are in use from now on, and looks those up that were not until now: a name that comes back
// may have another address by then.
func (n *names) meet(ctx context.Context, hosts []string) {
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	n.mu.Lock()
	coming := slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { _, used := slices.BinarySearch(n.inUse, host); return used })
	n.inUse = hosts
	n.mu.Unlock()
	n.ask(ctx, coming)
}

// recall takes an address for the last answer of a name that has none yet: an earlier controller had it.
func (n *names) recall(host, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ip, err := netip.ParseAddr(address); err == nil && !n.known[host].address.IsValid() {
		n.known[host] = answer{address: ip}
	}
}

// refresh looks up all names in use, and says whether an address has changed.
func (n *names) refresh(ctx context.Context) (changed bool) {
	n.mu.Lock()
	hosts := n.inUse
	n.mu.Unlock()
	return n.ask(ctx, hosts)
}

func (n *names) ask(ctx context.Context, hosts []string) (changed bool) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var lookups errgroup.Group
	lookups.SetLimit(lookupLimit)
	news := make([]bool, len(hosts))
	for i, host := range hosts {
		lookups.Go(func() error {
			found, err := n.lookup(ctx, "ip", host)
			news[i] = n.learn(host, found, err)
			return nil
		})
	}
	_ = lookups.Wait()
	return slices.Contains(news, true)
}

// learn takes the outcome of a lookup, and says whether that changes the name's address.
func (n *names) learn(host string, found []netip.Addr, err error) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.known[host]
	if err == nil && len(found) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil {
		if !was.address.IsValid() {
			n.known[host] = answer{err: err}
		}
		return false
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	if slices.Contains(found, was.address) {
		return false // of several, which come in any order, the one that is in use
	}
	n.known[host] = answer{address: slices.MinFunc(found, netip.Addr.Compare)} // IPv4 first
	return true
}

// address is that of a name that was met, or why it has none.
func (n *names) address(host string) (address, fault string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.known[host]; known.address.IsValid() {
		return known.address.String(), ""
	}
	return "", fmt.Sprintf("its address %q cannot be resolved: %v", host, n.known[host].err)
}

// keepNames follows the names in use until ctx ends.
func (l *Loop) keepNames(ctx context.Context) {
	ticker := time.NewTicker(lookupInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !l.convert.names.refresh(ctx) {
			continue
		}
		l.mu.Lock()
		if l.latest != nil {
			l.latest = &catalogSeen{catalog: l.convert.catalog(l.latest.snapshot), snapshot: l.latest.snapshot, at: time.Now()}
		}
		l.mu.Unlock()
		l.Wake()
	}
}
