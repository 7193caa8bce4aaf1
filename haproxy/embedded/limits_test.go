package embedded

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"zatoha/haproxy"
)

// TestServersHaveLimits has one server take one request at a time, lets one wait, and turns the third away.
func TestServersHaveLimits(t *testing.T) {
	d, paths := newDataPlane(t)
	d.options.QueueLimit, d.options.QueueTimeout = 1, time.Minute
	serve(t, d, paths, 1)
	arrived, release := make(chan struct{}, 3), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/work" {
			arrived <- struct{}{}
			<-release
		}
	}))
	defer server.Close()
	address := server.Listener.Addr().(*net.TCPAddr)
	want := []haproxy.Server{{Name: "slot-001", Address: address.IP.String(), Port: address.Port, Weight: 1, Admin: haproxy.Ready}}
	limit := func(n int) {
		t.Helper()
		want[0].MaxConn = n
		if err := set(t, d, want); err != nil {
			t.Fatal(err)
		}
		same(t, d, want)
	}
	limit(1)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	front := "http://" + d.options.Bind
	first, second := request(ctx, front+"/work"), request(ctx, front+"/work")
	receive(ctx, t, arrived)
	await(ctx, t, func() bool {
		stats, err := d.Stats(ctx)
		return err == nil && stats.Backend.Queue == 1
	})
	if got := <-request(ctx, front+"/work"); got != http.StatusServiceUnavailable {
		t.Errorf("with one in the queue, the next is answered %d", got)
	}
	limit(2)
	close(release)
	if a, b := <-first, <-second; a != http.StatusOK || b != http.StatusOK {
		t.Errorf("the first two are answered %d and %d", a, b)
	}
	limit(0)
}

// request asks for a URL and gives the status of the answer, or 0.
func request(ctx context.Context, url string) <-chan int {
	status := make(chan int, 1)
	go func() { // ends with its context at the latest
		defer close(status)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		status <- response.StatusCode
	}()
	return status
}

func receive(ctx context.Context, t *testing.T, from <-chan struct{}) {
	t.Helper()
	select {
	case <-from:
	case <-ctx.Done():
		t.Fatal("nothing arrives")
	}
}

func await(ctx context.Context, t *testing.T, condition func() bool) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("it does not come to that")
		}
	}
}
