package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// Preview is what Prepare would do to the file, and to the HAProxy that runs. A text that HAProxy would come to read is
// checked by haproxy, in a copy; what it refuses is an error, as it is there.
func (d *DataPlane) Preview(ctx context.Context, servers []haproxy.Server) (haproxy.Edit, error) {
	d.file.Lock()
	defer d.file.Unlock()
	edited, err := d.edit(servers)
	if err != nil {
		return edited.Edit, err
	}
	preview, runs := edited.Edit, d.running(ctx)
	if runs {
		if preview.Structural, err = d.outdated(ctx, edited); err != nil {
			return preview, err
		}
	}
	if runs && !preview.Structural && !edited.Structural {
		return preview, nil
	}
	return preview, d.tryOut(ctx, edited.New)
}

// tryOut has haproxy check a text in a file of its own, which is gone then.
func (d *DataPlane) tryOut(ctx context.Context, text string) error {
	copied, err := os.CreateTemp(d.trialDir(text), "zatoha-plan-*.cfg")
	if err != nil {
		return fmt.Errorf("a copy of haproxy's configuration, to be checked: %w", err)
	}
	defer os.Remove(copied.Name())
	_, err = copied.WriteString(text)
	if err := errors.Join(err, copied.Close()); err != nil {
		return fmt.Errorf("a copy of haproxy's configuration, to be checked: %w", err)
	}
	if err := process.Validate(ctx, d.binary, copied.Name()); err != nil {
		return fmt.Errorf("the new %s is not valid: %w", d.paths.Config, err)
	}
	return nil
}

// trialDir is the folder for a copy: the one for temporary files, "", unless the text has paths in it that begin where it
// is itself.
func (d *DataPlane) trialDir(text string) string {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "default-path" && (words[1] == "config" || words[1] == "parent") {
			return filepath.Dir(d.place())
		}
	}
	return ""
}
