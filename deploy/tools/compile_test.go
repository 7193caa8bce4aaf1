package main

import (
	"testing"
	"time"
)

func TestProgressIsHonest(t *testing.T) {
	p := newProgress("consul", map[string]int64{"small": 100, "large": 300, "last": 600})
	for _, step := range []struct {
		line    string
		elapsed time.Duration
		want    string
	}{
		{"go: downloading x v1.0.0", 20 * time.Second, "consul: package 0 of 3, 0 %, 20s so far"},
		{"small", 29 * time.Second, "consul: package 1 of 3, 10 %, 29s so far"},
		{"# small", 30 * time.Second, "consul: package 1 of 3, 10 %, 30s so far, about 4m30s left"},
		{"large", time.Minute, "consul: package 2 of 3, 40 %, 1m0s so far, about 1m30s left"},
		{"last", 3 * time.Minute, "consul: linking, 3m0s so far"},
	} {
		p.begun(step.line)
		if got := p.text(step.elapsed); got != step.want {
			t.Errorf("after %q: %q, want %q", step.line, got, step.want)
		}
	}
	if got := newProgress("consul", nil).text(time.Second); got != "consul: linking, 1s so far" {
		t.Errorf("with all compiled before: %q", got)
	}
}
