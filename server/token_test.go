package server

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"zatoha/deploy/program"
)

func TestATokenIsExchangedInItsFile(t *testing.T) {
	const first, second = "the-first-token-1", "the-second-token"
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first + "\n")
	synctest.Test(t, func(t *testing.T) {
		var told []error
		token, err := (&settings{InvokeTokenFile: file}).token(func(err error) { told = append(told, err) })
		if err != nil {
			t.Fatal(err)
		}
		check := func(when, shown string, accepted, refused []string) {
			t.Helper()
			if got := token.shown(); got != shown {
				t.Errorf("%s: %q is shown", when, got)
			}
			for _, text := range accepted {
				if !token.accepts([]byte(text)) {
					t.Errorf("%s: %q is refused", when, text)
				}
			}
			for _, text := range append(refused, "") {
				if token.accepts([]byte(text)) {
					t.Errorf("%s: %q is accepted", when, text)
				}
			}
		}
		check("at the start", first, []string{first}, []string{second})
		write("")
		time.Sleep(3 * tokenLook)
		check("while there is none in the file", first, []string{first}, []string{second})
		time.Sleep(tokenLook)
		check("still", first, []string{first}, []string{second})
		write(second)
		time.Sleep(tokenLook)
		check("after the exchange", second, []string{first, second}, nil)
		time.Sleep(program.TokenGrace)
		check("a minute later", second, []string{second}, []string{first})
		if len(told) != 2 || told[0] == nil || told[1] != nil {
			t.Errorf("told: %v", told)
		}
	})
}
