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

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
	"zatoha/haproxy/process"
)

// DataPlane is one HAProxy on this machine. Its methods may be called from several goroutines.
type DataPlane struct {
	binary  string
	paths   process.Paths
	options haproxy.Options
	runtime *socket
	process *process.Process
	file    sync.Mutex // one writer of haproxy.cfg at a time
}

// New ties together the configuration file, the options of our sections and the supervised process.
func New(binary string, paths process.Paths, options haproxy.Options, process *process.Process) *DataPlane {
	options.StatsSocket = paths.Stats()
	return &DataPlane{
		binary: binary, paths: paths, options: options, runtime: newSocket(paths.Stats()), process: process,
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
// that is running already on another file is reloaded.
func (d *DataPlane) Prepare(ctx context.Context, servers []haproxy.Server) error {
	changed, err := d.write(ctx, servers, true)
	if err != nil || !changed || !process.Running(ctx, d.paths) {
		return err
	}
	return d.process.Reload(ctx)
}

// Save writes the servers into the file and reloads nothing. Only addresses, weights and states may differ from what
// runs; that cannot make a valid file invalid, so it is not checked again.
func (d *DataPlane) Save(ctx context.Context, servers []haproxy.Server) error {
	_, err := d.write(ctx, servers, false)
	return err
}

// Rebuild writes the file with another structure and reloads HAProxy, which drops no connection. If haproxy refuses
// the new file, the old one stays in place and in use.
func (d *DataPlane) Rebuild(ctx context.Context, servers []haproxy.Server) error {
	if _, err := d.write(ctx, servers, true); err != nil {
		return err
	}
	return d.process.Reload(ctx)
}

// Servers are the backend's servers as the running HAProxy has them.
func (d *DataPlane) Servers(ctx context.Context) ([]haproxy.Server, error) {
	return d.runtime.servers(ctx, haproxy.Backend)
}

// Set changes servers in the running HAProxy, in one round trip for each fifty of them.
func (d *DataPlane) Set(ctx context.Context, changes []haproxy.Change) error {
	return d.runtime.set(ctx, haproxy.Backend, changes)
}

// Traffic is what each server of the backend is doing, by the server's name.
func (d *DataPlane) Traffic(ctx context.Context) (map[string]haproxy.Traffic, error) {
	return d.runtime.traffic(ctx, haproxy.Backend)
}

// write edits the file and says whether anything was changed in it. The previous file is kept beside it as .last-good.
func (d *DataPlane) write(ctx context.Context, servers []haproxy.Server, check bool) (changed bool, err error) {
	d.file.Lock()
	defer d.file.Unlock()
	old, err := d.read()
	if err != nil {
		return false, err
	}
	text, err := edit.Apply(old, d.options.Sections(servers))
	if err != nil {
		return false, d.inFile(err)
	}
	if text == old {
		return false, nil
	}
	next, err := d.stage(text)
	if err != nil {
		return false, err
	}
	defer os.Remove(next)
	if check {
		if err := process.Validate(ctx, d.binary, next); err != nil {
			return false, fmt.Errorf("the new %s is not valid and was not put in place: %w", d.paths.Config, err)
		}
	}
	if err := d.replace(next); err != nil {
		return false, err
	}
	return true, nil
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

// replace puts the staged file in place, at one stroke, and keeps the one that was there.
func (d *DataPlane) replace(next string) error {
	kept := d.paths.Config + ".last-good"
	if err := os.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping haproxy's last configuration: %w", err)
	}
	if err := os.Link(d.paths.Config, kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping haproxy's last configuration: %w", err)
	}
	if err := os.Rename(next, d.paths.Config); err != nil {
		return fmt.Errorf("putting haproxy's configuration in place: %w", err)
	}
	return nil
}

// inFile says in which file an edit was refused.
func (d *DataPlane) inFile(err error) error { return fmt.Errorf("%s: %w", d.paths.Config, err) }
