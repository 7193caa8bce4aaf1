package main

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/lb/address"
)

// What runs beside HAProxy says that it is ready, that it is alive, and that it stops, as a unit of Type=notify has to.
func TestAServiceManagerIsToldHowAnOuterLoadBalancerIsLookedAfter(t *testing.T) {
	o := startOuter(t, nil)
	watch := watchCommand{StateFile: o.state, ConnectTimeout: time.Second}
	track := trackCommand{address.Fronts{Listen: program.HostPort(o.front)}, meeting{t.TempDir()}}
	for name, run := range map[string]func(context.Context) error{
		"watch": func(ctx context.Context) error {
			return watch.Run(ctx, zerolog.Nop(), &grammar{Sockets: []string{o.socket}})
		},
		"track": func(ctx context.Context) error { return track.Run(ctx, zerolog.Nop()) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(filepath.Dir(o.state), name+".notify")
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			t.Setenv("NOTIFY_SOCKET", path)
			t.Setenv("WATCHDOG_USEC", strconv.FormatInt((1500*time.Millisecond).Microseconds(), 10))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- run(ctx) }()
			hears(t, manager, "READY=1")
			hears(t, manager, "WATCHDOG=1")
			hears(t, manager, "WATCHDOG=1")
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			hears(t, manager, "STOPPING=1")
		})
	}
}

// hears waits for a word, whatever comes before it.
func hears(t *testing.T, manager *net.UnixConn, want string) {
	t.Helper()
	if err := manager.SetReadDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 100)
	for {
		n, err := manager.Read(text)
		if err != nil {
			t.Fatalf("it does not say %s: %v", want, err)
		}
		if string(text[:n]) == want {
			return
		}
	}
}
