package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestWhenConsulAnsweredLastIsKnownToTheNextController(t *testing.T) {
	seen := newLastSeen(t.TempDir())
	if at := seen.at(); !at.IsZero() {
		t.Errorf("known before it was noted: %v", at)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	seen.keep(ctx, zerolog.Nop(), func() bool { return false })
	if !seen.at().IsZero() {
		t.Errorf("noted though Consul does not answer: %v", seen.at())
	}
	seen.keep(ctx, zerolog.Nop(), func() bool { return true })
	if time.Since(seen.at()) > time.Minute {
		t.Errorf("noted %v", seen.at())
	}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	if err := seen.note(noon); err != nil || !newLastSeen(t.TempDir()).at().IsZero() || !seen.at().Equal(noon) {
		t.Errorf("noted %v, %v", seen.at(), err)
	}
}

func TestAFolderThatTakesNoWritesIsLoggedOnceAndEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 10*seenInterval)
		defer cancel()
		(lastSeen{"/nowhere/at/all"}).keep(ctx, zerolog.New(&said), func() bool { return true })
		if ctx.Err() == nil {
			t.Error("it ended")
		}
		if lines := strings.Count(said.String(), "\n"); lines != 1 || !strings.Contains(said.String(), "/nowhere/at/all") {
			t.Errorf("said %s", said.String())
		}
	})
}
