// Package remote is the data plane behind an official HAProxy Data Plane API 2.9 (its /v2), over HTTP or HTTPS with
// basic authentication: the controller and HAProxy are then on different machines, or owned by different people.
//
// A membership change: [DataPlane.Set] reads the raw configuration and its version, edits our server lines in it, and
// posts it with skip_reload=true and the runtime commands as X-Runtime-Actions: the file and the running servers change
// in one call, without a reload. [DataPlane.Save] then finds nothing left to write. A change of structure:
// [DataPlane.Rebuild] posts with force_reload=true and waits until another worker answers. If somebody else wrote in
// between, the API refuses the version (409), and the edit is made again on what is there then.
//
// # What the API does to the file
//
// The API takes the whole file apart and writes it anew at every change, whoever makes it. What the operator wrote is
// therefore not kept byte for byte, as it is by package embedded. Measured with 2.9.9:
//
//   - Sections are sorted by kind and name, all global sections become one, the lines of a section are grouped by
//     directive. Indentation and spacing are the API's. Two lines of its own head the file: "# _md5hash=" and
//     "# _version=".
//   - A defaults section without a name becomes "defaults unnamed_defaults_1". All defaults end up above all proxies, so
//     that a proxy without a "from" takes the last of them by name. Before that can happen, each proxy is given a "from"
//     with the defaults that it had; one that had none is refused, see [InheritanceError].
//   - A comment behind a section's header is lost, and so is one behind monitor-uri and "monitor fail". One behind
//     another directive stays. One on a line of its own stays somewhere, often above the next section.
//   - ".if" and ".endif" end up beside each other, with what was between them above: it applies without the condition. A
//     file with a condition is therefore refused here, see [ConditionError].
//
// The marks that tell our lines from the operator's ride behind directives. Those that the API drops are put back after
// each reading, before package edit sees the text; see restore.
//
// # What to give the API
//
// A user of its own, a runtime socket (master_runtime, or a stats socket in the file that it starts from), a reload
// command that works, and an HAProxy in master-worker mode (-W), so that a reload closes no connection. Its Consul
// discovery must be off: it writes the same file. One controller drives one API: two would undo each other's slots.
//
// # What differs from an HAProxy of this machine
//
// What HAProxy reports of its servers' health, see [haproxy.Event], does not come through the API: HAProxy ends the
// sessions of a server itself at the moment at which its checks take it out, and the history of changes lacks that.
// A server that was down, and registers anew in a slot kept for it, waits half a second or so for HAProxy's checks.
//
// A limit of connections that is not the slot's takes a reload, see [DataPlane.Set]. So does what somebody has done
// by the runtime socket to the front, or to the health checks of a server, which shows only while that is up.
//
// Certificates are files on HAProxy's machine: haproxy refuses a front whose certificate is not there, and takes up
// new contents when whoever renews them reloads it there. The API can store certificates too; nothing here uses that.
// A change of membership is one call, which has haproxy check the file: about 50 ms where the runtime socket takes
// one or two. And the API is slow to count: the statistics of 1,000 servers take it some 0.3 s, of 3,000 about 1 s,
// on every look at the status page and every comparison.
package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
	"zatoha/haproxy/rollback"
)

// DataPlane is one HAProxy behind a Data Plane API. Its methods may be called from several goroutines; those that write
// take turns.
type DataPlane struct {
	api      *client
	sections func([]haproxy.Server) []edit.Section
	memory   *rollback.Memory
	limit    int           // of connections, of a free slot
	patience time.Duration // with a reload
	turn     chan struct{} // holds a token while somebody writes
	placed   atomic.Pointer[haproxy.Placed]
	closed   atomic.Bool // the front takes no connections; as it was when the servers were read last

	// These belong to whose turn it is.
	refused  refusal
	unloaded haproxy.Reload // why the file got a structure that HAProxy has not been seen to load; "" if it has been
	ours     []edit.Section // our sections as they were when they were last as they should be; nil before
}

// New makes a data plane, without asking anything of the API yet. Paths in the options are paths on HAProxy's machine;
// that of the memory, see [rollback.New], is on ours.
func New(config Config, options haproxy.Options, memory string) (*DataPlane, error) {
	api, err := newClient(config)
	if err != nil {
		return nil, err
	}
	return &DataPlane{
		api: api, sections: options.Sections, memory: rollback.New(memory, design), limit: options.SlotMaxConn, patience: reloadPatience,
		turn: make(chan struct{}, 1),
	}, nil
}

// Saved are the servers that the file has now. It takes a few seconds at most.
func (d *DataPlane) Saved() ([]haproxy.Server, error) {
	return d.saved(context.Background())
}

func (d *DataPlane) saved(ctx context.Context) ([]haproxy.Server, error) {
	have, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := haproxy.ReadServers(have.sections)
	if err != nil {
		return nil, d.api.about(err)
	}
	return servers, nil
}

// Prepare puts our sections with these servers into the file, checked by haproxy on its machine. If that changes the
// structure, an HAProxy that runs is reloaded; and if none can be seen to run, the next call does that. On which
// structure it runs cannot be asked through the API: one that was started from another file stays on that. Nor can it be
// told what was edited before this process first wrote the file.
func (d *DataPlane) Prepare(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error) {
	return d.change(ctx, func(have document) (post, error) {
		p, err := d.edit(have, servers)
		if err != nil || !p.structural && d.unloaded == "" {
			return p, err
		}
		p.reason = d.unloaded
		if p.structural {
			p.reason = haproxy.ReloadAfter(p.structural, p.byOthers)
		}
		p.worker, err = d.worker(ctx)
		if errors.Is(err, ErrNotRunning) {
			return p, nil
		}
		p.changed = true
		return p, err
	})
}

// Save writes the servers into the file, if they are not there already. It reloads nothing, unless it finds that
// somebody changed the structure of our sections.
func (d *DataPlane) Save(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error) {
	return d.Prepare(ctx, servers)
}

// Rebuild writes the file with another structure, reloads HAProxy and waits until the new worker answers. If haproxy
// refuses the new file, the old one stays in place and in use.
func (d *DataPlane) Rebuild(ctx context.Context, servers []haproxy.Server, reason haproxy.Reload) (haproxy.Rewrite, error) {
	return d.change(ctx, func(have document) (post, error) {
		p, err := d.edit(have, servers)
		if err != nil {
			return p, err
		}
		p.changed, p.reason = true, reason // the reload is wanted, whatever is in the file
		p.worker, err = d.worker(ctx)
		return p, err
	})
}

// batch is the number of servers set in one call: their commands are a header, of which the API takes 1 MiB.
const batch = 1000

// Set changes servers in the running HAProxy and in the file, in one call for each thousand of them. A server's limit of
// connections the API cannot change in a running HAProxy, nor can it switch health checks on: a limit that is not its
// slot's (see [haproxy.Options]), and checks that somebody has switched off, take a reload, one for all of them, after
// which other servers that drained are in maintenance, as the file has them. An HAProxy that does not run is an error,
// but the file has the servers then.
func (d *DataPlane) Set(ctx context.Context, changes []haproxy.Change) (done haproxy.Rewrite, err error) {
	if reason := d.reloads(changes); reason != "" {
		if done, err = d.reloadWith(ctx, changes, reason); err != nil {
			return done, about(err)
		}
		changes = reloaded(changes)
	}
	for batched := range slices.Chunk(changes, batch) {
		more, err := d.set(ctx, batched)
		if done.Edited == "" {
			done.Edited = more.Edited
		}
		if err != nil {
			return done, about(err)
		}
	}
	return done, nil
}

func about(err error) error { return fmt.Errorf("setting servers of %s: %w", haproxy.Backend, err) }

// reloads is why changes take a reload, or "".
func (d *DataPlane) reloads(changes []haproxy.Change) haproxy.Reload {
	switch {
	case slices.ContainsFunc(changes, func(change haproxy.Change) bool { return change.From.Unchecked }):
		return haproxy.ReloadToUndo
	case slices.ContainsFunc(changes, d.limits):
		return haproxy.ReloadToLimit
	default:
		return ""
	}
}

// Open has the front take connections again if it took none when the servers were read last. The API has no other way to
// do that than a reload.
func (d *DataPlane) Open(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error) {
	if !d.closed.Load() {
		return haproxy.Rewrite{}, nil
	}
	done, err := d.Rebuild(ctx, servers, haproxy.ReloadToUndo)
	done.Opened = err == nil
	return done, err
}

// reloadWith makes changes in the file, and has HAProxy load it.
func (d *DataPlane) reloadWith(ctx context.Context, changes []haproxy.Change, reason haproxy.Reload) (haproxy.Rewrite, error) {
	return d.change(ctx, func(have document) (post, error) {
		p, err := d.applied(have, changes)
		if err != nil {
			return p, err
		}
		p.reason = reason
		p.worker, err = d.worker(ctx)
		return p, err
	})
}

// set makes changes in the file and in the running HAProxy at once.
func (d *DataPlane) set(ctx context.Context, changes []haproxy.Change) (haproxy.Rewrite, error) {
	commands := actions(haproxy.Backend, changes)
	if len(commands) == 0 {
		return haproxy.Rewrite{}, nil
	}
	return d.change(ctx, func(have document) (post, error) {
		p, err := d.applied(have, changes)
		p.actions = commands
		return p, err
	})
}

// limits says whether a change is of the limit of connections. Of a free slot whoever wants the change may not know it.
func (d *DataPlane) limits(change haproxy.Change) bool {
	now := change.From.MaxConn
	if change.From.Free() {
		now = d.limit
	}
	return !change.To.Free() && now != change.To.MaxConn
}

// reloaded are the changes that are left when HAProxy runs on a file that has them.
func reloaded(changes []haproxy.Change) []haproxy.Change {
	left := slices.Clone(changes)
	for i := range left {
		left[i].From = left[i].To
		if left[i].To.Admin == haproxy.Drain {
			left[i].From.Admin = haproxy.Maint
		}
	}
	return left
}

// applied makes the changes in a document.
func (d *DataPlane) applied(have document, changes []haproxy.Change) (post, error) {
	servers, err := haproxy.ReadServers(have.sections)
	if err != nil {
		return post{}, d.api.about(err)
	}
	p, err := d.edit(have, replaced(servers, changes))
	p.changed = true // the running servers, if nothing else
	return p, err
}

// replaced are the servers with those in place that the changes lead to.
func replaced(servers []haproxy.Server, changes []haproxy.Change) []haproxy.Server {
	wanted := make(map[string]haproxy.Server, len(changes))
	for _, change := range changes {
		wanted[change.To.Name] = change.To
	}
	for i, server := range servers {
		if to, ok := wanted[server.Name]; ok {
			servers[i] = to
		}
	}
	return servers
}
