package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/deploy/program"
)

// guarded begins to guard by a token in a file. What guards is told is in said; write writes the file, and has it be
// looked at.
func guarded(t *testing.T, token string) (g *tokenGuard, write func(string), said *[]string) {
	file, said := filepath.Join(t.TempDir(), "token"), &[]string{}
	g = &tokenGuard{secret: connector.NewSecret("${file:" + file + "}"), changed: func(err error) {
		text := "another"
		if err != nil {
			text = err.Error()
		}
		*said = append(*said, text)
	}}
	put := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(token)
	ctx, stop := context.WithCancel(t.Context())
	go g.follow(ctx)
	t.Cleanup(stop)
	time.Sleep(tokenEvery + time.Millisecond)
	synctest.Wait()
	return g, func(token string) {
		put(token)
		time.Sleep(tokenEvery)
		synctest.Wait()
	}, said
}

const oneToken, otherToken = "0123456789abcdef", "fedcba9876543210"

func TestATokenFileThatIsEmptyLetsNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, write, said := guarded(t, oneToken+"\n")
		for _, empty := range []string{"", "\n", "too-short", ""} {
			write(empty)
			for _, shown := range []string{"", "Bearer", "Bearer ", "Bearer " + strings.TrimSpace(empty)} {
				if set, same, err := g.check(shown); !set || same || err != nil {
					t.Errorf("file %q, %q shown: %v %v %v", empty, shown, set, same, err)
				}
			}
			if _, same, err := g.check("Bearer " + oneToken); !same || err != nil {
				t.Errorf("file %q: the last good one: %v %v", empty, same, err)
			}
		}
		write(oneToken)
		want := []string{"/token is empty", "the last one stays in use: the token has less than 16 characters", "/token is empty", "another"}
		if !slices.EqualFunc(*said, want, strings.HasSuffix) {
			t.Errorf("%q, want %q", *said, want)
		}
	})
}

func TestATokenThatWasNeverThereLetsNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, write, said := guarded(t, "")
		if set, same, err := g.check("Bearer "); !set || same || err == nil || len(*said) != 0 {
			t.Error(set, same, err, *said)
		}
		write(oneToken)
		if _, same, err := g.check("bearer " + oneToken); !same || err != nil {
			t.Error(same, err)
		}
	})
}

func TestTheTokenBeforeCountsForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, write, said := guarded(t, oneToken)
		expect := func(one, other bool) {
			t.Helper()
			for token, want := range map[string]bool{oneToken: one, otherToken: other, "": false} {
				if _, same, err := g.check("Bearer " + token); same != want || err != nil {
					t.Errorf("%q: %v %v", token, same, err)
				}
			}
		}
		expect(true, false)
		write(otherToken)
		expect(true, true)
		time.Sleep(program.TokenGrace - tokenEvery)
		expect(true, true)
		time.Sleep(tokenEvery)
		expect(false, true)
		if len(*said) != 1 || (*said)[0] != "another" {
			t.Errorf("%q", *said)
		}
	})
}
