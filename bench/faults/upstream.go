package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

// idHeader carries the id by which executions are counted.
const idHeader = "X-Request-Id"

// thinking is how long an upstream takes for a request.
const thinking = 20 * time.Millisecond

// Upstream serves HTTP at the address until ctx ends. Each request that carries an id is recorded in the file, by one
// write before anything else, so that the record of what was executed survives SIGKILL; 20 ms later it is answered.
func Upstream(ctx context.Context, address, file string) error {
	record, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer record.Close()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := http.Server{Handler: recorder(record)}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func recorder(record io.Writer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(idHeader)
		if id == "" {
			return // a health check
		}
		if _, err := io.WriteString(record, id+"\n"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if pause.For(r.Context(), thinking) == nil {
			fmt.Fprintln(w, id)
		}
	})
}

// upstreams are three processes that run [Upstream], registered as servers are.
type upstreams struct {
	cluster   *cluster.Cluster
	command   []string
	addresses []string
	processes []*cluster.Process
}

func newUpstreams(ctx context.Context, c *cluster.Cluster, command, addresses []string) (*upstreams, error) {
	u := &upstreams{cluster: c, command: command, addresses: addresses, processes: make([]*cluster.Process, len(addresses))}
	for i, address := range addresses {
		if err := u.start(i); err != nil {
			return u, err
		}
		if err := u.processes[i].Await(ctx, func(ctx context.Context) error { return accepts(ctx, address) }); err != nil {
			return u, err // a server is registered when it listens, and not before
		}
		id := fmt.Sprintf("upstream-%d", i+1)
		if err := c.Register(ctx, cluster.Registration{ID: id, Service: service, Address: address}); err != nil {
			return u, err
		}
	}
	return u, nil
}

// accepts says whether somebody listens at an address.
func accepts(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (u *upstreams) start(i int) (err error) {
	args := append(u.command[1:len(u.command):len(u.command)], "--listen="+u.addresses[i], "--record="+record(u.cluster.Dir, i))
	u.processes[i], err = u.cluster.Launch(fmt.Sprintf("upstream-%d", i+1), u.command[0], args...)
	return err
}

func (u *upstreams) stop() {
	for _, p := range u.processes {
		if p != nil {
			p.Kill()
		}
	}
}

// executions counts, by id, what all of them have recorded, and forgets it.
func (u *upstreams) executions() (map[string]int, error) {
	counts := map[string]int{}
	for i := range u.addresses {
		file := record(u.cluster.Dir, i)
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("the record of %s: %w", filepath.Base(file), err)
		}
		for id := range strings.FieldsSeq(string(text)) {
			counts[id]++
		}
		if err := os.Truncate(file, 0); err != nil {
			return nil, fmt.Errorf("the record of %s: %w", filepath.Base(file), err)
		}
	}
	return counts, nil
}
