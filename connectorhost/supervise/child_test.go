package supervise

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve runs a child in this process on orders that are written to it. It is gone when it died, or returned.
func serve(t *testing.T, term *term, work Work) (orders *io.PipeWriter, out *bytes.Buffer, died *atomic.Bool, returned chan error) {
	t.Helper()
	in, orders := io.Pipe()
	out, died, returned = &bytes.Buffer{}, &atomic.Bool{}, make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		orders.Close()
	})
	go func() {
		returned <- serveChild(ctx, in, out, term, work, endingBy(func() {
			died.Store(true)
			cancel()
		}))
	}()
	return orders, out, died, returned
}

// endingBy is an ending that no kernel has a hand in.
func endingBy(now func()) ending { return ending{now, func(int64) error { return nil }} }

func order(t *testing.T, orders io.Writer, o Order) {
	t.Helper()
	line, err := encodeLine(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orders.Write(line); err != nil {
		t.Fatal(err)
	}
}

// begin is the first order, of epoch 9.
func begin() Order { return Order{Definition: &Definition{Name: "a", JSON: []byte(`{}`)}, Epoch: 9} }

// lasting9 lets children of epoch 9 act for a while.
func lasting9(d time.Duration) *term {
	term := &term{words: &words{}}
	term.set(9, bootClock()+int64(d))
	return term
}

func untilEnd(ctx context.Context, _ *Job) error {
	<-ctx.Done()
	return nil
}

func TestAChildWithoutAWordFromItsParentEndsItself(t *testing.T) {
	term := lasting9(150 * time.Millisecond)
	orders, _, died, returned := serve(t, term, untilEnd)
	begun := time.Now()
	order(t, orders, begin())
	term.set(9, bootClock()+int64(300*time.Millisecond))
	if err := <-returned; err != nil || !died.Load() {
		t.Errorf("died %t, %v", died.Load(), err)
	}
	if took := time.Since(begun); took < 290*time.Millisecond {
		t.Errorf("it died after %v, before the lease had ended", took)
	}
}

// No time was ever set for its epoch, or that epoch is over.
func TestAChildOfAnotherEpochHasNoTime(t *testing.T) {
	for epoch, term := range map[uint64]*term{9: {words: &words{}}, 8: lasting9(time.Hour)} {
		orders, _, died, returned := serve(t, term, func(ctx context.Context, job *Job) error {
			if job.Valid() {
				t.Errorf("a child of epoch %d may act", epoch)
			}
			return untilEnd(ctx, job)
		})
		first := begin()
		first.Epoch = epoch
		order(t, orders, first)
		if err := <-returned; err != nil || !died.Load() {
			t.Errorf("epoch %d: died %t, %v", epoch, died.Load(), err)
		}
	}
}

func TestAChildWhoseParentIsGoneEndsItself(t *testing.T) {
	begun := make(chan struct{})
	orders, _, died, returned := serve(t, lasting9(time.Hour), func(ctx context.Context, job *Job) error {
		close(begun)
		return untilEnd(ctx, job)
	})
	order(t, orders, begin())
	<-begun
	orders.Close()
	if err := <-returned; err != nil || !died.Load() {
		t.Errorf("died %t, %v", died.Load(), err)
	}
}

func TestAChildIsToldAndTells(t *testing.T) {
	orders, out, died, returned := serve(t, lasting9(time.Hour), func(_ context.Context, job *Job) error {
		if job.Epoch != 9 || job.Definition.Name != "a" || !job.Valid() {
			t.Errorf("%+v", job.Definition)
		}
		if err := job.Report(Report{State: Draining}); err == nil {
			t.Error("it may report what only the parent knows")
		}
		if err := job.Report(Report{State: Running, Why: strings.Repeat("x", maxReport)}); err == nil {
			t.Error("it may report more than the parent reads")
		}
		<-job.Going()
		if err := job.Report(Report{State: Running}); err != nil {
			t.Error(err)
		}
		<-job.Draining()
		return Permanent(errors.New("no queue"))
	})
	order(t, orders, begin())
	order(t, orders, Order{Command: Go})
	order(t, orders, Order{Command: Go})
	order(t, orders, Order{Command: Drain})
	if err := <-returned; err == nil || err.Error() != "no queue" || died.Load() {
		t.Errorf("died %t, %v", died.Load(), err)
	}
	if want := "\n{\"state\":\"running\"}\n{\"state\":\"failed\",\"why\":\"no queue\"}\n"; out.String() != want {
		t.Errorf("it reported %q, want %q", out, want)
	}
}

func TestAChildRefusesOrdersThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           "",
		"no message":        "hello\n",
		"no definition":     `{"epoch": 9}` + "\n",
		"an unknown order":  `{"definition": {"name": "a"}, "command": "dance"}` + "\n",
		"an endless line":   strings.Repeat("x", maxOrder+1),
		"only half of one":  `{"definition": {"na`,
		"a nameless object": `{"definition": {}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			err := serveChild(t.Context(), strings.NewReader(text), io.Discard, lasting9(time.Minute), untilEnd, endingBy(func() { t.Error("died") }))
			if err == nil || !strings.Contains(err.Error(), "no definition from the parent") {
				t.Errorf("error %v", err)
			}
		})
	}
	orders, _, died, returned := serve(t, lasting9(time.Hour), untilEnd)
	order(t, orders, begin())
	order(t, orders, begin())
	if err := <-returned; err != nil || !died.Load() {
		t.Errorf("a second definition: died %t, %v", died.Load(), err)
	}
}

func TestServeChildByHandSaysSo(t *testing.T) {
	err := serveChild(t.Context(), strings.NewReader(""), io.Discard, lasting9(time.Minute), untilEnd, endingBy(func() {}))
	if err == nil {
		t.Error("no error")
	}
}
