package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

// lastGood is where the file is kept that the last change of structure replaced.
func (d *DataPlane) lastGood() string { return d.paths.Config + ".last-good" }

// rejection is where the structure is noted that was rolled back, so that no restart brings it again.
func (d *DataPlane) rejection() string { return d.paths.Config + ".rejected" }

// keep keeps a file as the last good one. One without a section of ours was never ours to go back to.
func (d *DataPlane) keep(text string) error {
	if sections, err := edit.Read(text); err != nil || len(sections) == 0 {
		return err
	}
	if err := os.WriteFile(d.lastGood(), []byte(text), 0o644); err != nil {
		return fmt.Errorf("keeping haproxy's last configuration: %w", err)
	}
	return nil
}

// Rollback gives our sections the structure back that they had before its last change, checked, and reloads HAProxy if
// it runs. The members stay as they are now, and so does every line that is not ours. The structure that is left is
// noted, and [DataPlane.Prepare] and its like keep away from it until another one is asked for. A second Rollback
// returns to it.
func (d *DataPlane) Rollback(ctx context.Context) error {
	d.file.Lock()
	defer d.file.Unlock()
	if err := d.rollBack(ctx); err != nil {
		return err
	}
	if !d.running(ctx) {
		return nil
	}
	return d.process.Reload(ctx)
}

func (d *DataPlane) rollBack(ctx context.Context) error {
	kept, err := os.ReadFile(d.lastGood())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s: the structure has not changed since the first start, so nothing can be rolled back", d.lastGood())
	}
	if err != nil {
		return fmt.Errorf("the last good configuration: %w", err)
	}
	good, err := edit.Read(string(kept))
	if err != nil {
		return fmt.Errorf("%s: %w", d.lastGood(), err)
	}
	old, err := d.read()
	if err != nil {
		return err
	}
	have, err := edit.Read(old)
	if err != nil {
		return d.inFile(err)
	}
	edited, err := d.compare(old, have, haproxy.WithServers(good, have))
	if err != nil {
		return err
	}
	if err := d.put(ctx, edited); err != nil {
		return err
	}
	return os.WriteFile(d.rejection(), []byte(design(have)+"\n"), 0o644)
}

// rejected says whether sections have the structure that was rolled back last, however many slots they have.
func (d *DataPlane) rejected(sections []edit.Section) bool {
	text, err := os.ReadFile(d.rejection())
	return err == nil && strings.TrimSpace(string(text)) == design(sections)
}

// design is the structure without the slots, which grow of themselves.
func design(sections []edit.Section) string {
	return haproxy.Structure(haproxy.WithServers(sections, nil))
}
