package embedded

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// interrupted has a data plane ask an haproxy before whose check a script is run.
func interrupted(t *testing.T, d *DataPlane, script string) {
	t.Helper()
	d.binary = filepath.Join(t.TempDir(), "haproxy")
	text := fmt.Sprintf("#!/bin/sh\n%s\nexec haproxy \"$@\"\n", script)
	if err := os.WriteFile(d.binary, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestWhatSomebodyWritesDuringAWriteStays(t *testing.T) {
	d, paths := newDataPlane(t)
	write(t, paths.Config, "# mine\n")
	interrupted(t, d, fmt.Sprintf(`grep -q later %[1]s || echo "# later" >>%[1]s`, paths.Config))
	if _, err := d.Prepare(t.Context(), freeSlots(2)); err != nil {
		t.Fatal(err)
	}
	text := read(t, paths.Config)
	if !strings.HasPrefix(text, "# mine\n# later\n") || !strings.Contains(text, "server slot-002 ") {
		t.Errorf("the file has\n%s", text)
	}
}

func TestAFileThatIsWrittenAllTheTimeIsLeftAlone(t *testing.T) {
	d, paths := newDataPlane(t)
	interrupted(t, d, fmt.Sprintf(`echo "# more" >>%s`, paths.Config))
	_, err := d.Prepare(t.Context(), freeSlots(2))
	if err == nil || !strings.Contains(err.Error(), "somebody else writes "+paths.Config+" all the time") {
		t.Errorf("it says %v", err)
	}
	if text, want := read(t, paths.Config), strings.Repeat("# more\n", attempts); text != want {
		t.Errorf("the file has\n%s", text)
	}
}

func TestALinkToTheFileStaysALinkAndItsModeStays(t *testing.T) {
	d, paths := newDataPlane(t)
	place := filepath.Join(t.TempDir(), "real.cfg")
	for path, text := range map[string]string{place: "# mine\n", place + ".next": "left by a crash"} {
		write(t, path, text)
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const mode fs.FileMode = 0o666 // of which a umask takes something away
	if err := os.Chmod(place, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(place, paths.Config); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Prepare(t.Context(), freeSlots(2)); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(paths.Config); err != nil || to != place {
		t.Errorf("the link leads to %q: %v", to, err)
	}
	if text := read(t, place); !strings.HasPrefix(text, "# mine\n") || !strings.Contains(text, "server slot-002 ") {
		t.Errorf("the file has\n%s", text)
	}
	if info, err := os.Stat(place); err != nil || info.Mode().Perm() != mode {
		t.Errorf("the file's mode is %v: %v", info.Mode(), err)
	}
}
