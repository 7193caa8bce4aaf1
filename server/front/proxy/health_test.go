package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadyTellsWhatTheApplicationIsLike(t *testing.T) {
	closed := listen(t)
	_ = closed.Close()
	hung := script(t, func(_ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) })
	status := func(code int) string {
		return application(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/well" {
				code = 599
			}
			w.WriteHeader(code)
		})
	}
	for _, c := range []struct{ name, upstream, path, want string }{
		{"accepts", hung, "", ""},
		{"refuses", "http://" + closed.Addr().String(), "", "cannot be reached"},
		{"well", status(200), "/well", ""},
		{"no such path", status(404), "/well", ""},
		{"ill", status(503), "/well", "answers /well with status 503"},
		{"hung", hung, "/well", "does not answer /well"},
		{"gone", "http://" + closed.Addr().String(), "/well", "cannot be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.upstream, func(o *Options) { o.HealthPath, o.HealthTimeout = c.path, 100*time.Millisecond })
			got := ""
			if err := s.Ready(t.Context()); err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestTheApplicationIsAskedOnceInAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		hang := make(chan struct{})
		h := health{interval: time.Second, ask: func(context.Context) error {
			if asked.Add(1) == 2 {
				<-hang
				return io.EOF
			}
			return nil
		}}
		for range 10 {
			if err := h.ready(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(time.Second)
		late := make(chan error)
		go func() { late <- h.ready(t.Context()) }()
		synctest.Wait()
		if err := h.ready(t.Context()); err != nil { // is not kept waiting by the one who asks
			t.Error(err)
		}
		close(hang)
		if err := <-late; err != io.EOF {
			t.Error(err)
		}
		if err := h.ready(t.Context()); err != io.EOF {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if err := h.ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsKnownIsToldWithoutWaiting(t *testing.T) {
	var status atomic.Int32
	status.Store(200)
	s := start(t, application(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }),
		func(o *Options) { o.HealthPath, o.HealthInterval = "/", time.Millisecond })
	if err := s.Known(); err != errNotAsked {
		t.Errorf("at first: %v", err)
	}
	eventually(t, "the application is known to be well", func() bool { return s.Known() == nil })
	if got := s.metric(t, "zato_server_upstream_up"); got != 1 {
		t.Errorf("the metric is %v", got)
	}
	status.Store(503)
	eventually(t, "the application is known to be ill", func() bool { return s.Known() != nil })
	if got, log := s.metric(t, "zato_server_upstream_up"), s.log.String(); got != 0 || !strings.Contains(log, "is well") || !strings.Contains(log, "is not well") {
		t.Errorf("the metric is %v, the log %s", got, log)
	}
	s.Close()
	if err := s.Known(); err != errStopped {
		t.Errorf("in the end: %v", err)
	}
}
