package remote

import (
	"context"
	"errors"
	"strings"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

// Preview is what Prepare would do to the file, as the API would write it. It is not checked by haproxy: asked to do no
// more than that, the API does not say why a file is refused.
func (d *DataPlane) Preview(ctx context.Context, servers []haproxy.Server) (preview haproxy.Edit, err error) {
	err = d.inTurn(ctx, func() (err error) {
		preview, err = d.preview(ctx, servers)
		return err
	})
	return preview, err
}

func (d *DataPlane) preview(ctx context.Context, servers []haproxy.Server) (haproxy.Edit, error) {
	have, err := d.compared(ctx)
	if err != nil {
		return haproxy.Edit{}, err
	}
	p, err := d.edit(have, servers)
	if err != nil {
		return haproxy.Edit{}, err
	}
	now := unversioned(have.raw)
	preview := haproxy.Edit{Old: now, New: now, Structural: p.structural, Redesigned: p.redesigned, RolledBack: p.choice.RolledBack}
	if p.changed {
		preview.New, err = rewritten(unversioned(p.text))
	}
	return preview, err
}

// unversioned is a file without the lines of the API's own, which are others whenever it is written.
func unversioned(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "# _md5hash=") && !strings.HasPrefix(line, "# _version=") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// Rollback gives our sections the design back that they had before its last change, checked by haproxy on its machine,
// and reloads HAProxy if it runs. The servers stay as they are now.
func (d *DataPlane) Rollback(ctx context.Context) (done haproxy.Rewrite, err error) {
	err = d.inTurn(ctx, func() (err error) {
		done, err = d.rollBack(ctx)
		return err
	})
	return done, err
}

// rollBack notes what is given up before anybody else may change the document: it could bring it again.
func (d *DataPlane) rollBack(ctx context.Context) (haproxy.Rewrite, error) {
	var left, before []edit.Section
	done, err := d.try(ctx, func(have document) (post, error) {
		known := d.known(have)
		var err error
		if before, err = d.memory.Before(known); err != nil {
			return post{}, err
		}
		p, err := d.replace(have, before)
		if err != nil {
			return post{}, err
		}
		p.reason = haproxy.ReloadToRollBack
		if p.worker, err = d.worker(ctx); err != nil && !errors.Is(err, ErrNotRunning) {
			return post{}, err
		}
		left = known
		return p, nil
	})
	if left == nil || failure(err, (*Error).undone) {
		return done, err
	}
	// Also when nobody knows what became of it: else the next change would bring the design again.
	if err := errors.Join(err, d.memory.Reject(left)); err != nil {
		return done, err
	}
	choice, err := d.memory.Wanted(before, d.sections(nil))
	return done, errors.Join(err, d.note(before, choice.RolledBack))
}
