package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"zatoha/bench/pause"
)

// Failure is how a request ended that got no whole answer.
type Failure string

// The failures. A request has at most one.
const (
	Refused     Failure = "connection refused"
	Reset       Failure = "reset"
	SilentClose Failure = "silent close" // end of stream on a reused connection, before the first byte of the answer
	EarlyClose  Failure = "early close"  // the same on a new connection
	Truncated   Failure = "truncated"    // end of stream within the answer
	Timeout     Failure = "timeout"      // of dialling, sending or the answer
	Malformed   Failure = "malformed"    // the answer is not HTTP/1.x, or bytes follow it
	Other       Failure = "other"        // any other error of the network, such as no route or no free port
)

// outcome is what became of one request: an answer, or a failure and its cause.
type outcome struct {
	status         int
	instance       string
	announcedClose bool

	failure      Failure
	cause        error
	notConnected bool // the failure was in dialling

	reconnected bool
	begun       time.Time
}

// client owns one connection at a time. It is not safe for concurrent use.
type client struct {
	options *Options
	conn    net.Conn      // nil: the next request dials
	reader  *bufio.Reader // nil: there has been no connection yet
	readErr error         // what reading the connection first failed with
	reused  bool          // the connection has carried an answer
}

// Read is the reader's source. It keeps the connection's own error, because the HTTP parser words some of them anew
// (an end of stream in a chunked trailer, for one), which would blur truncated and malformed.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.conn.Read(p)
	if err != nil && c.readErr == nil { // reading on after a reset would find a mere end of stream
		c.readErr = err
	}
	return n, err
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close() // the outcome is known by now; closing cannot change it
		c.conn = nil
	}
}

// request sends one request and reads its answer, dialling first where there is no connection. After a failure or an
// announced close there is none.
func (c *client) request(ctx context.Context, request rendered) outcome {
	begun := time.Now()
	deadline := begun.Add(c.options.Timeout)
	reconnected := c.conn == nil && c.reader != nil
	if c.conn == nil {
		if err := c.dial(deadline); err != nil {
			return outcome{failure: failureOf(err), cause: err, notConnected: true, begun: begun}
		}
	}
	out := c.exchange(ctx, request, deadline)
	out.reconnected, out.begun = reconnected, begun
	c.reused = true
	if out.failure != "" || out.announcedClose {
		c.close()
	}
	return out
}

// dial knows only the deadline: a request that has begun gets its outcome, whether the run is stopped or not.
func (c *client) dial(deadline time.Time) error {
	dial := c.options.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	conn, err := dial(ctx, "tcp", c.options.Addr)
	if err != nil {
		return err
	}
	c.conn, c.reader, c.readErr, c.reused = conn, bufio.NewReader(c), nil, false
	return nil
}

func (c *client) exchange(ctx context.Context, request rendered, deadline time.Time) outcome {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return outcome{failure: Other, cause: err}
	}
	// A server may answer before it has read all, and close: the answer is looked for even after sending failed.
	sendErr := c.send(ctx, request)
	out, err := c.receive(request)
	switch {
	case err == nil:
		out.announcedClose = out.announcedClose || sendErr != nil
		return out
	// Broken pipe says that the server had closed; reading saw how. Any other error of sending is itself the cause,
	// and reading after it sees but a dead connection.
	case sendErr != nil && !errors.Is(sendErr, syscall.EPIPE):
		return outcome{failure: failureOf(sendErr), cause: sendErr}
	default:
		return outcome{failure: c.receiveFailure(err), cause: err}
	}
}

func (c *client) send(ctx context.Context, request rendered) error {
	_, err := c.conn.Write(request.first)
	if err != nil || len(request.rest) == 0 {
		return err
	}
	_ = pause.For(ctx, request.pause) // a run that is stopped sends the rest at once
	_, err = c.conn.Write(request.rest)
	return err
}

// errUnstarted marks an error before the first byte of the answer.
var errUnstarted = errors.New("no byte of an answer")

// receive reads one whole answer and leaves the reader at its end.
func (c *client) receive(request rendered) (outcome, error) {
	if _, err := c.reader.Peek(1); err != nil {
		return outcome{}, fmt.Errorf("%w: %w", errUnstarted, err)
	}
	response, err := http.ReadResponse(c.reader, request.asked)
	for err == nil && response.StatusCode < http.StatusOK {
		response, err = http.ReadResponse(c.reader, request.asked) // informational ones precede the answer
	}
	if err != nil {
		return outcome{}, fmt.Errorf("read the answer's head: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close() // has nothing left to read
	if err != nil {
		return outcome{}, fmt.Errorf("read the answer's body: %w", err)
	}
	if extra := c.reader.Buffered(); extra > 0 {
		return outcome{}, fmt.Errorf("%d bytes follow the answer", extra)
	}
	instance := response.Header.Get(c.options.InstanceHeader)
	return outcome{status: response.StatusCode, instance: instance, announcedClose: response.Close}, nil
}

func (c *client) receiveFailure(err error) Failure {
	switch {
	case c.readErr == nil:
		return Malformed // the connection is well, so it is what came over it
	case c.readErr != io.EOF:
		return failureOf(c.readErr)
	case !errors.Is(err, errUnstarted):
		return Truncated
	case c.reused:
		return SilentClose
	default:
		return EarlyClose
	}
}

// failureOf names the failure that an error of the network is.
func failureOf(err error) Failure {
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET):
		return Reset
	default:
		return Other
	}
}
