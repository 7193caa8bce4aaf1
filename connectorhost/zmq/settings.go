// Package zmq is the connector kind "zmq": channels that receive by a ZeroMQ PULL or SUB socket. What is outgoing, by
// PUSH or PUB, is sent by the servers themselves, from definitions of the same kind, which this package reads as well.
//
// One case. An operator writes under `zato/main/connectors/ticks`:
//
//	{"name": "ticks", "kind": "zmq", "role": "channel", "service": "tick.new",
//	 "socket_type": "SUB", "socket_method": "connect", "address": "tcp://feed:5556", "sub_key": "EUR"}
//
// The channel connects to the publisher and asks for what begins with EUR; each message becomes a call of tick.new. The
// publisher restarts: the channel is not connected, says so, and connects again. A message above max_message_bytes costs
// the publisher its connection before a byte of it is in memory, and is counted as dropped, with the reason. The channel
// is stopped: it lets the publisher finish what is on the way, hands over what it has taken, and ends.
//
// # Fields
//
// Of both roles:
//
//	socket_type          PULL or SUB of a channel, PUSH or PUB of an outgoing connector
//	socket_method        connect or bind
//	address              tcp://HOST:PORT; several with commas between
//	max_message_bytes    16 MiB; a larger message costs its sender the connection, or is not sent
//
// Of channels:
//
//	sub_key              of a SUB: what messages begin with that it wants; without it, all
//	in_flight            10; messages whose service is called at a time. Order is kept if it is 1
//
// There is no dead_letter: ZeroMQ has no place for messages that nobody can handle.
//
// # What it promises
//
// At most once: ZeroMQ has no acknowledgements, and no place for messages that nobody could handle. A message that was
// taken is lost if this process dies before its service succeeded; one that its service failed max_attempts times is
// dropped, with a line in the log, and counted as that. A clean stop loses nothing that the operating system has, within
// the time to drain. A SUB gets nothing that is published while it is not connected, and loses some if it cannot keep up.
//
// # Frames
//
// A message of several frames becomes one call, whose payload is the frames joined, with nothing between; their sizes are
// in the property part_sizes, which the service finds in the header X-Zato-Properties. That fits what a single frame
// looks like: the key that a SUB has asked for is where its payload begins, whether the publisher sent key and body in
// one frame or in two. A message of one frame is the frame.
//
// # Which side binds
//
// A channel that connects runs as long as at least one of its addresses is connected. One that binds runs while it
// listens, with peers or without; while another process has the address, which the one before it may for a moment, it
// waits. Peers are not authenticated and nothing is encrypted (ZeroMQ's NULL mechanism): bind to addresses that only
// your own network reaches.
package zmq

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/zmtp"
)

// Kind is the name of the kind in definitions.
const Kind = "zmq"

func init() {
	connector.Register(Kind, func(f *connector.Fields) connector.Settings { return decode(f) })
}

const (
	defaultInFlight = 10
	maxInFlight     = 1000
	// defaultHeld is how many messages are taken beyond those in flight. Few, because who dies with them loses them;
	// what is not taken waits at the peer, which can see that.
	defaultHeld = 10
)

// Settings are the fields of a definition of this kind.
type Settings struct {
	SocketType      zmtp.Type
	SocketMethod    zmtp.Method
	Addresses       []string
	SubKey          string
	MaxMessageBytes int
	Concurrent      int // in_flight
}

var types = map[connector.Role][]string{
	connector.Channel:  {string(zmtp.Pull), string(zmtp.Sub)},
	connector.Outgoing: {string(zmtp.Push), string(zmtp.Pub)},
}

func decode(f *connector.Fields) Settings {
	role := f.Definition.Role
	s := Settings{
		SocketType: zmtp.Type(f.Required("socket_type")), SocketMethod: zmtp.Method(f.Required("socket_method")),
		MaxMessageBytes: f.Int("max_message_bytes", 16<<20, 1, 1<<30),
	}
	for address := range strings.SplitSeq(f.Required("address"), ",") {
		if address = strings.TrimSpace(address); address != "" {
			s.Addresses = append(s.Addresses, address)
		}
	}
	if role == connector.Channel {
		s.Concurrent = f.Int("in_flight", defaultInFlight, 1, maxInFlight)
		if f.Has("dead_letter") {
			f.Fault("dead_letter", "is not possible: ZeroMQ has no place for messages that nobody can handle")
		}
	}
	if s.SocketType == zmtp.Sub && role == connector.Channel {
		s.SubKey = f.String("sub_key", "")
	} else if f.Has("sub_key") {
		f.Fault("sub_key", "is for socket_type SUB: leave it out")
	}
	s.check(f, role)
	return s
}

// check reports what is wrong with fields that are there.
func (s Settings) check(f *connector.Fields, role connector.Role) {
	allowed := types[role]
	if s.SocketType != "" && allowed != nil && !slices.Contains(allowed, string(s.SocketType)) {
		f.Fault("socket_type", "is %q: %s use %s", s.SocketType, map[connector.Role]string{
			connector.Channel: "channels", connector.Outgoing: "outgoing connections",
		}[role], strings.Join(allowed, " or "))
	}
	if s.SocketMethod == "" || len(s.Addresses) == 0 {
		return
	}
	if s.SocketMethod != zmtp.Connect && s.SocketMethod != zmtp.Bind {
		f.Fault("socket_method", "is %q: use connect or bind", s.SocketMethod)
		return
	}
	whole := zmtp.Options{Type: zmtp.Pull, Method: s.SocketMethod, Addresses: s.Addresses}
	if err := whole.Validate(); err != nil {
		f.Fault("address", "is of no use: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// Options are what the settings mean to a socket.
func (s Settings) Options() zmtp.Options {
	o := zmtp.Options{
		Type: s.SocketType, Method: s.SocketMethod, Addresses: s.Addresses, MaxMessageBytes: int64(s.MaxMessageBytes),
	}
	if s.SocketType == zmtp.Sub {
		o.SubKeys = []string{s.SubKey} // an empty key asks for everything
	}
	if s.SocketType == zmtp.Pull {
		o.HighWater = defaultHeld
	}
	return o
}

// Capabilities are those of every channel of this kind.
func (s Settings) Capabilities() connector.Capabilities {
	return connector.Capabilities{
		Guarantee: connector.AtMostOnce, Ordered: s.InFlight() == 1, Prepare: true, RetryInPlace: true,
	}
}

// InFlight is how many messages are with services at a time.
func (s Settings) InFlight() int { return max(1, s.Concurrent) }

// Source makes a channel's source.
func (s Settings) Source(connector.Environment) connector.Source { return &source{settings: s} }

// Sink makes a sink that refuses: what is outgoing lives in the servers.
func (s Settings) Sink(connector.Environment) connector.Sink { return serversSink{} }

// InServers says that connectors of this kind and role are run by the servers, each for itself, and not by the connector
// host.
func InServers(d *connector.Definition) bool { return d.Kind == Kind && d.Role == connector.Outgoing }

var errInServers = fmt.Errorf("%w here: outgoing ZeroMQ is sent by the servers, which read the same definition", connector.ErrDefinition)

type serversSink struct{}

func (serversSink) Connect(context.Context) error                 { return errInServers }
func (serversSink) Send(context.Context, connector.Message) error { return errInServers }
func (serversSink) Wait(context.Context) error                    { return errInServers }
func (serversSink) Close(context.Context) error                   { return nil }
