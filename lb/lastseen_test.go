package main

import (
	"bytes"
	"context"
	"path/filepath"
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
	seen.keep(ctx, zerolog.Nop(), func() time.Time { return time.Time{} })
	if !seen.at().IsZero() {
		t.Errorf("noted though Consul does not answer: %v", seen.at())
	}
	seen.keep(ctx, zerolog.Nop(), time.Now)
	if time.Since(seen.at()) > time.Minute {
		t.Errorf("noted %v", seen.at())
	}
	if whole := newLastWhole(filepath.Dir(seen.path)); !whole.at().IsZero() {
		t.Errorf("that it is followed is noted with it: %v", whole.at())
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
		(lastSeen{"/nowhere/at/all"}).keep(ctx, zerolog.New(&said), time.Now)
		if ctx.Err() == nil {
			t.Error("it ended")
		}
		if lines := strings.Count(said.String(), "\n"); lines != 1 || !strings.Contains(said.String(), "/nowhere/at/all") {
			t.Errorf("said %s", said.String())
		}
	})
}
