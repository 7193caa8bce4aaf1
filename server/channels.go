package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/server/channel"
	"zatoha/server/front"
	"zatoha/server/service"
)

// channels are the HTTP channels of a server: those of its configuration, and on top of them, by name, those in Consul's
// keys. They are put together anew at each change, and take the place of the ones before at one stroke.
type channels struct {
	services *service.Registry
	handlers map[string]front.Handler // by the names that definitions have for them, beside the services
	router   *front.Live
	secrets  secrets
	timeout  time.Duration // of a service, where the definition has none
	forget   func(channel, pattern string)
	log      zerolog.Logger

	configured []channel.Written
	set        channel.Set
	guards     map[channel.Definition]*front.Guard

	mu      sync.Mutex
	counts  map[string]int // by state
	told    map[string]string
	changed chan struct{} // has one when the number of active channels has changed since it was taken
	read    chan struct{} // closed once Consul's keys have been read, or could not be
	first   sync.Once
}

var errUninformed = errors.New("not read from Consul yet")

// configuredChannels are the definitions in a document, which is a list of them.
func configuredChannels(document program.Document) ([]channel.Written, error) {
	if document == "" {
		return nil, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(document), &items); err != nil {
		return nil, errors.New("must be a list of channels")
	}
	var written []channel.Written
	var faults []error
	for i, item := range items {
		d, _ := channel.Decode("", item)
		where := fmt.Sprintf("channel %d", i+1)
		switch {
		case d.Name == "":
			if _, all := channel.Decode("", item); len(all) > 0 {
				faults = append(faults, fmt.Errorf("%s: %w", where, all))
			} else {
				faults = append(faults, fmt.Errorf("%s: name: is empty", where))
			}
		case slices.ContainsFunc(written, func(w channel.Written) bool { return w.Name == d.Name }):
			faults = append(faults, fmt.Errorf("%s: name: %q is there twice", where, d.Name))
		default:
			written = append(written, channel.Written{Name: d.Name, Text: item})
		}
	}
	return written, errors.Join(faults...)
}

// configure puts the channels of the configuration in place. Any fault of theirs is the operator's to correct now.
func (c *channels) configure(document program.Document) error {
	written, err := configuredChannels(document)
	if err != nil {
		return program.BadConfig("--channels", err.Error(), "")
	}
	c.configured = written
	refused := c.update(nil)
	var faults []error
	for _, r := range refused {
		faults = append(faults, fmt.Errorf("channel %q: %w", r.Name, r.Reason))
	}
	if err := errors.Join(faults...); err != nil {
		return program.BadConfig("--channels", err.Error(), "correct it, or remove the channel")
	}
	return nil
}

// follow keeps up with the keys below a prefix until ctx ends.
func (c *channels) follow(ctx context.Context, agent agent, prefix string) {
	failing := false
	agent.WatchTree(ctx, prefix, func(o consul.TreeObservation) {
		defer c.first.Do(func() { close(c.read) })
		if o.Err != nil {
			if !failing {
				c.log.Warn().Err(o.Err).Msg("the channels in Consul cannot be read; those that are known stay")
			}
			failing = true
			return
		}
		failing = false
		var live []channel.Written
		for _, pair := range o.Pairs {
			if name := strings.TrimPrefix(pair.Key, prefix); name != "" { // some tools make a key of the folder itself
				live = append(live, channel.Written{Name: name, Text: pair.Value})
			}
		}
		c.update(live)
	})
}

// update puts the channels together and in place, and tells of what is new among the refusals.
func (c *channels) update(live []channel.Written) []channel.Refusal {
	byName := map[string]channel.Written{}
	for _, w := range slices.Concat(c.configured, live) {
		byName[w.Name] = w
	}
	written := slices.Collect(maps.Values(byName))
	fresh := map[channel.Definition]*front.Guard{}
	before := c.definitions()
	hold, refused := c.set.Update(written, func(d channel.Definition) channel.Faults {
		faults := d.Validate(c.known)
		if faults != nil {
			return faults
		}
		guard, faults := c.secrets.guard(d)
		fresh[d] = guard
		return faults
	})
	guards := map[channel.Definition]*front.Guard{}
	var table channel.Table[*front.Route]
	active := 0
	for _, d := range hold {
		guard := fresh[d]
		if guard == nil {
			guard = c.guards[d]
		}
		if guard == nil && d.Security != channel.None { // cannot be; but rather no channel than an open one
			c.log.Error().Str("channel", d.Name).Msg("a channel is left out: it has lost its credentials")
			continue
		}
		guards[d] = guard
		if d.IsActive {
			active++
		}
		if err := channel.Claim(&table, d, c.route(d, guard)); err != nil { // cannot be: what holds fits together
			c.log.Error().Err(err).Str("channel", d.Name).Msg("a channel is left out")
		}
	}
	c.guards = guards
	c.router.Swap(&table)
	c.forgetGone(before, guards)
	c.note(active, len(hold)-active, refused)
	return refused
}

func (c *channels) definitions() []channel.Definition {
	return slices.Collect(maps.Keys(c.guards))
}

func (c *channels) known(name string) bool {
	_, found := c.services.Lookup(name)
	return found || c.handlers[name] != nil
}

// route is how the front reaches what a definition names.
func (c *channels) route(d channel.Definition, guard *front.Guard) *front.Route {
	route := &front.Route{
		Pattern: d.Path, Name: d.Service, Channel: d.Name, Timeout: c.timeout, JSON: d.DataFormat == channel.JSON, Guard: guard,
		Handler: c.handlers[d.Service],
	}
	route.Service, _ = c.services.Lookup(d.Service)
	if d.TimeoutMS > 0 {
		route.Timeout = time.Duration(d.TimeoutMS) * time.Millisecond
	}
	return route
}

// forgetGone drops the metrics of channels and paths that are no more.
func (c *channels) forgetGone(before []channel.Definition, now map[channel.Definition]*front.Guard) {
	if c.forget == nil {
		return
	}
	for _, old := range before {
		if _, stays := now[old]; stays {
			continue
		}
		name, pattern := old.Name, old.Path
		for d := range now {
			if d.Name == old.Name {
				name = ""
			}
			if d.Path == old.Path {
				pattern = ""
			}
		}
		c.forget(name, pattern)
	}
}

// note keeps the counts, and logs each refusal once.
func (c *channels) note(active, inactive int, refused []channel.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := map[string]string{}
	for _, r := range refused {
		told[r.Name] = r.Error()
		if c.told[r.Name] != r.Error() {
			c.log.Warn().Str("channel", r.Name).Bool("kept", r.Kept).Err(r).Msg("a channel's definition is refused")
		}
	}
	if c.counts == nil || c.counts["active"] != active {
		select {
		case c.changed <- struct{}{}:
		default: // there is one
		}
		c.log.Info().Int("active", active).Int("inactive", inactive).Int("refused", len(refused)).Msg("channels")
	}
	c.told, c.counts = told, map[string]int{"active": active, "inactive": inactive, "refused": len(refused)}
}

// active is the number of channels that requests can come in by.
func (c *channels) active() int { return c.count("active") }

// informed is an error until Consul has been asked for channels.
func (c *channels) informed() error {
	select {
	case <-c.read:
		return nil
	default:
		return errUninformed
	}
}

func (c *channels) count(state string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[state]
}

// collectors are the channels' metrics.
func (c *channels) collectors() (all []prometheus.Collector) {
	for _, state := range []string{"active", "inactive", "refused"} {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "zato_server_channels",
			Help:        "HTTP channels, by state; refused are definitions with a fault, which the log names.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(c.count(state)) }))
	}
	return all
}
