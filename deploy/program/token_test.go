package program

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const oneToken, otherToken = "0123456789abcdef", "fedcba9876543210"

func TestATokenIsAcceptedForAWhileBehindItsExchange(t *testing.T) {
	now := time.Unix(1e9, 0)
	var token token
	if token.accepts(nil, now) {
		t.Error("something is accepted where there is no token")
	}
	for range 2 {
		if token.renew("first", now); token.current == nil || token.before != nil {
			t.Error("the first one is another one")
		}
	}
	if token.renew("second", now); token.before == nil {
		t.Error("the second one is not")
	}
	for _, test := range []struct {
		shown string
		later time.Duration
		want  bool
	}{
		{"second", 0, true}, {"first", tokenGrace - 1, true}, {"first", tokenGrace, false}, {"second", time.Hour, true}, {"", 0, false}, {"third", 0, false},
	} {
		if got := token.accepts([]byte(test.shown), now.Add(test.later)); got != test.want {
			t.Errorf("%q, %v behind the exchange: %t", test.shown, test.later, got)
		}
	}
}

func TestATokenIsExchangedInItsFile(t *testing.T) {
	file := textFile(t, "token", oneToken+"\n")
	synctest.Test(t, func(t *testing.T) {
		said := 0
		token, err := GivenToken("--token", "", file, func(error) { said++ })
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go token.Follow(ctx)
		// write writes the file, and nobody asks for the token until it has been followed for that long.
		write := func(text string, wait time.Duration) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait)
			synctest.Wait()
		}
		expect := func(when, shown string, one, other bool) {
			t.Helper()
			if got := token.Shown(); got != shown {
				t.Errorf("%s: %q is shown", when, got)
			}
			for text, want := range map[string]bool{oneToken: one, otherToken: other, "": false, "\n": false, "short": false} {
				if token.Accepts([]byte(text)) != want {
					t.Errorf("%s: %q is accepted: %t", when, text, !want)
				}
			}
		}
		expect("at the start", oneToken, true, false)
		for _, none := range []string{"", "\n", "short"} {
			write(none, 3*time.Second)
			expect("while the file has none", oneToken, true, false)
		}
		write(otherToken, 2*time.Second)
		expect("behind the exchange", otherToken, true, true)
		write(otherToken, tokenGrace)
		expect("a minute later", otherToken, false, true)
		write(oneToken, 2*tokenGrace)
		expect("long behind another exchange, of which nobody asked", oneToken, true, false)
		if said != 4 { // empty, short, and twice another
			t.Errorf("%d things were said", said)
		}
	})
}

func TestNoTokenIsShownByNobody(t *testing.T) {
	token, err := GivenToken("--token", "", "", nil)
	if token != nil || err != nil || token.Shown() != "" || token.Accepts(nil) {
		t.Error(token, err)
	}
	token.Follow(t.Context())
}

func TestATokenIsGivenByOneOfTwoFlags(t *testing.T) {
	const token = oneToken
	file := func(text string) string { return textFile(t, "token", text) }
	for _, test := range []struct{ token, file, want, says string }{
		{},
		{token: token, want: token},
		{file: file(token + "\n"), want: token},
		{token: token, file: file(token), says: "--token-file: there is --token too: give one of them"},
		{token: "short", says: "--token: the token has less than 16 characters: make one by: openssl rand -hex 32"},
		{file: file("short"), says: ": the token has less than 16 characters: name a file that this user can read, with a token in it"},
		{file: file("\n"), says: " is empty: name a file"},
		{file: t.TempDir(), says: " is no ordinary file: name a file"},
	} {
		got, err := GivenToken("--token", test.token, test.file, nil)
		var bad *ConfigError
		if got.Shown() != test.want || (err == nil) != (test.says == "") || err != nil && (!errors.As(err, &bad) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%+v: %q, %v", test, got.Shown(), err)
		}
	}
}
