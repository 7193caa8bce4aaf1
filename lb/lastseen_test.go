package main

import (
	"context"
	"testing"
	"time"
)

func TestWhenConsulAnsweredLastIsKnownToTheNextController(t *testing.T) {
	seen := newLastSeen(t.TempDir())
	if at := seen.at(); !at.IsZero() {
		t.Errorf("known before it was noted: %v", at)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := seen.keep(ctx, func() bool { return false }); err != nil || !seen.at().IsZero() {
		t.Errorf("noted though Consul does not answer: %v, %v", seen.at(), err)
	}
	if err := seen.keep(ctx, func() bool { return true }); err != nil || time.Since(seen.at()) > time.Minute {
		t.Errorf("noted %v, %v", seen.at(), err)
	}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	if err := seen.note(noon); err != nil || !newLastSeen(t.TempDir()).at().IsZero() || !seen.at().Equal(noon) {
		t.Errorf("noted %v, %v", seen.at(), err)
	}
	if err := (lastSeen{"/nowhere/at/all"}).keep(ctx, func() bool { return true }); err == nil {
		t.Error("a folder that is not there is no error")
	}
}
