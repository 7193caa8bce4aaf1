// Program recorder is a server with services of its own: record notes every message that a connector brings, before
// anything else, so that the note survives SIGKILL; record.slowly takes 15 ms for the rest of its work, so that there is
// something in flight when somebody dies; record.unless-poison fails for messages that begin with poison. Its first
// argument is the file; the others are a server's.
//
// One case: the connector c-1 calls record with the message c-1-42, under epoch 7, and the file gets the line
// "c-1 7 1767351600123456789 c-1-42 K0…42 false server-1/4711": the ID is one of the connector's own, the broker has not
// delivered it before, and it was noted in server-1.notes by the process 4711.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	process := fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(record.Name()), filepath.Ext(record.Name())), os.Getpid())
	os.Args = append(os.Args[:1], os.Args[2:]...)
	note := func(_ *service.Context, r service.Request) (service.Response, error) {
		fields := []string{
			r.Headers.Get("X-Zato-Connector"), r.Headers.Get("X-Zato-Connector-Epoch"), strconv.FormatInt(time.Now().UnixNano(), 10),
			string(r.Payload), r.Headers.Get("X-Zato-Message-ID"), strconv.FormatBool(r.Headers.Get("X-Zato-Redelivered") != ""),
			process,
		}
		_, err := record.WriteString(strings.Join(fields, " ") + "\n") // one write, whole
		return service.Response{}, err
	}
	services := service.NewRegistry()
	services.MustAdd("record", note)
	services.MustAdd("record.slowly", func(ctx *service.Context, r service.Request) (service.Response, error) {
		response, err := note(ctx, r)
		return response, errors.Join(err, pause.For(ctx, 15*time.Millisecond))
	})
	services.MustAdd("record.unless-poison", func(ctx *service.Context, r service.Request) (service.Response, error) {
		response, err := note(ctx, r)
		if strings.HasPrefix(string(r.Payload), "poison") {
			err = errors.Join(err, errors.New("it is poison"))
		}
		return response, err
	})
	return server.Main(services)
}
