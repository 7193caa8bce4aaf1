package embedded

import (
	"context"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

func design(sections []edit.Section) (string, error) { return haproxy.Design(sections), nil }

// Rollback gives our sections the design back that they had before its last change, checked, and reloads HAProxy if it
// runs. The servers stay as they are now, and so does every line that is not ours.
func (d *DataPlane) Rollback(ctx context.Context) (haproxy.Rewrite, error) {
	d.file.Lock()
	defer d.file.Unlock()
	edited, err := d.rollBack(ctx)
	if err != nil || !d.running(ctx) {
		return edited.done(""), err
	}
	return d.reload(ctx, edited, haproxy.ReloadToRollBack)
}

func (d *DataPlane) rollBack(ctx context.Context) (change, error) {
	var left []edit.Section
	edited, err := d.inPlace(ctx, func() (change, error) {
		old, have, err := d.read()
		if err != nil {
			return change{}, err
		}
		left = d.known(have)
		before, err := d.memory.Before(left)
		if err != nil {
			return change{}, err
		}
		return d.compare(old, have, before)
	})
	if err != nil {
		return change{}, err
	}
	if err := d.memory.Reject(left); err != nil {
		return edited, err
	}
	choice, err := d.memory.Wanted(edited.sections, d.options.Sections(nil))
	d.note(edited.sections, choice.RolledBack)
	return edited, err
}
