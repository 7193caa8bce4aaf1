// Package embedded is the data plane in the controller's own process: haproxy.cfg on the local disk, the runtime API
// on a local socket (client-native's), and the HAProxy process under supervision.
//
// A membership change: [DataPlane.Set] changes servers in the running HAProxy, [DataPlane.Save] then writes the file
// to match, without a reload. A change of structure: [DataPlane.Rebuild] edits the file, has haproxy check it, puts it
// in place and reloads. Whatever was in the file and is not ours stays as it was, byte for byte. What somebody else has
// made of our lines in it since they were last as they should be, the next call that writes puts right and tells.
package embedded

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
	"zatoha/haproxy/process"
	"zatoha/haproxy/rollback"
)

// DataPlane is one HAProxy on this machine. Its methods may be called from several goroutines.
type DataPlane struct {
	binary  string
	paths   process.Paths
	options haproxy.Options
	runtime socket
	process *process.Process
	round   atomic.Int64 // see entrance; as the servers were when they were read last
	memory  *rollback.Memory
	placed  atomic.Pointer[haproxy.Placed]
	file    sync.Mutex     // one change of haproxy.cfg at a time, with the reload that belongs to it
	ours    []edit.Section // our sections as they were when they were last as they should be; nil before
	suspect bool           // HAProxy may have loaded what somebody else made of the structure, which names itself as before
}

// New ties together the configuration file, the options of our sections and the supervised process.
func New(binary string, paths process.Paths, options haproxy.Options, process *process.Process) *DataPlane {
	options.StatsSocket, options.EventSocket, options.RelaySocket = paths.Stats(), paths.Events(), paths.Relay()
	return &DataPlane{
		binary: binary, paths: paths, options: options, runtime: socket(paths.Stats()), process: process,
		memory: rollback.New(paths.Config, design),
	}
}

// Saved are the servers that the file has now: what an HAProxy that starts from it serves. A file that does not exist,
// or has no backend of ours, has none.
func (d *DataPlane) Saved() ([]haproxy.Server, error) {
	_, sections, err := d.read()
	if err != nil {
		return nil, err
	}
	servers, err := haproxy.ReadServers(sections)
	if err != nil {
		return nil, d.inFile(err)
	}
	return servers, nil
}

// Prepare puts our sections with these servers into the file, checked, before HAProxy is started or adopted. An HAProxy
// that is running already on another structure is reloaded. What was edited while no controller ran is told as far as it
// changed the structure; server lines that were edited then are taken for those to go on with.
func (d *DataPlane) Prepare(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error) {
	return d.update(ctx, servers, func() bool { return d.running(ctx) })
}

func (d *DataPlane) running(ctx context.Context) bool { return process.Running(ctx, d.paths) }

// Save writes the servers into the file, if they are not there already. It reloads nothing, unless the running HAProxy
// is, or may be, on another structure than the file has: it was started or reloaded from a file that somebody else wrote.
func (d *DataPlane) Save(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error) {
	return d.update(ctx, servers, func() bool { return d.process.Status().Worker != 0 })
}

// update writes the file, and reloads an HAProxy that runs on another structure than that.
func (d *DataPlane) update(ctx context.Context, servers []haproxy.Server, runs func() bool) (haproxy.Rewrite, error) {
	d.file.Lock()
	defer d.file.Unlock()
	edited, err := d.write(ctx, servers)
	if err != nil {
		return haproxy.Rewrite{}, err
	}
	d.suspect = d.suspects(edited)
	if !runs() {
		return edited.done(""), nil
	}
	return d.catchUp(ctx, edited)
}

// Rebuild writes the file with another structure and reloads HAProxy, which drops no connection. If haproxy refuses
// the new file, the old one stays in place and in use.
func (d *DataPlane) Rebuild(ctx context.Context, servers []haproxy.Server, reason haproxy.Reload) (haproxy.Rewrite, error) {
	d.file.Lock()
	defer d.file.Unlock()
	edited, err := d.write(ctx, servers)
	if err != nil {
		return haproxy.Rewrite{}, err
	}
	return d.reload(ctx, edited, reason)
}

// reload has HAProxy run on a file that was edited.
func (d *DataPlane) reload(ctx context.Context, edited change, reason haproxy.Reload) (haproxy.Rewrite, error) {
	if err := d.process.Reload(ctx); err != nil {
		return edited.done(""), err
	}
	d.suspect = false
	return edited.done(reason), nil
}

// catchUp reloads a running HAProxy whose structure is not, or may not be, that of a file that was edited.
func (d *DataPlane) catchUp(ctx context.Context, edited change) (haproxy.Rewrite, error) {
	if outdated, err := d.outdated(ctx, edited); err != nil || !outdated {
		return edited.done(""), err
	}
	if err := process.Validate(ctx, d.binary, d.paths.Config); err != nil {
		return edited.done(""), fmt.Errorf("haproxy runs on another structure than its file has, which cannot be loaded: %w", err)
	}
	return d.reload(ctx, edited, haproxy.ReloadAfter(edited.Structural, edited.byOthers))
}

// outdated says whether the structure of a running HAProxy is not, or may not be, that of a file that was edited.
func (d *DataPlane) outdated(ctx context.Context, edited change) (bool, error) {
	running, err := d.runtime.structure(ctx)
	return running != edited.structure || d.suspects(edited), err
}

// suspects says whether HAProxy may have loaded what somebody else made of the structure.
func (d *DataPlane) suspects(edited change) bool {
	return d.suspect || edited.Structural && edited.byOthers != ""
}

// Servers are the backend's servers as the running HAProxy has them.
func (d *DataPlane) Servers(ctx context.Context) ([]haproxy.Server, error) {
	servers, err := d.runtime.servers(ctx, haproxy.Backend)
	if err == nil {
		d.round.Store(int64(turns(servers)))
	}
	return servers, err
}

// Set changes servers in the running HAProxy, in one round trip for each fifty of them. It does not write the file.
func (d *DataPlane) Set(ctx context.Context, changes []haproxy.Change) (haproxy.Rewrite, error) {
	first, second := changes, []haproxy.Change(nil)
	if d.options.SlowStart == 0 {
		first, second = entrance(changes, int(d.round.Load()))
	}
	if err := d.runtime.set(ctx, haproxy.Backend, first); err != nil || len(second) == 0 {
		return haproxy.Rewrite{}, err
	}
	done := haproxy.Rewrite{InEffect: time.Now()}
	select {
	case <-time.After(entranceTime):
	case <-ctx.Done():
	}
	return done, d.runtime.set(ctx, haproxy.Backend, second)
}
