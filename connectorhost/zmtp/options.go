package zmtp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is a ZeroMQ socket type.
type Type string

// The socket types that there are here.
const (
	Pull Type = "PULL"
	Sub  Type = "SUB"
	Push Type = "PUSH"
	Pub  Type = "PUB"
)

// receives says whether messages come in.
func (t Type) receives() bool { return t == Pull || t == Sub }

// partners are the types of peers that each type talks with.
var partners = map[Type][]string{
	Pull: {"PUSH"}, Sub: {"PUB", "XPUB"}, Push: {"PULL"}, Pub: {"SUB", "XSUB"},
}

// Method says which side waits for the other.
type Method string

// Each side may do either.
const (
	Connect Method = "connect"
	Bind    Method = "bind"
)

// Options say what a socket is. Only the first three have no default.
type Options struct {
	Type      Type
	Method    Method
	Addresses []string // "tcp://host:port", in [Bind] also "tcp://*:port"; one to bind to, one or more to connect to

	SubKeys []string // of a SUB: what the first frame of a message has to begin with, "" lets all pass; none lets none

	MaxMessageBytes int64 // of all frames of a message together; larger ones cost the sender its connection (16 MiB)
	MaxPeers        int   // connections in use at a time (1000)
	// HighWater is how many messages are held: received and not yet taken, for each peer sent and not yet confirmed, for
	// each subscriber not yet written (1000). HighWaterBytes bounds the same in bytes, and what is held of messages that
	// have not come to their end (64 MiB, at least four messages of MaxMessageBytes).
	HighWater      int
	HighWaterBytes int64

	HandshakeTimeout time.Duration // for a new connection to prove itself (5 s)
	MessageTimeout   time.Duration // for a message to come to its end when it has begun (60 s)
	StuckTimeout     time.Duration // without progress, after which a peer that owes some is given up (60 s)
	RetryMin         time.Duration // before the first reconnection, doubled until RetryMax (100 ms, 5 s)
	RetryMax         time.Duration

	// Notify is told what happens to peers. It is called from several goroutines and must not block. It may be nil.
	Notify func(Event)
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	o.MaxMessageBytes = cmp.Or(o.MaxMessageBytes, 16<<20)
	o.MaxPeers = cmp.Or(o.MaxPeers, 1000)
	o.HighWater = cmp.Or(o.HighWater, 1000)
	o.HighWaterBytes = cmp.Or(o.HighWaterBytes, max(64<<20, 4*o.MaxMessageBytes))
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 5*time.Second)
	o.MessageTimeout = cmp.Or(o.MessageTimeout, time.Minute)
	o.StuckTimeout = cmp.Or(o.StuckTimeout, time.Minute)
	o.RetryMin = cmp.Or(o.RetryMin, 100*time.Millisecond)
	o.RetryMax = max(o.RetryMin, cmp.Or(o.RetryMax, 5*time.Second))
	if o.Notify == nil {
		o.Notify = func(Event) {}
	}
	return o
}

// maxMessageLimit is what MaxMessageBytes may be at most: so much is put into one piece of memory.
const maxMessageLimit = 1 << 30

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	if partners[o.Type] == nil {
		faults = append(faults, fmt.Errorf("the socket type is %q: make it PULL, SUB, PUSH or PUB", o.Type))
	}
	if o.Method != Connect && o.Method != Bind {
		faults = append(faults, fmt.Errorf("the socket method is %q: make it connect or bind", o.Method))
	}
	if len(o.Addresses) == 0 {
		faults = append(faults, errors.New("there is no address: give one, such as tcp://127.0.0.1:5555"))
	}
	if len(o.Addresses) > 1 && o.Method == Bind {
		faults = append(faults, fmt.Errorf("there are %d addresses to bind to: give one", len(o.Addresses)))
	}
	for i, address := range o.Addresses {
		if _, err := hostPort(address, o.Method); err != nil {
			faults = append(faults, err)
		}
		if slices.Contains(o.Addresses[:i], address) {
			faults = append(faults, fmt.Errorf("address %q: is given twice", address))
		}
	}
	if len(o.SubKeys) > 0 && o.Type != Sub {
		faults = append(faults, fmt.Errorf("a %s socket has no subscription keys: leave them out, or make it SUB", o.Type))
	}
	if o.MaxMessageBytes < 0 || o.MaxMessageBytes > maxMessageLimit {
		faults = append(faults, fmt.Errorf("messages of up to %d bytes: make it 1 to %d", o.MaxMessageBytes, maxMessageLimit))
	}
	if o.HighWaterBytes != 0 && o.HighWaterBytes < o.withDefaults().MaxMessageBytes {
		faults = append(faults, fmt.Errorf("%d bytes are too few to hold one message of up to %d", o.HighWaterBytes, o.withDefaults().MaxMessageBytes))
	}
	if min(o.MaxPeers, o.HighWater) < 0 || o.HighWaterBytes < 0 ||
		min(o.HandshakeTimeout, o.MessageTimeout, o.StuckTimeout, o.RetryMin, o.RetryMax) < 0 {
		faults = append(faults, errors.New("a limit or a time is negative: make it positive, or 0 for its default"))
	}
	return errors.Join(faults...)
}

// hostPort takes an endpoint apart, "tcp://*:5555" to ":5555".
func hostPort(address string, method Method) (string, error) {
	fault := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("address %q: "+format, append([]any{address}, args...)...)
	}
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return fault("has no transport, write tcp://host:port")
	}
	if scheme != "tcp" {
		return fault("transport %s is not offered here, use tcp://host:port", scheme)
	}
	if strings.Contains(rest, ";") {
		return fault("a source address before the ; is not offered here, leave it out")
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return fault("%s, write tcp://host:port", reason(err))
	}
	if port == "*" && method == Bind {
		port = "0"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fault("port %q is no number from 1 to 65535", port)
	}
	if method != Bind {
		if host == "" || host == "*" {
			return fault("names no host to connect to")
		}
		if number == 0 {
			return fault("port 0 cannot be connected to")
		}
	}
	if host == "*" {
		host = ""
	}
	return net.JoinHostPort(host, port), nil
}

// reason is the text of an address error without the address.
func reason(err error) string {
	var wrong *net.AddrError
	if errors.As(err, &wrong) {
		return wrong.Err
	}
	return err.Error()
}
