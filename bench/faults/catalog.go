package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

// compare holds HAProxy's runtime against Consul's catalog, each by its own word: the controller is not asked.
func (p *play) compare(ctx context.Context) error {
	const patience = time.Second // for what the controller is just doing
	began := time.Now()
	for {
		catalog, consulErr := p.Healthy(ctx, service)
		state, haproxyErr := p.Runtime(ctx, "show servers state bck_http_plain")
		if err := errors.Join(consulErr, haproxyErr); err != nil {
			return err
		}
		differ := differences(catalog, cluster.ReadServers(state))
		if len(differ) == 0 {
			return nil
		}
		if time.Since(began) > patience {
			p.Fail("haproxy does not equal the catalog: %s", strings.Join(differ, "; "))
			return nil
		}
		if err := pause.For(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// differences are instances that HAProxy does not send traffic to as Consul has them, by address, port and weight, and
// servers to which it does though Consul has no such instance.
func differences(catalog []cluster.Registration, running []cluster.ServerState) (differ []string) {
	var wanted, have []string
	for _, r := range catalog {
		wanted = append(wanted, fmt.Sprintf("%s weight %d", r.Address, r.Weight))
	}
	for _, s := range running {
		if s.Away {
			continue
		}
		server := fmt.Sprintf("%s weight %d", s.Address, s.Weight)
		have = append(have, server)
		if i := slices.Index(wanted, server); i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
			have = have[:len(have)-1]
		}
	}
	for _, w := range wanted {
		differ = append(differ, "consul has "+w)
	}
	for _, h := range have {
		differ = append(differ, "haproxy has "+h)
	}
	return differ
}
