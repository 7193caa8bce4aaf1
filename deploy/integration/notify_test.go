package integration

import (
	"net"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/cluster"
)

// Each program says that it is ready, that it is alive, and that it stops, as a unit of Type=notify has to.
func TestProgramsTellAServiceManagerHowTheyDo(t *testing.T) {
	const within = 900 * time.Millisecond // of the watchdog
	config := withHosts(t, newConfig(t, 1), 1)
	heard := map[string]chan string{}
	for _, program := range []string{"lb", "server", "connectorhost"} {
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(config.Dir, program+".notify"), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		said := make(chan string, 1000)
		go func() { // ends when the socket is closed
			text := make([]byte, 100)
			for {
				n, err := socket.Read(text)
				if err != nil {
					return
				}
				said <- string(text[:n])
			}
		}()
		heard[program] = said
	}
	config.Environ = func(program string) []string {
		return []string{
			"NOTIFY_SOCKET=" + filepath.Join(config.Dir, program+".notify"),
			"WATCHDOG_USEC=" + strconv.FormatInt(within.Microseconds(), 10),
		}
	}
	c := started(t, config)
	hears := func(program, want string) {
		t.Helper()
		timeout := time.After(bound)
		for {
			select {
			case got := <-heard[program]:
				if got == want {
					return
				}
			case <-timeout:
				t.Fatalf("%s does not say %s", program, want)
			}
		}
	}
	for program, process := range map[string]*cluster.Process{"lb": c.LB, "server": c.Servers[0], "connectorhost": c.Hosts[0]} {
		hears(program, "READY=1")
		hears(program, "WATCHDOG=1")
		hears(program, "WATCHDOG=1")
		process.Signal(syscall.SIGTERM)
		hears(program, "STOPPING=1")
		process.Kill() // a second SIGTERM would be an end in disorder
	}
}
