package program

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestARenewedSecretIsLogged(t *testing.T) {
	var lines bytes.Buffer
	told := Renewed(zerolog.New(&lines), "the token")
	told(errors.New("open f: no such file"))
	told(nil)
	all := strings.Split(strings.TrimSpace(lines.String()), "\n")
	if len(all) != 2 || !strings.Contains(all[0], "open f: no such file") || !strings.Contains(all[0], `"error"`) || !strings.Contains(all[1], "another one is in use") {
		t.Errorf("%q", all)
	}
}
