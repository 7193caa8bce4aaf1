package zmtp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// The errors that choose what a caller does next; what is returned wraps them.
var (
	// ErrClosed is the answer of a socket that was closed: to Receive only after the last message that had come.
	ErrClosed = errors.New("the socket is closed")
	// ErrNotSent says that nobody has the message or will have it, so that it may be sent again.
	ErrNotSent = errors.New("not sent")
	// ErrUnconfirmed says that a peer was given the message and may or may not have it. To send it again may double it.
	ErrUnconfirmed = errors.New("sent to a peer that did not confirm it")
	// ErrTooLarge is about a message to send that is larger than the socket allows.
	ErrTooLarge = errors.New("the message is too large")
)

// Cause classifies why a peer was refused or left, for counting.
type Cause string

// What can happen to a connection.
const (
	Left      Cause = "left"      // the peer closed it, or its machine is gone
	Protocol  Cause = "protocol"  // it broke ZMTP, or does not speak it
	Oversized Cause = "oversized" // it sent or claimed more than a limit allows
	Silent    Cause = "silent"    // it did not do in time what it had to
	Crowded   Cause = "crowded"   // there were too many connections
	Mismatch  Cause = "mismatch"  // it is a ZeroMQ peer of another kind
	Closing   Cause = "closing"   // we closed it
)

// fault is why a connection ended.
type fault struct {
	cause Cause
	text  string
	err   error
}

func (f *fault) Error() string {
	if f.err != nil {
		return f.text + ": " + f.err.Error()
	}
	return f.text
}

func (f *fault) Unwrap() error { return f.err }

func faultf(cause Cause, format string, args ...any) *fault {
	return &fault{cause: cause, text: fmt.Sprintf(format, args...)}
}

// broken makes a fault of an error that reading from or writing to a connection gave.
func broken(doing string, err error) *fault {
	var known *fault
	var network net.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, net.ErrClosed):
		return &fault{Closing, doing, err}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &fault{Silent, doing + " took too long", err}
	case errors.Is(err, io.EOF):
		return faultf(Left, "the peer closed the connection")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return faultf(Left, "the peer closed the connection in mid-%s", doing)
	}
	return &fault{Left, doing, err}
}
