package remote

import (
	"errors"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

// settle is called when a document is in use.
func (d *DataPlane) settle(p post) error {
	return errors.Join(d.note(p.sections, p.choice.RolledBack), p.choice.Settle())
}

// note keeps which design is in place.
func (d *DataPlane) note(ours []edit.Section, rolledBack time.Time) error {
	id, err := design(ours)
	d.placed.Store(&haproxy.Placed{Design: id, RolledBack: rolledBack})
	return err
}

// Placed is the design that the last call has put, or found, in place.
func (d *DataPlane) Placed() haproxy.Placed {
	if placed := d.placed.Load(); placed != nil {
		return *placed
	}
	return haproxy.Placed{}
}
