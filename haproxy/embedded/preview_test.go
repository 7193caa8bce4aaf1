package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// previewing is what a start with other options would show, and where copies are made meanwhile.
func previewing(t *testing.T, d *DataPlane, change func(*haproxy.Options)) (preview haproxy.Edit, err error) {
	t.Helper()
	copies := t.TempDir()
	t.Setenv("TMPDIR", copies)
	options, before := d.options, read(t, d.paths.Config)
	change(&options)
	preview, err = New(d.binary, d.paths, options, d.process).Preview(t.Context(), freeSlots(2))
	if read(t, d.paths.Config) != before {
		t.Error("a preview changes the file")
	}
	for _, pattern := range []string{filepath.Join(copies, "*"), filepath.Join(filepath.Dir(d.place()), "zatoha-plan-*")} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("%v, a preview leaves %v", err, left)
		}
	}
	return preview, err
}

func TestAPreviewAsksHAProxyOnWhatItRuns(t *testing.T) {
	d, _ := start(t, 2)
	slower := func(o *haproxy.Options) { o.ServerTimeout = 7 * time.Second }
	slower(&d.options)
	if _, err := d.write(t.Context(), freeSlots(2)); err != nil { // and then the reload fails
		t.Fatal(err)
	}
	if preview, err := previewing(t, d, slower); err != nil || !preview.Structural || preview.New != preview.Old {
		t.Errorf("%v, where only HAProxy is behind, the preview is %+v", err, preview)
	}
	if _, err := d.Prepare(t.Context(), freeSlots(2)); err != nil {
		t.Fatal(err)
	}
	if preview, err := previewing(t, d, slower); err != nil || preview.Structural {
		t.Errorf("%v, where nothing is behind, the preview is %+v", err, preview)
	}
}

func TestAPreviewOfWhatHAProxyRefusesIsAnError(t *testing.T) {
	d, paths := newDataPlane(t)
	if _, err := d.Prepare(t.Context(), freeSlots(2)); err != nil {
		t.Fatal(err)
	}
	same := func(*haproxy.Options) {}
	if _, err := previewing(t, d, same); err != nil {
		t.Error(err)
	}
	secure := func(o *haproxy.Options) { o.TLS = haproxy.TLS{Bind: "127.0.0.1:1", Certificate: "/no/such.pem"} }
	refused := func(change func(*haproxy.Options), why string) {
		t.Helper()
		_, err := previewing(t, d, change)
		if _, invalid := errors.AsType[*process.InvalidError](err); !invalid || !strings.Contains(err.Error(), why) {
			t.Errorf("the preview says %v", err)
		}
	}
	refused(secure, "/no/such.pem")
	write(t, paths.Config, "global\n    bogus 1\n"+read(t, paths.Config))
	refused(same, "unknown keyword 'bogus'")
}

func TestAPreviewFindsWhatIsBesideTheFile(t *testing.T) {
	d, paths := newDataPlane(t)
	write(t, filepath.Join(filepath.Dir(paths.Config), "503.http"), "HTTP/1.0 503 No\r\n\r\n")
	write(t, paths.Config, "global\n    default-path config\n\ndefaults mine\n    errorfile 503 503.http\n")
	if _, err := previewing(t, d, func(*haproxy.Options) {}); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(paths.Config), "503.http")); err != nil {
		t.Fatal(err)
	}
	if _, err := previewing(t, d, func(*haproxy.Options) {}); err == nil {
		t.Error("a file that is not there is found")
	}
}
