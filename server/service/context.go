package service

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Call is what is known of one call of a service beside the request itself. Whoever calls services makes it.
type Call struct {
	CID      string
	Service  string       // name of the service that is called
	Channel  string       // name of what the call came in by
	Caller   string       // who proved to be the caller; empty if nobody was asked to
	Deadline time.Time    // when the answer is of no use any more; zero: never
	Trace    Trace        // that the call is part of
	Logger   *slog.Logger // nil: nothing is logged
	Outgoing Outgoings    // nil: there are none
}

// Context is the context of one call. It is a context.Context, to be handed on to whatever waits; beyond that it knows
// the call, the logger and the outgoing connections:
//
//	err := ctx.Outgoing("amqp", "orders").Send(ctx, service.Message{Payload: order})
//
// It ends at the call's deadline, when the server gives up waiting for its services, and when the call is over.
type Context struct {
	parent context.Context
	call   Call
	params map[string]string

	mu     sync.Mutex
	timed  context.Context // made when somebody first waits for the end
	cancel context.CancelFunc
	over   bool
}

// NewContext makes the context of a call. Its End is to be called when the call is over.
func NewContext(parent context.Context, call Call) *Context {
	return &Context{parent: parent, call: call}
}

// CID is the correlation ID of the call.
func (c *Context) CID() string { return c.call.CID }

// Service is the name of the service that was called.
func (c *Context) Service() string { return c.call.Service }

// Channel is the name of the channel that the call came in by.
func (c *Context) Channel() string { return c.call.Channel }

// Caller is who proved to be the caller, by the channel's security; empty if the channel asks nobody.
func (c *Context) Caller() string { return c.call.Caller }

// Trace is the place of this call in a distributed trace.
func (c *Context) Trace() Trace { return c.call.Trace }

// Param is a parameter of the request by name, empty if it has none: see Request.Params.
func (c *Context) Param(name string) string { return c.params[name] }

// Logger writes to the server's log, under the CID and the name of the service.
func (c *Context) Logger() *slog.Logger {
	if c.call.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.call.Logger.With("cid", c.call.CID, "service", c.call.Service)
}

// Outgoing is an outgoing connection by its kind and name. There always is one to call Send of: where the server has
// none, or is still without it, Send returns an error of kind Unavailable.
func (c *Context) Outgoing(kind, name string) Outgoing {
	if c.call.Outgoing != nil {
		if outgoing := c.call.Outgoing.Outgoing(kind, name); outgoing != nil {
			return outgoing
		}
	}
	return noOutgoing{kind, name}
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) {
	deadline, set := c.parent.Deadline()
	if own := c.call.Deadline; !own.IsZero() && (!set || own.Before(deadline)) {
		return own, true
	}
	return deadline, set
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} { return c.waited().Done() }

// Err implements context.Context.
func (c *Context) Err() error { return c.waited().Err() }

// Value implements context.Context.
func (c *Context) Value(key any) any {
	if _, asked := key.(traceKey); asked {
		return c.call.Trace
	}
	return c.parent.Value(key)
}

// End says that the call is over: who still waits by this context gives up.
func (c *Context) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// waited makes the context that can be waited for. Most services never wait, and should not pay for a timer.
func (c *Context) waited() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		if c.call.Deadline.IsZero() {
			c.timed, c.cancel = context.WithCancel(c.parent)
		} else {
			c.timed, c.cancel = context.WithDeadline(c.parent, c.call.Deadline)
		}
		if c.over {
			c.cancel()
		}
	}
	return c.timed
}
