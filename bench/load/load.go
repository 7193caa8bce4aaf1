// Package load is the HTTP/1.1 client of the fault suites: raw keep-alive connections that never retry and never
// reconnect without saying so.
//
// Most load tools open another connection when the server closed theirs, without a word, and so hide the very fault
// that a highly available front must not have. Here each request has one outcome, an answer or a Failure, and all count.
//
// One case: 32 connections send GET /zato/ping to the front while a server is killed.
//
//	running, err := load.Start(ctx, load.Options{
//		Addr: "127.0.0.1:11223", Connections: 32, Templates: []load.Template{load.Get("/zato/ping")},
//	})
//	// … kill a server, watch running.Snapshot() …
//	if report := running.Stop(); report.Errors() > 0 {
//		t.Fatal(report)
//	}
//
// If the front closed a connection instead of answering the second request on it, that request is a SilentClose; the
// client's next request opens a new connection, which Report.Reconnects counts.
package load

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"zatoha/bench/pause"
)

const (
	defaultTimeout = 5 * time.Second
	redialPause    = 10 * time.Millisecond // after a failed dial, so that a refusing port makes no busy loop
)

// Options say what to send where, and how fast. Addr, Connections and Templates are needed.
type Options struct {
	Addr        string        // host:port of the one address that all connections go to
	Connections int           // clients, each with one connection and one request under way at a time
	Templates   []Template    // sent in turn
	Requests    int           // ends the run after so many; 0 leaves that to the context or Stop
	Timeout     time.Duration // for one request, dialling included; 0 means 5 s

	// Rate is in requests per second over all connections; 0 is full speed. A paced request has a time when it is
	// due, and its latency counts from there, so that a stall shows in all the requests that it held up. Those are
	// then made up for at full speed.
	Rate float64

	// Dial opens connections where they are not to be opened from here, such as on another host; nil is [net.Dialer]'s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// InstanceHeader is the response header that Report.Instances tallies, to show the spread over servers.
	InstanceHeader string
}

// Template is a request, rendered once and sent many times.
type Template struct {
	Method string
	Path   string      // with the query, if any
	Header http.Header // extra headers; Host replaces the address; Content-Length is set from Body
	Body   []byte

	// BodyPause is how long the body comes behind the headers; 0 sends both in one write. A run that is stopped in
	// the pause sends the body at once.
	BodyPause time.Duration

	// IDHeader names a header, such as Idempotency-Key, in which each request carries an id that no other has; none if
	// it is "". Who answers can tell by it whether a request came twice.
	IDHeader string
}

// Get is a GET of path.
func Get(path string) Template { return Template{Method: http.MethodGet, Path: path} }

// Post is a POST of body to path, in one write.
func Post(path string, body []byte) Template {
	return Template{Method: http.MethodPost, Path: path, Body: body}
}

// rendered is a template as the bytes to write; clients share it read-only.
type rendered struct {
	asked       *http.Request // what http.ReadResponse has to know: a HEAD has no body
	first, rest []byte        // rest is the body behind the pause
	pause       time.Duration
	id          int // where in first the id stands; 0: nowhere
}

// noID holds the place of a request's id, whose length it has.
const noID = "----------------"

// newID is an id of noID's length: the run's random part, then the request's number.
func newID(run uint32, number int64) string { return fmt.Sprintf("%08x%08x", run, uint32(number)) }

// withID is the request with an id of its own, if it has a place for one.
func (r rendered) withID(run uint32, number int64) rendered {
	if r.id > 0 {
		r.first = bytes.Clone(r.first)
		copy(r.first[r.id:], newID(run, number))
	}
	return r
}

func (t Template) render(addr string) (rendered, error) {
	request, err := http.NewRequest(t.Method, "http://"+addr+t.Path, bytes.NewReader(t.Body))
	if err != nil {
		return rendered{}, err
	}
	request.Header.Set("User-Agent", "zatoha-load")
	for name, values := range t.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if t.IDHeader != "" {
		request.Header.Set(t.IDHeader, noID)
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	var wire bytes.Buffer
	if err := request.Write(&wire); err != nil {
		return rendered{}, err
	}
	r := rendered{asked: &http.Request{Method: t.Method}, first: wire.Bytes(), pause: t.BodyPause}
	if t.IDHeader != "" {
		r.id = bytes.Index(r.first, []byte(": "+noID+"\r\n")) + len(": ")
	}
	if t.BodyPause > 0 {
		head := len(r.first) - len(t.Body)
		r.first, r.rest = r.first[:head], r.first[head:]
	}
	return r, nil
}

// Running is a load that was started. Its methods may be called from any goroutine.
type Running struct {
	options  Options
	requests []rendered
	id       uint32       // random, the part of the requests' ids that tells this run from others
	taken    atomic.Int64 // requests handed out to the clients so far
	recorder *recorder
	cancel   context.CancelFunc
	done     chan struct{} // closed after the last client has ended
}

// Run makes requests until ctx is done or Options.Requests are made. Its error is about the options only; whatever
// happens to a request is in the report. A request that has begun when ctx ends is brought to its outcome, so Run may
// return up to Options.Timeout later.
func Run(ctx context.Context, options Options) (Report, error) {
	r, err := Start(ctx, options)
	if err != nil {
		return Report{}, err
	}
	return r.Wait(), nil
}

// Start is Run in the background, for a test that breaks something in the middle. It ends as Run does, or by Stop.
func Start(ctx context.Context, options Options) (*Running, error) {
	if options.Connections < 1 || len(options.Templates) == 0 {
		return nil, fmt.Errorf("load options: %d Connections and %d Templates: give at least one of each",
			options.Connections, len(options.Templates))
	}
	if options.Timeout <= 0 {
		options.Timeout = defaultTimeout
	}
	r := &Running{options: options, id: rand.Uint32(), recorder: newRecorder(options.Connections), done: make(chan struct{})}
	for i, template := range options.Templates {
		request, err := template.render(options.Addr)
		if err != nil {
			return nil, fmt.Errorf("load options: Addr with Templates[%d] makes no request: %w", i, err)
		}
		r.requests = append(r.requests, request)
	}
	ctx, r.cancel = context.WithCancel(ctx)
	var clients sync.WaitGroup
	for range options.Connections {
		clients.Go(func() { r.client(ctx) })
	}
	go func() {
		clients.Wait()
		r.cancel()
		r.recorder.finish()
		close(r.done)
	}()
	return r, nil
}

// Snapshot reports on the requests that have had their outcome so far.
func (r *Running) Snapshot() Report { return r.recorder.report() }

// Wait blocks until the load has ended by itself or by Stop.
func (r *Running) Wait() Report {
	<-r.done
	return r.Snapshot()
}

// Stop begins no further request and waits, at most Options.Timeout, for those under way: to abandon them would hide
// the ones that hang. It may be called again.
func (r *Running) Stop() Report {
	r.cancel()
	return r.Wait()
}

// client makes requests one after the other over one connection at a time.
func (r *Running) client(ctx context.Context) {
	c := client{options: &r.options}
	defer c.close()
	errors, cutOff := 0, 0
	for {
		number := r.taken.Add(1) - 1
		if r.options.Requests > 0 && number >= int64(r.options.Requests) {
			return
		}
		due := time.Now()
		if r.options.Rate > 0 {
			due = r.recorder.start.Add(time.Duration(float64(number) / r.options.Rate * float64(time.Second)))
		}
		if pause.For(ctx, time.Until(due)) != nil {
			return
		}
		out := c.request(ctx, r.requests[number%int64(len(r.requests))].withID(r.id, number))
		if out.failure != "" || !success(out.status) {
			errors++
			if out.failure != Refused {
				cutOff++
			}
		}
		r.recorder.record(out, due, errors, cutOff)
		if out.notConnected && pause.For(ctx, redialPause) != nil {
			return
		}
	}
}
