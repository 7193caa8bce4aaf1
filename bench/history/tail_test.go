package history

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestAGrowingFileIsReadInWholeLines(t *testing.T) {
	tail := &Tail{Path: filepath.Join(t.TempDir(), "notes")}
	var got []string
	read := func() {
		t.Helper()
		if err := tail.Lines(func(line string) error { got = append(got, line); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	read() // it is not there yet
	file, err := os.Create(tail.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, text := range []string{"a\nb", "c\n", "", "d\n"} {
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		read()
	}
	if !slices.Equal(got, []string{"a", "bc", "d"}) {
		t.Errorf("%q", got)
	}
}

func TestNotesOfALongWhileAreReadInOnePass(t *testing.T) {
	tail := &Tail{Path: filepath.Join(t.TempDir(), "notes")}
	text := strings.Repeat("c-1 7 1767351600123456789 c-1-42 K1 true\n", 5000)
	if err := os.WriteFile(tail.Path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	if err := tail.Lines(func(string) error { n++; return nil }); err != nil || n != 5000 {
		t.Fatal(n, err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 20*uint64(len(text)) {
		t.Errorf("%d bytes of memory for %d of text: what is left is copied for each line", took, len(text))
	}
}
