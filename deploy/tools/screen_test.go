package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheStatusLine(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		lasts    time.Duration
		want     string
	}{
		{"a quick one says nothing", false, 9 * time.Second, ""},
		{"in a file, a line every ten seconds", false, 25 * time.Second, "at 10s\nat 20s\n"},
		{"on a terminal, one line, gone at the end", true, 1200 * time.Millisecond, "\r\x1b[Kat 1s\r\x1b[Kat 1s\r\x1b[K"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				over := screen{out: &out, terminal: test.terminal}.follow(func(elapsed time.Duration) string {
					return "at " + clock(elapsed)
				})
				time.Sleep(test.lasts)
				over()
				if out.String() != test.want {
					t.Errorf("%q, want %q", &out, test.want)
				}
			})
		})
	}
}

func TestALongStatusDoesNotWrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		over := screen{out: &out, terminal: true}.follow(func(time.Duration) string { return strings.Repeat("é", 200) })
		time.Sleep(redraw)
		synctest.Wait()
		over()
		if got := strings.Count(out.String(), "é"); got != columns {
			t.Errorf("%d columns, want %d", got, columns)
		}
	})
}
