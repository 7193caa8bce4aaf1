package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"zatoha/consul"
	"zatoha/deploy/program"
)

// send has a host send a message, as far as its window knows.
func send(w *window, id string) {
	s, _ := w.begin("orders\n"+id, time.Now())
	w.finish(s, replyTo(nil), true, time.Now())
}

// asked asks heirs as another host does.
func asked(t *testing.T, h http.Handler, query string) (told sentMessages) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/outgoing?"+query, nil))
	if err := json.Unmarshal(w.Body.Bytes(), &told); w.Code != http.StatusOK || err != nil {
		t.Errorf("%s: %d %s, %v", query, w.Code, w.Body, err)
	}
	return told
}

func TestAnHeirHearsOfEachMessageOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const size = 5
		w := newWindow(size, time.Hour)
		sent, last := 0, uint64(0)
		var heard []string
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			n := rapid.IntRange(0, 4).Draw(r, "sent")
			for range n {
				sent++
				send(w, fmt.Sprint(sent))
			}
			some, next := w.since(last, rapid.IntRange(1, 6).Draw(r, "most"))
			for _, s := range some {
				heard = append(heard, s.key)
			}
			last = next
			if len(heard) > 0 && uint64(len(heard)) > last {
				r.Fatalf("%d heard, the last is number %d", len(heard), last)
			}
		}
		for {
			some, next := w.since(last, 3)
			if len(some) == 0 {
				break
			}
			for _, s := range some {
				heard = append(heard, s.key)
			}
			last = next
		}
		known := map[string]bool{}
		for _, key := range heard {
			if known[key] {
				r.Fatalf("%q twice", key)
			}
			known[key] = true
		}
		for i := max(1, sent-size+1); i <= sent; i++ { // the latest are never left out
			if !known[fmt.Sprintf("orders\n%d", i)] {
				r.Fatalf("nothing was heard of %d of %d", i, sent)
			}
		}
	})
}

func TestAnHeirWaitsForNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(10, time.Hour)
		h := newHeirs("run-1", w)
		began := time.Now()
		if told := asked(t, h, "host=b&run=&after=0"); told.Run != "run-1" || told.Last != 0 || len(told.Sent) != 0 || time.Since(began) != heirWait {
			t.Errorf("without news, after %v: %+v", time.Since(began), told)
		}
		time.AfterFunc(time.Second, func() { send(w, "one") })
		time.AfterFunc(time.Second+heirPause/2, func() { send(w, "two") })
		began = time.Now()
		if told := asked(t, h, "host=b&run=run-1&after=0"); told.Last != 2 || len(told.Sent) != 2 || time.Since(began) != time.Second+heirPause {
			t.Errorf("after %v: %+v", time.Since(began), told)
		}
		if told := asked(t, h, "host=b&run=another&after=2"); len(told.Sent) != 2 || told.Sent[0].ID != "one" || told.Sent[0].Age == 0 {
			t.Errorf("of another run: %+v", told)
		}
		for _, bad := range []string{"", "host=b&run=&after=x", "host=b/c&run=&after=0", "host=b&after=0&run=" + strings.Repeat("x", longestRun+1)} {
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/outgoing?"+bad, nil))
			if answer.Code != http.StatusBadRequest {
				t.Errorf("%q: %d", bad, answer.Code)
			}
		}
		time.AfterFunc(time.Second, h.end)
		began = time.Now()
		if asked(t, h, "host=b&run=run-1&after=2"); time.Since(began) != time.Second {
			t.Errorf("an answer came %v after the question, %v after the end", time.Since(began), time.Since(began)-time.Second)
		}
	})
}

func TestTheLeaseIsNotGivenUpBeforeTheHeirsHaveHeardOfEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(10, time.Hour)
		h := newHeirs("run-1", w)
		leaving := make(chan struct{})
		h.take(leaving)
		took := func() time.Duration {
			began := time.Now()
			h.bequeath(t.Context())
			return time.Since(began)
		}
		send(w, "one")
		if d := took(); d != 0 {
			t.Errorf("nobody asks: %v", d)
		}
		asked(t, h, "host=b&run=&after=0")
		if d := took(); d != farewell {
			t.Errorf("one has not heard, and asks no more: %v", d)
		}
		close(leaving)
		time.AfterFunc(10*time.Millisecond, func() { asked(t, h, "host=b&run=run-1&after=1") })
		if d := took(); d != 10*time.Millisecond {
			t.Errorf("it asks for the next one after 10ms: %v", d)
		}
		s, _ := w.begin("orders\ntwo", time.Now())
		time.AfterFunc(5*time.Millisecond, func() { w.finish(s, replyTo(nil), true, time.Now()) })
		time.AfterFunc(7*time.Millisecond, func() { asked(t, h, "host=b&run=run-1&after=2") })
		if d := took(); d != 7*time.Millisecond {
			t.Errorf("a message is on its way for 5 ms, the heir hears of it 2 ms later: %v", d)
		}
		send(w, "three")
		time.Sleep(heirAge + time.Second)
		if d := took(); d != 0 {
			t.Errorf("the heir is gone for long: %v", d)
		}
		h.end()
		synctest.Wait()
	})
}

// TestAHostLearnsWhatTheActiveOneSends lets one host learn from two, one after the other, and not from itself.
func TestAHostLearnsWhatTheActiveOneSends(t *testing.T) {
	token, err := program.GivenToken("--invoke-token", "0123456789abcdef", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	newOne := func(id string) (*host, *httptest.Server) {
		h := newHost(settings{ID: id, MaxMessageBytes: 1}, "", zerolog.New(t.Output()))
		h.sends.token = token
		server := httptest.NewServer(h.handler())
		t.Cleanup(func() {
			h.sends.heirs.end()
			server.Close()
		})
		return h, server
	}
	a, serverA := newOne("host-a")
	b, serverB := newOne("host-b")
	c, _ := newOne("host-c")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.sends.inherit(ctx)
	}()
	lease := func(id, address string, epoch uint64) {
		holder := consul.Holder{Host: id, Address: address, Epoch: epoch}
		c.leased(consul.LeaseState{Role: consul.Standby, Status: consul.LeaseStatus{Held: true, Holder: holder}})
	}
	knows := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d messages are known", want), func() bool { return c.sends.window.len() == want }, func() string {
			return fmt.Sprint(c.sends.window.len())
		})
	}
	send(a.sends.window, "one")
	lease("host-a", serverA.Listener.Addr().String(), 1)
	knows(1)
	send(a.sends.window, "two")
	knows(2)
	lease("host-c", "127.0.0.1:1", 2)
	send(b.sends.window, "two")
	send(b.sends.window, "three")
	lease("host-b", serverB.Listener.Addr().String(), 3)
	knows(3)
	if s, first := c.sends.window.begin("orders\none", time.Now()); first || s.status != http.StatusOK {
		t.Error("it would send one again")
	}

	t.Log("who does not have the token learns nothing")
	response, err := http.Get(serverB.URL + "/outgoing?host=host-x&run=&after=0")
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(t, response); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s: %s", response.Status, text)
	}
	cancel()
	<-ended
}
