package program

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// listenAsManager is a service manager's socket.
func listenAsManager(t *testing.T) (path string, hears func(within time.Duration) string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return path, func(within time.Duration) string {
		_ = socket.SetReadDeadline(time.Now().Add(within))
		text := make([]byte, 100)
		n, err := socket.Read(text)
		if err != nil {
			return ""
		}
		return string(text[:n])
	}
}

// The watchdog hears of a program only while that says by itself that it is well.
func TestTheServiceManagerHearsOfAProgramThatIsAlive(t *testing.T) {
	t.Parallel()
	path, hears := listenAsManager(t)
	const within, patience = 90 * time.Millisecond, 10 * time.Second
	var sick, hung atomic.Bool
	alive := func(ctx context.Context) error {
		if hung.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		if sick.Load() {
			return errors.New("it does not turn")
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var said bytes.Buffer
	attended := make(chan error, 1)
	go func() { attended <- serviceManager{path, within}.attend(ctx, zerolog.New(&said), alive) }()

	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := hears(patience); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	for _, fault := range []*atomic.Bool{&sick, &hung} {
		fault.Store(true)
		quiet := false
		for range 10 { // what was under way
			if quiet = hears(3*within) == ""; quiet {
				break
			}
		}
		if !quiet {
			t.Error("the watchdog still hears of a program that is not well")
		}
		fault.Store(false)
		if got := hears(patience); got != "WATCHDOG=1" {
			t.Errorf("well again, it is told %q", got)
		}
	}
	cancel()
	if err := <-attended; err != nil {
		t.Error(err)
	}
	for range 10 {
		if hears(patience) == "STOPPING=1" {
			break
		}
	}
	if !strings.Contains(said.String(), "it does not turn") {
		t.Errorf("the log does not say why: %s", said.String())
	}
}

// A loop is ready when it has turned, and no longer well when it hangs.
func TestTheServiceManagerHearsOfALoopThatTurns(t *testing.T) {
	path, hears := listenAsManager(t)
	const within, patience = 300 * time.Millisecond, 10 * time.Second
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(within.Microseconds(), 10))
	ctx, cancel := context.WithCancel(t.Context())
	begin := make(chan struct{})
	var hangs atomic.Bool
	ended := make(chan error, 1)
	theEnd := errors.New("the loop's own")
	go func() {
		ended <- Turning(ctx, zerolog.Nop(), func(ctx context.Context, turned func()) error {
			<-begin
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				if !hangs.Load() {
					turned()
				}
			}
			return theEnd
		})
	}()
	if got := hears(within); got != "" {
		t.Errorf("before the first round it is told %q", got)
	}
	close(begin)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := hears(patience); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	hangs.Store(true)
	quiet := false
	for range 10 { // what was under way
		if quiet = hears(within) == ""; quiet {
			break
		}
	}
	if !quiet {
		t.Error("the watchdog still hears of a loop that hangs")
	}
	hangs.Store(false)
	if got := hears(patience); got != "WATCHDOG=1" {
		t.Errorf("as it turns again, it is told %q", got)
	}
	cancel()
	if err := <-ended; !errors.Is(err, theEnd) {
		t.Error(err)
	}
	for got := hears(patience); got != "STOPPING=1"; got = hears(patience) {
		if got == "" {
			t.Fatal("it does not say that it stops")
		}
	}
}

// Without a service manager a loop is run and no more.
func TestALoopThatNeverTurnsEnds(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Turning(t.Context(), zerolog.Nop(), func(context.Context, func()) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestAServiceManagerIsFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		socket, usec, pid string
		want              serviceManager
		fault             string
	}{
		{"", "3000000", "", serviceManager{}, ""},
		{"/run/notify", "", "", serviceManager{socket: "/run/notify"}, ""},
		{"@abstract", "3000000", "7", serviceManager{"@abstract", 3 * time.Second}, ""},
		{"/run/notify", "3000000", "8", serviceManager{socket: "/run/notify"}, ""}, // meant for another process
		{"relative", "", "", serviceManager{}, "NOTIFY_SOCKET"},
		{"/run/notify", "soon", "", serviceManager{}, "WATCHDOG_USEC"},
		{"/run/notify", "-1", "", serviceManager{}, "WATCHDOG_USEC"},
	} {
		env := map[string]string{"NOTIFY_SOCKET": test.socket, "WATCHDOG_USEC": test.usec, "WATCHDOG_PID": test.pid}
		got, err := findManager(func(name string) string { return env[name] }, 7)
		if test.fault != "" {
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%+v: %+v, %v", test, got, err)
		}
	}
	if err := (serviceManager{socket: "/no/such/socket"}).attend(t.Context(), zerolog.Nop(), nil); err == nil {
		t.Error("a socket that is not there is no error")
	}
	if err := (serviceManager{}).attend(t.Context(), zerolog.Nop(), nil); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
}
