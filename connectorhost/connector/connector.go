// Package connector is what every kind of connector has in common: the contract that a kind fulfils, the definition of
// a connector, and the one loop that moves messages, whatever broker they come from.
//
// One case, walked through. An operator writes under `zato/main/connectors/orders`:
//
//	{"name": "orders", "kind": "amqp", "role": "channel", "service": "order.new", "max_attempts": 3,
//	 "url": "amqp://zato:${env:ORDERS_PASSWORD}@mq1/shop", "queue": "orders", "prefetch_count": 20}
//
// [Decode] reads the common fields and hands the others to the kind "amqp", which has registered itself by [Register]; a
// field that is misspelt, missing or out of range is reported, together with all others that are wrong. [Run] then asks
// the definition's [Settings] for a [Source], connects it, and receives. A message goes to the [Invoker], which calls
// the service; when that succeeded, the delivery is settled as accepted, and the broker forgets it. When the service
// failed, it is tried again, and after the third time the delivery is parked, with the reason; a kind that has no place
// for it drops it, and that is counted by its name. The broker restarts: the source says so by [ErrNotConnected], and
// the loop connects it again. [Run]'s context ends: nothing more is received, what is in flight is finished and settled,
// and Run returns.
//
// What a kind must do, and may count on, is said at [Source] and [Sink], and checked by the package conformance, which
// every kind runs against its broker. To add a kind takes one folder, with one line in it that calls [Register], and
// one line in the program that imports it.
//
// The package imports nothing but the standard library, and how a secret is read.
package connector

import (
	"context"
	"time"
)

// Message is what is moved. Whoever is handed one may keep it; nothing in it is reused.
type Message struct {
	// ID names the message. Where the publisher, or the broker, gave it a name, that is it, and Stable is true: it is the
	// same at every delivery, so that somebody who sees it twice can tell. Else the kind makes a name of 128 random bits
	// for the delivery (see [RandomID]): it is not derived from the content, because two messages may have the same
	// content and both count. It stays the same for the attempts that are made while the delivery is in hand.
	ID     string
	Stable bool

	// Redelivered says that the service may have had the message before: it was delivered before, or this is not the first
	// attempt. It is never false when it had.
	Redelivered bool

	// Attempt is 1 for a message that was never delivered before. For others it is one more than the deliveries that the
	// broker counted, or 2 where it only tells that there was one.
	Attempt int

	Body        []byte
	ContentType string // media type; empty if nobody said

	// Properties are what else a kind knows of a message, by the kind's own names, such as routing_key or reply_to.
	// A source fills them, a sink takes those that it knows and ignores others. May be nil.
	Properties map[string]string

	// Unfit, if not empty, says why the message cannot be handed to a service, such as a size above a limit. It is parked
	// at once, or dropped, with this as the reason. Its body may be missing then.
	Unfit string
}

// Verdict is what is to become of a delivery.
type Verdict int

// The verdicts.
const (
	Accept   Verdict = iota // the service succeeded: the broker shall forget the message
	GiveBack                // it shall be delivered again, to whomever; the broker counts it, if it counts
	Park                    // it shall be put aside, with the reason, and not be delivered again
	Drop                    // the same of a source that, by its Capabilities.DeadLetter, keeps none: it is lost
)

func (v Verdict) String() string { return [...]string{"accept", "give back", "park", "drop"}[v] }

// Delivery is a message and the way to say what becomes of it.
type Delivery struct {
	Message

	// Settle is called at most once for each delivery, from any goroutine, also concurrently with the source's methods and
	// with other deliveries' Settle. It belongs to the connection that the delivery came by: when that is closed, even if
	// there is another by now, it does nothing and returns an [ErrNotConnected]. A delivery that is never settled goes
	// back to the broker when the connection is closed.
	//
	// It returns when the broker has been told, and for Park when the message is safe at its other place: a message must
	// be twice rather than nowhere. After an [ErrNotConnected] the message will be delivered again. A message that cannot
	// be parked is given back by the source itself, and the error says why.
	Settle func(ctx context.Context, verdict Verdict, outcome Outcome) error
}

// Outcome goes with a verdict.
type Outcome struct {
	Reason   string // why it is parked or given back, for people
	Attempts int    // how often the service was tried with it, as far as is known
}

// Source is where a channel's messages come from: the broker's side of a kind. All methods but Settle are called by the
// one goroutine of [Run], one after the other, in this order: Connect, Start, Receive any number of times, Stop, Close;
// then from the front again. After an error of any of them comes Close, unless the error says otherwise. Every method
// returns soon after its context ends, whatever the broker does: a call into a library that might block is watched, and
// abandoned.
type Source interface {
	// Connect makes all ready so that Start has little left to do, but takes no message yet, nor anything that only one
	// can have, such as an exclusive consumer: another process may still be at work. It is called when there is no
	// connection, and again after Close.
	Connect(ctx context.Context) error

	// Start begins to consume, if that is anything to be done. It is refused by [ErrHeld] if somebody else has the
	// exclusive hold, and is then called again, on the same connection.
	Start(ctx context.Context) error

	// Receive waits for the next message. It is not called while as many deliveries are unsettled as [Settings.InFlight]
	// says. After [ErrBackOff] it is called again. When the context ends no message may have been taken that is not
	// returned, unless the broker gets it back.
	Receive(ctx context.Context) (Delivery, error)

	// Stop is called once before a Close that is no emergency, when nothing more will be received: the broker shall
	// deliver no more, and what it has sent and Receive has not returned is given back to it. Deliveries in flight can
	// still be settled. It is no fault to do nothing. A source that cannot give back, by its [Capabilities.Redelivers],
	// returns what it has taken from Receive, which is then called until it fails or the time to drain is over.
	Stop(ctx context.Context) error

	// Close ends the connection. What is unsettled goes back to the broker. It is called after each Connect, failed or
	// not, and ends all goroutines that the source has.
	Close(ctx context.Context) error
}

// Watched is a source that can tell that its connection is lost while nobody calls Receive: because it is only prepared,
// or as much is in flight as may be. A source need not be one.
type Watched interface {
	// Lost is closed when the connection of the latest Connect is of no use any more. Receive then says why.
	Lost() <-chan struct{}
}

// Sink is where an outgoing connector's messages go: the broker's side of a kind.
type Sink interface {
	// Connect makes ready to send. It is called by one goroutine, as Wait and Close are, when there is no connection.
	Connect(ctx context.Context) error

	// Send is called concurrently, after Connect. It returns nil only when the broker has confirmed that it has the
	// message, and put it where it can be received. The error is [ErrNotConnected] or [ErrBackOff] if the same message
	// may be accepted later (and may be there already, if the connection was lost under it), [ErrUnfit] if it never will.
	Send(ctx context.Context, message Message) error

	// Wait returns when the connection is lost, with the reason, or when the context ends.
	Wait(ctx context.Context) error

	// Close ends the connection and all goroutines that the sink has. It is called after each Connect, failed or not.
	// Sends that are under way fail.
	Close(ctx context.Context) error
}

// Guarantee is what becomes of messages when things fail.
type Guarantee string

// The guarantees.
const (
	AtLeastOnce Guarantee = "at least once" // none is lost; some may come twice, with the same ID and marked redelivered
	AtMostOnce  Guarantee = "at most once"  // none comes twice; what is in flight when something fails is lost
)

// Capabilities are what a connector can promise. They are published, and they choose behaviour; the conformance suite
// skips, aloud, what they exclude, and checks what they claim.
type Capabilities struct {
	Guarantee  Guarantee `json:"guarantee"`
	Redelivers bool      `json:"redelivers"`  // a message given back, or unsettled at the end, comes again
	Counts     bool      `json:"counts"`      // the broker counts deliveries, beyond the life of this process
	DeadLetter bool      `json:"dead_letter"` // it can park: such messages are kept, with the reason; else they are dropped
	Transacted bool      `json:"transacted"`  // parking and acknowledging are one step: never both places, never none
	Ordered    bool      `json:"ordered"`     // messages are handled in the order of the queue
	Exclusive  bool      `json:"exclusive"`   // the broker lets only one consume, whatever the lease says

	// Prepare says that a new process may Connect while the old one consumes.
	Prepare bool `json:"prepare"`

	// RetryInPlace says that a message whose service failed stays in hand until the next attempt, instead of going back
	// to the broker. Order is kept and the pauses grow, but the attempts are counted in memory: when the connection or
	// the process is lost, the count begins again at what the broker knows.
	RetryInPlace bool `json:"retry_in_place"`
}

// Settings are the part of a definition that belongs to its kind.
type Settings interface {
	// Capabilities of this very connector; they may depend on its settings.
	Capabilities() Capabilities

	// InFlight is how many deliveries may be unsettled at a time, at least 1. Only 1 keeps order.
	InFlight() int

	// Source opens nothing yet; secrets are resolved in Connect. It is called for channels only.
	Source(env Environment) Source

	// Sink opens nothing yet. It is called for outgoing connectors only.
	Sink(env Environment) Sink
}

// Environment is what a source or sink gets from whoever runs it.
type Environment struct {
	// Name of the connector, for the broker's list of connections.
	Name string

	// Blocked tells that the broker accepts nothing for now, with its reason, and "" that it does again. It returns at
	// once, and may be called from any goroutine until Close has returned. It is never nil.
	Blocked func(reason string)
}

// Invoker calls the service of a channel. It is called concurrently. A nil error is a success. The error chooses what
// happens: [ErrFenced] stops the connector at once, [ErrUnavailable] means that the service was not reached, or not to
// blame, and is tried again for ever without counting, [ErrUnfit] parks or drops the message at once, [ErrInterrupted]
// does so when it has come often, and any other counts as a failed attempt.
type Invoker interface {
	Invoke(ctx context.Context, message Message) error
}

// InvokerFunc is a function that is an Invoker.
type InvokerFunc func(ctx context.Context, message Message) error

// Invoke calls f.
func (f InvokerFunc) Invoke(ctx context.Context, message Message) error { return f(ctx, message) }

// State is what a connector is doing.
type State string

// The states, roughly in the order in which they come.
const (
	Connecting State = "connecting"
	Prepared   State = "prepared" // connected, and waiting for the word to begin
	Running    State = "running"
	Waiting    State = "waiting"     // connected, but somebody else has the exclusive hold
	Blocked    State = "blocked"     // connected, but the broker takes nothing, or no server takes messages
	BackingOff State = "backing off" // not connected, and waiting before the next try
	Draining   State = "draining"    // receives no more, and finishes what is in flight
	Stopped    State = "stopped"     // ended as asked
	Failed     State = "failed"      // ended, and will not run as it is defined
	Fenced     State = "fenced"      // ended, because somebody else has the lease
)

// Status is a connector's state at one moment.
type Status struct {
	Name         string       `json:"name"`
	Kind         string       `json:"kind"`
	Role         Role         `json:"role"`
	State        State        `json:"state"`
	Reason       string       `json:"reason,omitempty"` // why it is not running, for people
	Since        time.Time    `json:"since"`            // when the state was entered
	InFlight     int          `json:"in_flight"`
	LastMessage  time.Time    `json:"last_message,omitzero"`
	Counts       Counts       `json:"counts"`
	Capabilities Capabilities `json:"capabilities"`
}

// Counts are how often things happened since the connector's process began. They only grow.
type Counts struct {
	Received     int64 `json:"received"`      // deliveries
	Redelivered  int64 `json:"redelivered"`   // those of them that were marked so
	Accepted     int64 `json:"accepted"`      // settled after a success
	Duplicates   int64 `json:"duplicates"`    // accepted without calling the service, which had already succeeded
	Failed       int64 `json:"failed"`        // attempts that the service failed
	Unavailable  int64 `json:"unavailable"`   // attempts that reached no service
	Interrupted  int64 `json:"interrupted"`   // attempts whose server was gone before it answered
	GivenBack    int64 `json:"given_back"`    // to be delivered again
	Parked       int64 `json:"parked"`        // put aside for good, where they can be found
	Dropped      int64 `json:"dropped"`       // lost for good, by a kind that cannot park
	Unsettled    int64 `json:"unsettled"`     // whose verdict the broker did not take; they come again
	Sent         int64 `json:"sent"`          // by an outgoing connector, confirmed
	SendFailures int64 `json:"send_failures"` // by an outgoing connector
	Connects     int64 `json:"connects"`      // connections made
	Disconnects  int64 `json:"disconnects"`   // connections lost, and tries that made none
}
