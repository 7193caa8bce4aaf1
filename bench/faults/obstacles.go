package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// answer is what becomes of the questions for the catalog.
type answer struct {
	status int    // 0: Consul's own answer
	body   string // of any other
}

var (
	ownAnswer  = answer{}
	leaderless = answer{http.StatusInternalServerError, "No cluster leader"}
	failing    = answer{http.StatusInternalServerError, "rpc error: made up"}
	empty      = answer{http.StatusOK, "[]"}
)

// obstacles stand between the load balancer and Consul: toxiproxy, which spoils connections, and behind it an HTTP
// proxy, which spoils answers.
type obstacles struct {
	wire   *toxiproxy.Proxy
	server *http.Server
	done   chan struct{} // closed when the server has ended
	consul *httputil.ReverseProxy

	mu      sync.Mutex
	answer  answer
	changed chan struct{} // closed when answer changes
}

func newObstacles(consul string) (*obstacles, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &obstacles{
		done: make(chan struct{}), changed: make(chan struct{}),
		consul: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: consul}),
	}
	o.consul.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	o.consul.Transport = &http.Transport{}
	o.server = &http.Server{Handler: o}
	go func() {
		defer close(o.done)
		_ = o.server.Serve(listener) // until it is closed
	}()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	o.wire = toxiproxy.NewProxy(api, "consul", "127.0.0.1:0", listener.Addr().String())
	if err := o.wire.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start toxiproxy: %w", err), o.close())
	}
	return o, nil
}

// address is where Consul seems to be.
func (o *obstacles) address() string { return o.wire.Listen }

func (o *obstacles) close() error {
	o.wire.Stop()
	err := o.server.Close()
	<-o.done
	return err
}

// give answers the questions for health from now on, also those that Consul is holding back, in this way.
func (o *obstacles) give(a answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.answer, o.changed = a, make(chan struct{})
}

func (o *obstacles) now() (answer, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.answer, o.changed
}

// ServeHTTP passes a question on, or answers it itself.
func (o *obstacles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, changed := o.now()
	if a.status == 0 || !strings.HasPrefix(r.URL.Path, "/v1/health/") && a != leaderless {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			select {
			case <-changed:
				cancel()
			case <-ctx.Done():
			}
		}()
		o.consul.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	if a.status == http.StatusOK && r.URL.Query().Get("index") == emptyIndex { // nothing new: hold it back, as Consul does
		select {
		case <-changed:
		case <-time.After(5 * time.Second):
		case <-r.Context().Done():
		}
	}
	w.Header().Set("X-Consul-Index", emptyIndex)
	w.Header().Set("X-Consul-KnownLeader", fmt.Sprint(a != leaderless))
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // who does not wait for it has no use for it
}

// emptyIndex is that of an empty catalog: behind any other, as that of a Consul that has lost its data.
const emptyIndex = "1"

// shut is the port of a Consul that has died: it refuses connections, and those that there were have ended.
func (o *obstacles) shut() { o.wire.Stop() }

// open lets connections through again, at the same address.
func (o *obstacles) open() error {
	if err := o.wire.Start(); err != nil {
		return fmt.Errorf("toxiproxy: %w", err)
	}
	return nil
}

// toxin is one of toxiproxy's, as its API takes it.
type toxin string

const (
	latency   toxin = `{"name": "toxin", "type": "latency", "attributes": {"latency": 2000, "jitter": 1000}}`
	reset     toxin = `{"name": "toxin", "type": "reset_peer", "attributes": {"timeout": 0}}`
	blackhole toxin = `{"name": "toxin", "type": "timeout", "attributes": {"timeout": 0}}`
)

// poison spoils the connections to Consul, old and new.
func (o *obstacles) poison(t toxin) error {
	if _, err := o.wire.Toxics.AddToxicJson(strings.NewReader(string(t))); err != nil {
		return fmt.Errorf("toxiproxy: %w", err)
	}
	return nil
}

func (o *obstacles) cure(ctx context.Context) error {
	if err := o.wire.Toxics.RemoveToxic(ctx, "toxin"); err != nil {
		return fmt.Errorf("toxiproxy: %w", err)
	}
	return nil
}
