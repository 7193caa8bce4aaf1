package secretfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func shout(text string) (string, error) {
	if text == "bad" {
		return "", errors.New("it is bad")
	}
	return strings.ToUpper(text), nil
}

func TestASecretChangesInItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	synctest.Test(t, func(t *testing.T) {
		var said []string
		kept, err := Keep(path, shout, func(err error) {
			text := "another"
			if err != nil {
				text = err.Error()
			}
			said = append(said, text)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ text, want, says string }{
			{"first", "FIRST", ""},
			{"second", "SECOND", "another"},
			{"", "SECOND", path + " is empty; the last one stays in use"},
			{"", "SECOND", ""},
			{"bad", "SECOND", path + ": it is bad; the last one stays in use"},
			{"second", "SECOND", "another"}, // so that who was told of the fault knows that it is mended
			{"third", "THIRD", "another"},
		} {
			said = nil
			before := kept.Secret()
			write(step.text)
			if got := kept.Secret(); got != before {
				t.Errorf("%q counts at once", step.text)
			}
			time.Sleep(every)
			if got := kept.Secret(); got != step.want || step.says == "" && said != nil || step.says != "" && !slices.Equal(said, []string{step.says}) {
				t.Errorf("%q: %q, said %q; want %q, %q", step.text, got, said, step.want, step.says)
			}
		}
	})
}

func TestASecretHasToBeThereAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if _, err := Keep(path, shout, nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("bad"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Keep(path, shout, nil); err == nil || err.Error() != path+": it is bad" {
		t.Error(err)
	}
}
