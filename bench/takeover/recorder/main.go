// Program recorder is a server with two services of its own: record notes every message that a connector brings, before
// anything else, so that the note survives SIGKILL; record.slowly takes 15 ms for the rest of its work, so that there is
// something in flight when somebody dies. Its first argument is the file; the others are a server's.
//
// One case: the connector c-1 calls record with the message c-1-42, under epoch 7, and the file gets the line
// "c-1 7 1767351600123456789 c-1-42".
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"zatoha/bench/pause"
	"zatoha/server"
	"zatoha/server/service"
)

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "recorder: give the file to record to, and then a server's arguments")
		return 2
	}
	record, err := os.OpenFile(os.Args[1], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		return 2
	}
	defer record.Close()
	os.Args = append(os.Args[:1], os.Args[2:]...)
	note := func(_ *service.Context, r service.Request) (service.Response, error) {
		now := strconv.FormatInt(time.Now().UnixNano(), 10)
		line := r.Headers.Get("X-Zato-Connector") + " " + r.Headers.Get("X-Zato-Connector-Epoch") + " " + now + " " + string(r.Payload) + "\n"
		_, err := record.WriteString(line) // one write, whole
		return service.Response{}, err
	}
	services := service.NewRegistry()
	services.MustAdd("record", note)
	services.MustAdd("record.slowly", func(ctx *service.Context, r service.Request) (service.Response, error) {
		response, err := note(ctx, r)
		return response, errors.Join(err, pause.For(ctx, 15*time.Millisecond))
	})
	return server.Main(services)
}
