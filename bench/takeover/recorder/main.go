// Program recorder is a server with one service of its own, record, which notes every message that a connector brings,
// before anything else, so that the note survives SIGKILL. Its first argument is the file; the others are a server's.
//
// One case: the connector c-1 calls record with the message c-1-42, under epoch 7, and the file gets the line
// "c-1 7 1767351600123456789 c-1-42".
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

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
	services := service.NewRegistry()
	services.MustAdd("record", func(_ *service.Context, r service.Request) (service.Response, error) {
		now := strconv.FormatInt(time.Now().UnixNano(), 10)
		line := r.Headers.Get("X-Zato-Connector") + " " + r.Headers.Get("X-Zato-Connector-Epoch") + " " + now + " " + string(r.Payload) + "\n"
		_, err := record.WriteString(line) // one write, whole
		return service.Response{}, err
	})
	return server.Main(services)
}
