package program

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestATokenIsAcceptedForAWhileBehindItsExchange(t *testing.T) {
	now := time.Unix(1e9, 0)
	var token Token
	if token.Known() || token.Accepts(nil, now) {
		t.Error("something is accepted where there is no token")
	}
	for range 2 {
		if token.Renew("first", now) || !token.Known() {
			t.Error("the first one is another one")
		}
	}
	if !token.Renew("second", now) {
		t.Error("the second one is not")
	}
	for _, test := range []struct {
		shown string
		later time.Duration
		want  bool
	}{
		{"second", 0, true}, {"first", TokenGrace - 1, true}, {"first", TokenGrace, false}, {"second", time.Hour, true}, {"", 0, false}, {"third", 0, false},
	} {
		if got := token.Accepts([]byte(test.shown), now.Add(test.later)); got != test.want {
			t.Errorf("%q, %v behind the exchange: %t", test.shown, test.later, got)
		}
	}
}

func TestATokenIsGivenByOneOfTwoFlags(t *testing.T) {
	const token = "0123456789abcdef"
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ token, file, want, says string }{
		{},
		{token: token, want: token},
		{file: file(token + "\n"), want: token},
		{token: token, file: file(token), says: "--token-file: there is --token too: give one of them"},
		{token: "short", says: "--token: the token has less than 16 characters: make one by: openssl rand -hex 32"},
		{file: file("short"), says: "--token-file: the token has less than 16 characters"},
		{file: file("\n"), says: " is empty: name a file that this user can read, with the token in it"},
		{file: t.TempDir(), says: " is no ordinary file: name a file"},
	} {
		got, err := GivenToken("--token", test.token, test.file)
		var bad *ConfigError
		if got != test.want || (err == nil) != (test.says == "") || err != nil && (!errors.As(err, &bad) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
}
