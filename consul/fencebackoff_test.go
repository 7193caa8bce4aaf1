package consul

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoCannotKeepTheLeaseLeavesItToOthersForLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fenceBackoff{ttl: time.Second}
		var rests []time.Duration
		end := func(cause error, held time.Duration) {
			time.Sleep(20 * time.Second) // whatever rest there was is over
			if err := c.ended(cause, held); (err != nil) != (c.rest() > 0) {
				t.Errorf("says %v, and rests for %v", err, c.rest())
			}
			rests = append(rests, c.rest()/time.Second)
		}
		for range 7 {
			end(ErrFenced, time.Second)
		}
		end(errOver, time.Second) // moved by hand: that says nothing
		end(ErrFenced, time.Second)
		end(ErrFenced, time.Minute) // after a good time the count begins anew
		end(ErrFenced, time.Second)
		if want := []time.Duration{0, 1, 2, 4, 4, 4, 4, 0, 4, 0, 1}; !slices.Equal(rests, want) {
			t.Errorf("rests %d, want %d", rests, want)
		}
	})
}

// late is a Consul that gives locks quickly and confirms no beat, as one that the takeovers themselves keep busy.
type late struct {
	leaseAPI
	busy *atomic.Bool
}

func (l late) beat(ctx context.Context, key, session string, text []byte) error {
	if l.busy.Load() {
		return errors.New("busy")
	}
	return l.leaseAPI.beat(ctx, key, session, text)
}

func TestTakeoversDoNotKeepABusyConsulBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		rests, rested := map[string]bool{}, false // which hosts say so now, and whether any ever did
		w := newTown(1, nil)
		w.adjust = func(c *competitor) {
			c.api = late{c.api, &busy}
			c.told.observe = func(s LeaseState) {
				w.do(func() {
					rests[c.Host] = errors.Is(s.Err, errRestless)
					rested = rested || rests[c.Host]
				})
			}
		}
		for _, host := range w.hosts {
			w.start(host)
		}
		time.Sleep(5 * time.Second)
		busy.Store(true)
		w.history.forget()
		time.Sleep(time.Minute)
		w.history.mu.Lock()
		n := len(w.history.records)
		w.history.mu.Unlock()
		if n < 10 || n > 50 {
			t.Errorf("%d takeovers in a minute", n)
		}
		busy.Store(false)
		time.Sleep(mostRest*modelTTL + time.Second)
		if w.history.holder() == "" {
			t.Error("nobody has taken the lease since")
		}
		w.do(func() {
			for host, still := range rests {
				if still {
					t.Errorf("%s still says that it rests", host)
				}
			}
			if !rested {
				t.Error("nobody said that it rested")
			}
		})
		w.end()
	})
}
