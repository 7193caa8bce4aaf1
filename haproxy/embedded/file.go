package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
	"zatoha/haproxy/process"
)

// write edits the file, if it is not as wanted. Another structure is checked by haproxy first, members alone cannot make
// a valid file invalid; and the file that another design replaces is kept as the last good one.
func (d *DataPlane) write(ctx context.Context, servers []haproxy.Server) (change, error) {
	edited, err := d.inPlace(ctx, func() (change, error) { return d.edit(servers) })
	if err != nil {
		return edited, err
	}
	d.note(edited.sections, edited.RolledBack)
	return edited, edited.settle()
}

// note keeps which design is in place.
func (d *DataPlane) note(ours []edit.Section, rolledBack time.Time) {
	d.placed.Store(&haproxy.Placed{Design: haproxy.Design(ours), RolledBack: rolledBack})
}

// Placed is the design that the last call has put, or found, in place.
func (d *DataPlane) Placed() haproxy.Placed {
	if placed := d.placed.Load(); placed != nil {
		return *placed
	}
	return haproxy.Placed{}
}

// attempts is how often an edit is made again after somebody else has written the file in between.
const attempts = 5

var errWritten = errors.New("somebody else has written the file")

// inPlace puts an edit in place, made again of what the file then has if somebody else has written it meanwhile.
func (d *DataPlane) inPlace(ctx context.Context, edit func() (change, error)) (change, error) {
	for range attempts {
		edited, err := edit()
		if err == nil {
			err = d.put(ctx, edited)
		}
		if !errors.Is(err, errWritten) {
			return edited, err
		}
	}
	return change{}, fmt.Errorf("somebody else writes %s all the time, gave up after %d attempts: see who else does", d.paths.Config, attempts)
}

// change is an edit of the file.
type change struct {
	haproxy.Edit
	sections  []edit.Section // ours, as the file has them with it
	structure string         // likewise
	byOthers  string         // what somebody else has made of our lines, which it puts right
	settle    func() error   // is called when it is in place
	replaced  string         // the file with the design that it replaces, without what somebody else has made of that; "" if none
}

// done is what is told of it, with the reason for a reload if there was one.
func (c change) done(reload haproxy.Reload) haproxy.Rewrite {
	return haproxy.Rewrite{Edited: c.byOthers, Reload: reload}
}

func (d *DataPlane) edit(servers []haproxy.Server) (change, error) {
	old, have, err := d.read()
	if err != nil {
		return change{}, err
	}
	choice, err := d.memory.Wanted(d.known(have), d.options.Sections(servers))
	if err != nil {
		return change{}, err
	}
	edited, err := d.compare(old, have, choice.Sections)
	edited.RolledBack, edited.settle = choice.RolledBack, choice.Settle
	return edited, err
}

// known are our sections as they should be in the file, as far as that is known, whatever the file has.
func (d *DataPlane) known(have []edit.Section) []edit.Section {
	if d.ours != nil {
		return d.ours
	}
	return have
}

func (d *DataPlane) compare(old string, have, want []edit.Section) (change, error) {
	named, structure := haproxy.NameStructure(want), haproxy.Structure(want)
	text, err := edit.Apply(old, named)
	if err != nil {
		return change{}, d.inFile(err)
	}
	c := change{sections: named, structure: structure, Edit: haproxy.Edit{
		Old: old, New: text, Structural: haproxy.Structure(have) != structure,
		Redesigned: haproxy.Design(have) != haproxy.Design(want),
	}}
	if text == old {
		return c, nil
	}
	c.byOthers = d.byOthers(have, named)
	if known := d.known(have); haproxy.Design(known) != haproxy.Design(want) {
		c.replaced = old
		if d.ours != nil {
			c.replaced, err = edit.Apply(old, known)
		}
	}
	return c, err
}

// byOthers says what somebody else has made of our lines. If this process has not written them, it goes by the structure
// that they name: one that is not theirs was edited. What exactly can then only be told if it is the one that is wanted
// now.
func (d *DataPlane) byOthers(have, want []edit.Section) string {
	if d.ours != nil {
		return edit.Difference(d.ours, have)
	}
	named := haproxy.NamedStructure(have)
	if named == "" || named == haproxy.Structure(have) {
		return ""
	}
	if said := edit.Difference(haproxy.WithServers(want, have), have); said != "" && named == haproxy.Structure(want) {
		return said
	}
	return "some of them, while no controller ran"
}

// put makes a change of the file, if it is one.
func (d *DataPlane) put(ctx context.Context, edited change) error {
	if edited.New != edited.Old {
		if err := d.replace(ctx, edited); err != nil {
			return err
		}
	}
	d.ours = edited.sections
	return nil
}

func (d *DataPlane) replace(ctx context.Context, edited change) error {
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
	if edited.replaced != "" {
		if undo, err = d.memory.Keep(edited.replaced); err != nil {
			return err
		}
	}
	if now, err := d.content(); err != nil || now != edited.Old {
		return errors.Join(cmp.Or(err, errWritten), undo())
	}
	if err := os.Rename(next, d.place()); err != nil {
		return errors.Join(fmt.Errorf("putting haproxy's configuration in place: %w", err), undo())
	}
	return nil
}

// place is where the file is that a symbolic link leads to, which stays one.
func (d *DataPlane) place() string {
	if path, err := filepath.EvalSymlinks(d.paths.Config); err == nil {
		return path
	}
	return d.paths.Config
}

// content is what the file has, nothing if it is not there.
func (d *DataPlane) content() (string, error) {
	content, err := os.ReadFile(d.paths.Config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("haproxy's configuration: %w", err)
	}
	return string(content), nil
}

// read reads the file, which may not be there yet, and our sections in it.
func (d *DataPlane) read() (text string, ours []edit.Section, err error) {
	if text, err = d.content(); err != nil {
		return "", nil, err
	}
	if ours, err = edit.Read(text); err != nil {
		return "", nil, d.inFile(err)
	}
	return text, ours, nil
}

// stage writes the text beside the file, with the file's own permissions, and returns its path.
func (d *DataPlane) stage(text string) (string, error) {
	next := d.place() + ".next"
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(d.paths.Config); err == nil {
		mode = info.Mode().Perm()
	}
	file, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return "", fmt.Errorf("haproxy's configuration cannot be written: %w: give this user write access to %s",
			err, filepath.Dir(next))
	}
	err = file.Chmod(mode) // whatever the umask is, and that of a file that was left here
	if err == nil {
		_, err = file.WriteString(text)
	}
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
