package supervise

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// Whatever comes in at a child's input, it neither panics nor works without a definition and an end.
func FuzzOrders(f *testing.F) {
	f.Add(`{"definition": {"name": "a", "json": {}}, "epoch": 1}` + "\n" + `{"command": "go"}` + "\n" + `{"command": "drain"}` + "\n")
	f.Add(`{"definition": {"name": "a"}}` + "\n")
	f.Add("{}\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := serveChild(ctx, strings.NewReader(text), io.Discard, lasting9(time.Minute), func(ctx context.Context, job *Job) error {
			if job.Definition.Name == "" {
				t.Error("works without a definition")
			}
			<-ctx.Done()
			return nil
		}, endingBy(cancel))
		if err == nil && ctx.Err() == nil {
			t.Error("ended though nobody said so")
		}
	})
}

// Whatever a child says, its parent takes it for a report only if it is one.
func FuzzReports(f *testing.F) {
	f.Add(`{"state": "running", "counters": {"received": 1}}` + "\n")
	f.Add(`{"state": "draining"}` + "\n")
	f.Add(strings.Repeat("x", 100))
	f.Fuzz(func(t *testing.T, text string) {
		_ = readLines(strings.NewReader(text), maxReport, func(r Report) error {
			if err := r.Validate(); err != nil {
				return err
			}
			if r.State == Draining || r.State == "" {
				t.Errorf("took %+v", r)
			}
			return nil
		})
	})
}
