package program

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// serving serves by a handler that says in begun that it was asked, and answers at the word of finish, until stop is
// called.
func serving(t *testing.T, timeout time.Duration) (address string, begun chan struct{}, finish chan struct{}, stop func(), ended chan error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, finish, ended = make(chan struct{}), make(chan struct{}), make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go func() { ended <- ServeHTTP(ctx, listener, &http.Server{Handler: handler}, timeout) }()
	return "http://" + listener.Addr().String(), begun, finish, stop, ended
}

func TestWhatIsUnderWayIsFinished(t *testing.T) {
	address, begun, finish, stop, ended := serving(t, 20*time.Second)
	said := make(chan string, 1)
	go func() {
		response, err := http.Get(address)
		if err != nil {
			said <- err.Error()
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		said <- string(text)
	}()
	<-begun
	stop()
	close(finish)
	if got := <-said; got != "done" {
		t.Errorf("the answer is %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWhatTakesTooLongIsBrokenOff(t *testing.T) {
	address, begun, finish, stop, ended := serving(t, 50*time.Millisecond)
	defer close(finish)
	failed := make(chan error, 1)
	go func() {
		response, err := http.Get(address)
		if err == nil {
			response.Body.Close()
		}
		failed <- err
	}()
	<-begun
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("it was answered")
	}
}

func TestAListenerThatIsGoneIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := ServeHTTP(t.Context(), listener, &http.Server{}, time.Second); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestWhoMeansThisProgramNamesItsAddress(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "10.0.0.7:1": true,
		"hostile.example:1": false, "localhost.hostile.example:1": false, "127.0.0.1": false, "": false,
	} {
		if got := ByAddress(&http.Request{Host: host}); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}
