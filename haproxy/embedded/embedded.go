// Package embedded is the data plane in the controller's own process: haproxy.cfg on the local disk, the runtime API
// on a local socket (client-native's), and the HAProxy process under supervision.
//
// A membership change: [DataPlane.Set] changes servers in the running HAProxy, [DataPlane.Save] then writes the file
// to match, without a reload. A change of structure: [DataPlane.Rebuild] edits the file, has haproxy check it, puts it
// in place and reloads. Whatever was in the file and is not ours stays as it was, byte for byte.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	runtime *socket
	process *process.Process
	round   atomic.Int64 // see entrance; as the servers were when they were read last
	memory  *rollback.Memory
	file    sync.Mutex // one change of haproxy.cfg at a time, with the reload that belongs to it
}

// New ties together the configuration file, the options of our sections and the supervised process.
func New(binary string, paths process.Paths, options haproxy.Options, process *process.Process) *DataPlane {
	options.StatsSocket, options.EventSocket, options.RelaySocket = paths.Stats(), paths.Events(), paths.Relay()
	return &DataPlane{
		binary: binary, paths: paths, options: options, runtime: newSocket(paths.Stats()), process: process,
		memory: rollback.New(paths.Config, design),
	}
}

// Saved are the servers that the file has now: what an HAProxy that starts from it serves. A file that does not exist,
// or has no backend of ours, has none.
func (d *DataPlane) Saved() ([]haproxy.Server, error) {
	text, err := d.read()
	if err != nil {
		return nil, err
	}
	sections, err := edit.Read(text)
	if err != nil {
		return nil, d.inFile(err)
	}
	servers, err := haproxy.ReadServers(sections)
	if err != nil {
		return nil, d.inFile(err)
	}
	return servers, nil
}

// Prepare puts our sections with these servers into the file, checked, before HAProxy is started or adopted. An HAProxy
// that is running already on another structure is reloaded.
func (d *DataPlane) Prepare(ctx context.Context, servers []haproxy.Server) error {
	d.file.Lock()
	defer d.file.Unlock()
	structure, err := d.write(ctx, servers)
	if err != nil || !d.running(ctx) {
		return err
	}
	return d.catchUp(ctx, structure)
}

func (d *DataPlane) running(ctx context.Context) bool { return process.Running(ctx, d.paths) }

// Save writes the servers into the file, if they are not there already. It reloads nothing, unless the running HAProxy
// is found on another structure than the file has: it was started or reloaded from a file that somebody else wrote.
func (d *DataPlane) Save(ctx context.Context, servers []haproxy.Server) error {
	d.file.Lock()
	defer d.file.Unlock()
	structure, err := d.write(ctx, servers)
	if err != nil || d.process.Status().Worker == 0 {
		return err
	}
	return d.catchUp(ctx, structure)
}

// Rebuild writes the file with another structure and reloads HAProxy, which drops no connection. If haproxy refuses
// the new file, the old one stays in place and in use.
func (d *DataPlane) Rebuild(ctx context.Context, servers []haproxy.Server) error {
	d.file.Lock()
	defer d.file.Unlock()
	if _, err := d.write(ctx, servers); err != nil {
		return err
	}
	return d.process.Reload(ctx)
}

// catchUp reloads a running HAProxy whose structure is not the file's.
func (d *DataPlane) catchUp(ctx context.Context, structure string) error {
	running, err := d.runtime.structure(ctx)
	if err != nil || running == structure {
		return err
	}
	if err := process.Validate(ctx, d.binary, d.paths.Config); err != nil {
		return fmt.Errorf("haproxy runs on another structure than its file has, which cannot be loaded: %w", err)
	}
	return d.process.Reload(ctx)
}

// Servers are the backend's servers as the running HAProxy has them.
func (d *DataPlane) Servers(ctx context.Context) ([]haproxy.Server, error) {
	servers, err := d.runtime.servers(ctx, haproxy.Backend)
	if err == nil {
		d.round.Store(int64(turns(servers)))
	}
	return servers, err
}

// Set changes servers in the running HAProxy, in one round trip for each fifty of them.
func (d *DataPlane) Set(ctx context.Context, changes []haproxy.Change) error {
	first, second := changes, []haproxy.Change(nil)
	if d.options.SlowStart == 0 {
		first, second = entrance(changes, int(d.round.Load()))
	}
	if err := d.runtime.set(ctx, haproxy.Backend, first); err != nil || len(second) == 0 {
		return err
	}
	select {
	case <-time.After(entranceTime):
	case <-ctx.Done():
	}
	return d.runtime.set(ctx, haproxy.Backend, second)
}

// write edits the file, if it is not as wanted, and tells its structure. Another structure is checked by haproxy first,
// members alone cannot make a valid file invalid; and the file that another design replaces is kept as the last good one.
func (d *DataPlane) write(ctx context.Context, servers []haproxy.Server) (structure string, err error) {
	edited, err := d.edit(servers)
	if err == nil && edited.New != edited.Old {
		err = d.put(ctx, edited)
	}
	return edited.structure, err
}

// Preview is what Prepare would do to the file.
func (d *DataPlane) Preview(_ context.Context, servers []haproxy.Server) (haproxy.Edit, error) {
	d.file.Lock()
	defer d.file.Unlock()
	edited, err := d.edit(servers)
	return edited.Edit, err
}

// change is an edit of the file, and the structure that the file has with it.
type change struct {
	haproxy.Edit
	structure string
}

func (d *DataPlane) edit(servers []haproxy.Server) (change, error) {
	old, err := d.read()
	if err != nil {
		return change{}, err
	}
	have, err := edit.Read(old)
	if err != nil {
		return change{}, d.inFile(err)
	}
	want, err := d.memory.Wanted(have, d.options.Sections(servers))
	if err != nil {
		return change{}, err
	}
	return d.compare(old, have, want)
}

func (d *DataPlane) compare(old string, have, want []edit.Section) (change, error) {
	text, err := edit.Apply(old, haproxy.NameStructure(want))
	if err != nil {
		return change{}, d.inFile(err)
	}
	structure := haproxy.Structure(want)
	return change{haproxy.Edit{
		Old: old, New: text, Structural: haproxy.Structure(have) != structure,
		Redesigned: haproxy.Design(have) != haproxy.Design(want),
	}, structure}, nil
}

// put makes a change of the file.
func (d *DataPlane) put(ctx context.Context, edited change) error {
	next, err := d.stage(edited.New)
	if err != nil {
		return err
	}
	defer os.Remove(next)
	if edited.Structural {
		if err := process.Validate(ctx, d.binary, next); err != nil {
			return fmt.Errorf("the new %s is not valid and was not put in place: %w", d.paths.Config, err)
		}
	}
	undo := func() error { return nil }
	if edited.Redesigned {
		if undo, err = d.memory.Keep(edited.Old); err != nil {
			return err
		}
	}
	if err := os.Rename(next, d.paths.Config); err != nil {
		return errors.Join(fmt.Errorf("putting haproxy's configuration in place: %w", err), undo())
	}
	return nil
}

func (d *DataPlane) read() (string, error) {
	text, err := os.ReadFile(d.paths.Config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("haproxy's configuration: %w", err)
	}
	return string(text), nil
}

// stage writes the text beside the file, with the file's own permissions, and returns its path.
func (d *DataPlane) stage(text string) (string, error) {
	next := d.paths.Config + ".next"
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(d.paths.Config); err == nil {
		mode = info.Mode().Perm()
	}
	file, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return "", fmt.Errorf("haproxy's configuration cannot be written: %w: give this user write access to %s",
			err, filepath.Dir(next))
	}
	_, err = file.WriteString(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return "", fmt.Errorf("writing haproxy's configuration: %w", err)
	}
	return next, nil
}

// FileError says that haproxy.cfg has something in it because of which it cannot be read, or edited.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

// inFile says in which file an edit was refused.
func (d *DataPlane) inFile(err error) error { return &FileError{Path: d.paths.Config, Err: err} }
