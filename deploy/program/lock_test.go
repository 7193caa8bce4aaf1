package program

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestAFileIsLockedForOneUntilUnlocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := Lock(path, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a file that is not there: %v", err)
	}
	unlock, err := Lock(path, os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path, 0); !errors.Is(err, ErrLocked) {
		t.Errorf("a second time: %v", err)
	}
	unlock()
	if unlock, err = Lock(path, 0); err != nil {
		t.Fatal(err)
	}
	unlock()
}
