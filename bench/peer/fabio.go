package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// FabioName is what fabio is called in reports.
const FabioName = "fabio"

// FabioTag is the tag in Consul of the instances that fabio sends everything to. It does so while a check of theirs
// passes: it sends nothing to one that has none.
const FabioTag = "urlprefix-/"

// fabioSettings are those that differ from fabio's own, but for where it listens. By its own it follows Consul by
// blocking queries, which is the fastest way that it has.
var fabioSettings = []string{
	"registry.consul.requireConsistent=false", // Consul's ordinary reads, as ours are, not the slower ones of its default
	"registry.consul.checksRequired=all",      // as ours
	"registry.consul.serviceMonitors=4",       // what has changed is asked for at once
	"registry.consul.register.enabled=false",  // a registration of its own would be one more thing to follow
	"proxy.strategy=rr",                       // in turn, as ours
	"glob.matching.disabled=true",             // a cheaper look-up of the route
	"runtime.gogc=800",                        // fewer collections of garbage; its default until 1.5.14
	"log.level=WARN",
	"log.routes.format=all", // no comparison of the routes for a log that nobody reads
}

// FabioSettings tells how it is run, for a report.
func FabioSettings() string {
	return FabioName + " follows Consul by blocking queries, as it does by default, and is given " + strings.Join(fabioSettings, ", ")
}

// Fabio is a running fabio, one program that follows Consul and carries the traffic itself.
type Fabio struct {
	process   *cluster.Process
	front, ui string
}

// StartFabio starts the fabio at a path beside a cluster, and waits until it serves, at most until ctx ends. Whoever
// starts it stops it.
func StartFabio(ctx context.Context, c *cluster.Cluster, binary string) (*Fabio, error) {
	front, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	ui, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	f := &Fabio{front: front, ui: ui}
	args := []string{"-insecure", "-proxy.addr=" + f.front, "-ui.addr=" + f.ui, "-registry.consul.addr=" + c.ConsulAddr} // -insecure: as root
	for _, setting := range fabioSettings {
		args = append(args, "-"+setting)
	}
	if c.AsUnits {
		binary, args = cluster.Ahead(binary, args...)
	}
	if f.process, err = c.Launch(FabioName, binary, args...); err != nil {
		return nil, err
	}
	err = f.process.Await(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", f.front)
		if err == nil {
			_ = conn.Close()
			_, err = f.Status(ctx)
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w: give a fabio 1.6 or newer", err)
		f.process.Kill()
		return nil, err
	}
	return f, nil
}

// Address is where it takes requests.
func (f *Fabio) Address() string { return f.front }

// Signal sends it a signal: SIGSTOP has it rest while it is others' turn, SIGCONT wakes it.
func (f *Fabio) Signal(signal syscall.Signal) { f.process.Signal(signal) }

// Stop ends it, in bounded time: if it has not ended when ctx does, it is killed.
func (f *Fabio) Stop(ctx context.Context) error { return f.process.Stop(ctx) }

// Await asks until the status is as wanted, fabio ends, or ctx does.
func (f *Fabio) Await(ctx context.Context, wanted func(cluster.Status) bool) error {
	return await(ctx, f, []*cluster.Process{f.process}, wanted)
}

// answering bounds how long it may take to tell its routes.
const answering = 2 * time.Second

// Status tells who takes traffic, by the routes that it has.
func (f *Fabio) Status(ctx context.Context) (status cluster.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.ui+"/api/routes", nil)
	if err != nil {
		return status, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return status, err
	}
	defer response.Body.Close()
	var routes []fabioRoute
	if err := json.NewDecoder(response.Body).Decode(&routes); err != nil {
		return status, fmt.Errorf("fabio's routes: %s: %w", response.Status, err)
	}
	return fabioStatus(routes)
}

// fabioRoute is as much as matters of a route.
type fabioRoute struct {
	Dst  string   `json:"dst"`
	Tags []string `json:"tags"` // of the instance, without those that make routes
}

// fabioStatus calls each instance by its first tag beside those of fabio's own, if it has one, else by its address.
func fabioStatus(routes []fabioRoute) (status cluster.Status, err error) {
	status.Consul.Reachable = true // it does not say
	for _, route := range routes {
		target, err := url.Parse(route.Dst)
		if err != nil {
			return status, fmt.Errorf("fabio's routes: %w", err)
		}
		name := target.Host
		if len(route.Tags) > 0 {
			name = route.Tags[0]
		}
		status.Slots = append(status.Slots, cluster.Slot{Slot: target.Host, Instance: name, Status: "UP"})
		status.Rotation = append(status.Rotation, name)
	}
	return status, nil
}
