package embedded

import (
	"context"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

func design(sections []edit.Section) (string, error) { return haproxy.Design(sections), nil }

// Rollback gives our sections the design back that they had before its last change, checked, and reloads HAProxy if it
// runs. The servers stay as they are now, and so does every line that is not ours.
func (d *DataPlane) Rollback(ctx context.Context) error {
	d.file.Lock()
	defer d.file.Unlock()
	if err := d.rollBack(ctx); err != nil || !d.running(ctx) {
		return err
	}
	return d.process.Reload(ctx)
}

func (d *DataPlane) rollBack(ctx context.Context) error {
	old, err := d.read()
	if err != nil {
		return err
	}
	have, err := edit.Read(old)
	if err != nil {
		return d.inFile(err)
	}
	before, err := d.memory.Before(have)
	if err != nil {
		return err
	}
	edited, err := d.compare(old, have, before)
	if err != nil {
		return err
	}
	if err := d.put(ctx, edited); err != nil {
		return err
	}
	return d.memory.Reject(have)
}
