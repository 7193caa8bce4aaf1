package secretfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWhatIsASecret(t *testing.T) {
	for text, want := range map[string]string{
		"s3cret": "s3cret", "s3cret\n": "s3cret", "s3cret\r\n": "s3cret", " two words ": " two words ", "two\nlines\n": "two\nlines",
		strings.Repeat("x", Longest): strings.Repeat("x", Longest),
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestWhatIsNoSecretIsToldByName(t *testing.T) {
	folder := t.TempDir()
	place := func(name string) string { return filepath.Join(folder, name) }
	for name, text := range map[string]string{"empty": "", "blank": "\r\n\n", "long": strings.Repeat("x", Longest+1)} {
		if err := os.WriteFile(place(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(place("pipe"), 0o600); err != nil { // which would be waited for without end
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		place("none"): "open " + place("none") + ": no such file or directory", folder: folder + " is no ordinary file",
		place("pipe"): place("pipe") + " is no ordinary file", place("empty"): place("empty") + " is empty",
		place("blank"): place("blank") + " is empty", place("long"): place("long") + " has more than 4096 bytes",
	} {
		if got, err := Read(path); got != "" || err == nil || err.Error() != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}
