package service

import (
	"context"
	"fmt"
)

// Outgoing is a connection by which services send messages to the world outside: a queue's exchange, say.
type Outgoing interface {
	// Send returns nil once the other side has taken the message over, in the sense that this kind of connection can
	// promise; an error of kind Unavailable says that it may work later. It is called concurrently.
	Send(ctx context.Context, message Message) error
}

// Message is what an [Outgoing] sends. It belongs to the connection until Send has returned.
type Message struct {
	Payload []byte
	ID      string            // by which the other side knows a repetition; empty: the connection makes one
	Headers map[string]string // properties and headers, by the names that the kind of connection gives them
}

// Outgoings are the outgoing connections that a server has.
type Outgoings interface {
	// Outgoing finds one by its kind ("amqp", "ibmmq", "zmq") and name, nil if there is none. It is called for every use,
	// concurrently, and returns at once.
	Outgoing(kind, name string) Outgoing
}

// noOutgoing stands for a connection that there is not.
type noOutgoing struct{ kind, name string }

func (n noOutgoing) Send(context.Context, Message) error {
	details := fmt.Sprintf("there is no outgoing %s connection %q", n.kind, n.name)
	return NewError(Unavailable, details, nil)
}
