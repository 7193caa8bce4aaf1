package connector_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"zatoha/connectorhost/connector"
)

// define makes a channel, or an outgoing connector, of the fake broker.
func define(t *testing.T, h fakeHarness, role connector.Role, fields map[string]any) *connector.Definition {
	t.Helper()
	all := h.Channel(t)
	maps.Copy(all, map[string]any{"name": "c", "kind": "fake", "role": role})
	if role == connector.Channel {
		maps.Copy(all, map[string]any{"service": "s", "max_attempts": 3})
	}
	maps.Copy(all, fields)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	d, err := connector.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// trace remembers reports. It is used in a synctest bubble, where whoever reads it waits first.
type trace struct {
	states []connector.State
	latest connector.Status
}

func (tr *trace) report(s connector.Status) {
	if tr.latest.State != s.State {
		tr.states = append(tr.states, s.State)
	}
	tr.latest = s
}

func succeed(context.Context, connector.Message) error { return nil }

func TestAStopWaitsForTheServiceAndNoLongerThanItMay(t *testing.T) {
	for _, test := range []struct {
		service       time.Duration
		accepted      int64
		took, waiting time.Duration
	}{
		{service: 3 * time.Second, accepted: 1, took: 3 * time.Second},
		{service: time.Hour, accepted: 0, took: 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newFake(nil)
			h.Put(t, "a", nil)
			var tr trace
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			d := define(t, h, connector.Channel, nil)
			go func() {
				done <- connector.Run(ctx, d, connector.InvokerFunc(func(ctx context.Context, _ connector.Message) error {
					select {
					case <-time.After(test.service):
						return nil
					case <-ctx.Done():
						return fmt.Errorf("%w: %w", connector.ErrUnavailable, ctx.Err())
					}
				}), connector.Options{Report: tr.report, Drain: 5 * time.Second})
			}()
			synctest.Wait()
			since := time.Now()
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if took := time.Since(since); took != test.took || tr.latest.Counts.Accepted != test.accepted || tr.latest.Counts.GivenBack != 1-test.accepted {
				t.Errorf("service of %v: stopped after %v, %+v", test.service, took, tr.latest.Counts)
			}
			want := []connector.State{connector.Connecting, connector.Running, connector.Draining, connector.Stopped}
			if !slices.Equal(tr.states, want) {
				t.Errorf("states %v, want %v", tr.states, want)
			}
			if h.Waiting(t) != int(1-test.accepted) {
				t.Errorf("%d wait", h.Waiting(t))
			}
		})
	}
}

// No server can be reached, and the peer of the channel does not part from it.
func TestAStopOfWhatCanGiveNothingBackCountsAllThatIsLostAndIsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, drain = 50, 8 * time.Second
		h := newFake(map[string]any{"lossy": true, "in_flight": 2})
		h.setSlow(time.Hour)
		for i := range messages {
			h.Put(t, fmt.Sprint(i), nil)
		}
		var tr trace
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		d := define(t, h, connector.Channel, nil)
		go func() {
			done <- connector.Run(ctx, d, connector.InvokerFunc(func(context.Context, connector.Message) error {
				return fmt.Errorf("%w: away", connector.ErrUnavailable)
			}), connector.Options{Report: tr.report, Drain: drain})
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		since := time.Now()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(since); took < drain || took > drain*5/4 {
			t.Errorf("stopped after %v", took)
		}
		if c := tr.latest.Counts; c.Dropped != messages || c.Received != messages {
			t.Errorf("%+v", c)
		}
	})
}

func TestAStopGivesBackWhatOnlyWaitsForAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFake(nil)
		h.Put(t, "a", nil)
		var tr trace
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		d := define(t, h, connector.Channel, nil)
		go func() {
			done <- connector.Run(ctx, d, connector.InvokerFunc(func(context.Context, connector.Message) error {
				return fmt.Errorf("%w: away", connector.ErrUnavailable)
			}), connector.Options{Report: tr.report})
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		if c := tr.latest.Counts; tr.latest.State != connector.Blocked || c.Unavailable < 1800 || c.Unavailable > 3700 || c.Parked+c.Failed+c.GivenBack > 0 {
			t.Errorf("after an hour without a service: %+v", tr.latest)
		}
		since := time.Now()
		stop()
		if err := <-done; err != nil || time.Since(since) > 0 || tr.latest.Counts.GivenBack != 1 {
			t.Errorf("%v after %v: %+v", err, time.Since(since), tr.latest.Counts)
		}
	})
}

// Servers end under two messages: under one as long as somebody kills them, under the other because of it.
func TestOnlyAMessageUnderWhichServersEndAgainAndAgainIsParked(t *testing.T) {
	for name, fields := range map[string]map[string]any{"given back": nil, "in place": {"in_place": true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFake(fields)
				h.Put(t, "good", nil)
				h.Put(t, "killer", nil)
				var tr trace
				var kills atomic.Int64
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				d := define(t, h, connector.Channel, fields)
				go func() {
					done <- connector.Run(ctx, d, connector.InvokerFunc(func(_ context.Context, m connector.Message) error {
						if m.ID == "killer" || kills.Add(1) <= 5 { // more than max_attempts
							return fmt.Errorf("%w: EOF", connector.ErrInterrupted)
						}
						return nil
					}), connector.Options{Report: tr.report})
				}()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if c := tr.latest.Counts; c.Accepted != 1 || c.Parked != 1 || c.Interrupted != 15 || c.Failed+c.Unavailable+c.GivenBack > 0 {
					t.Errorf("%+v", tr.latest)
				}
				if tr.latest.State != connector.Running || !slices.Contains(tr.states, connector.Blocked) {
					t.Errorf("nothing is left that could be held up, but it is %s: %s; it was %v", tr.latest.State, tr.latest.Reason, tr.states)
				}
				if all := h.Parked(t); len(all) != 1 || all[0].ID != "killer" || !strings.Contains(all[0].Reason, "EOF") {
					t.Errorf("parked: %+v", all)
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAFenceTellsTheBrokerNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFake(nil)
		for i := range 4 {
			h.Put(t, fmt.Sprint(i), nil)
		}
		var tr trace
		var entered atomic.Int64
		release := make(chan struct{})
		err := connector.Run(t.Context(), define(t, h, connector.Channel, nil), connector.InvokerFunc(func(ctx context.Context, m connector.Message) error {
			if entered.Add(1) == 4 {
				close(release)
				return fmt.Errorf("%w: epoch 8", connector.ErrFenced)
			}
			<-release
			<-ctx.Done() // at once
			return nil   // the service has succeeded; that must not be acknowledged any more
		}), connector.Options{Report: tr.report})
		if !errors.Is(err, connector.ErrFenced) || tr.latest.State != connector.Fenced || !strings.Contains(err.Error(), "epoch 8") {
			t.Errorf("%v, %+v", err, tr.latest)
		}
		if c := tr.latest.Counts; c.Accepted+c.GivenBack+c.Parked > 0 || h.Waiting(t) != 4 {
			t.Errorf("%+v, %d wait", c, h.Waiting(t))
		}
	})
}

func TestABrokerThatIsAwayIsTriedEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFake(nil)
		h.Stop(t)
		var tr trace
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		d := define(t, h, connector.Channel, nil)
		go func() {
			done <- connector.Run(ctx, d, connector.InvokerFunc(succeed), connector.Options{Report: tr.report})
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := tr.latest.Counts.Disconnects; n < 30 || n > 70 {
			t.Errorf("%d tries in a minute", n)
		}
		h.Start(t)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if tr.latest.State != connector.Running {
			t.Errorf("%+v", tr.latest)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAConnectionThatIsLostOverEachMessageIsNoHotLoop has a message over which every connection breaks.
func TestAConnectionThatIsLostOverEachMessageIsNoHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFake(nil)
		h.Put(t, "a", nil)
		var tr trace
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		d := define(t, h, connector.Channel, nil)
		go func() {
			done <- connector.Run(ctx, d, connector.InvokerFunc(func(context.Context, connector.Message) error {
				h.Stop(t)
				h.Start(t)
				return errors.New("fails")
			}), connector.Options{Report: tr.report})
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if c := tr.latest.Counts; c.Connects > 100 || c.Connects < 20 {
			t.Errorf("%+v", c)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestReportsOfCountsAreNotMoreThanAFewASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFake(nil)
		reports := 0
		var last connector.Status
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		d := define(t, h, connector.Channel, nil)
		go func() {
			done <- connector.Run(ctx, d, connector.InvokerFunc(succeed), connector.Options{Report: func(s connector.Status) {
				reports++
				last = s
			}})
		}()
		for i := range 1000 {
			h.Put(t, fmt.Sprint(i), nil)
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if reports < 30 || reports > 50 {
			t.Errorf("%d reports in ten seconds", reports)
		}
		before := reports
		time.Sleep(time.Minute)
		synctest.Wait()
		if reports > before+1 || last.Counts.Accepted != 1000 || last.LastMessage.IsZero() {
			t.Errorf("%d reports in a minute without messages, the last %+v", reports-before, last)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestASenderIsForOutgoingAndARunForChannels(t *testing.T) {
	h := newFake(nil)
	if err := connector.Run(t.Context(), define(t, h, connector.Outgoing, nil), connector.InvokerFunc(succeed), connector.Options{}); !errors.Is(err, connector.ErrDefinition) {
		t.Error(err)
	}
	if _, err := connector.NewSender(define(t, h, connector.Channel, nil), connector.Options{}); !errors.Is(err, connector.ErrDefinition) {
		t.Error(err)
	}
}

func TestASenderIsBoundedAndRefusesWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFake(nil)
		var tr trace
		s, err := connector.NewSender(define(t, h, connector.Outgoing, map[string]any{"in_flight": 1}), connector.Options{Report: tr.report})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), connector.Message{}); !errors.Is(err, connector.ErrNotConnected) {
			t.Errorf("before it runs: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if err := s.Send(t.Context(), connector.Message{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		h.setBlocked("no memory")
		if tr.latest.State != connector.Blocked || tr.latest.Reason != "no memory" {
			t.Errorf("%+v", tr.latest)
		}
		if err := s.Send(t.Context(), connector.Message{}); !errors.Is(err, connector.ErrBackOff) || !strings.Contains(err.Error(), "no memory") {
			t.Error(err)
		}
		h.setBlocked("")
		h.setSlow(time.Second)
		slow := make(chan error)
		go func() { slow <- s.Send(t.Context(), connector.Message{}) }()
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Send(impatient, connector.Message{}); !errors.Is(err, connector.ErrBackOff) {
			t.Errorf("with another on its way: %v", err)
		}
		stop()
		if err := <-slow; err != nil {
			t.Errorf("a message on its way when the sender is stopped: %v", err)
		}
		if err := <-done; err != nil || tr.latest.State != connector.Stopped || tr.latest.Counts.Sent != 2 {
			t.Errorf("%v, %+v", err, tr.latest)
		}
		if m := h.queue[0].Message; m.ID == "" || m.ContentType != "application/octet-stream" {
			t.Errorf("sent %+v", m)
		}
	})
}
