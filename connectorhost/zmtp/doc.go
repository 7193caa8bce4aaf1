// Package zmtp is ZeroMQ's PULL, SUB, PUSH and PUB sockets, by go-zeromq/zmq4, guarded so that no peer, be it hostile,
// hung or absent, can stop the others, fill the memory, or make a send look done that was not.
//
// One case. A socket takes in what others push:
//
//	socket, err := zmtp.Open(zmtp.Options{Type: zmtp.Pull, Method: zmtp.Bind, Addresses: []string{"tcp://*:5555"}})
//	message, err := socket.Receive(ctx)
//
// A monitor connects to port 5555, says "GET / HTTP/1.1" and is cut off at the G, and a port scanner that says nothing is
// cut off after five seconds; each had a goroutine of its own, so that a real PUSH socket, which connects meanwhile, is
// through in a millisecond. It sends a frame that claims 2^62 bytes: cut off when the nine bytes of the header are here,
// with nothing allocated. Another is in the middle of a message of 5 MB when its machine vanishes: what has come of it is
// dropped when TCP's keepalive fails, or after [Options.MessageTimeout]. Stats counts them, Notify names them.
//
// # Why not the library's own sockets
//
// zmq4 v0.17.0 shakes hands in its accept loop with no deadline, so that one idle connection shuts out every new peer;
// its PUSH sends each message to every peer; its sends to a dead peer succeed; its Close leaves goroutines behind; a
// frame header makes it allocate whatever the header claims; and a READY command with a truncated property, or with a
// socket type that it does not know, panics. A transport registered with it comes too late for most of these, because
// they are in the sockets above the connections. So this package uses the library one connection at a time: zmq4.Open
// shakes hands and its Conn encodes what is sent, both through a [gate] that hands the library only what has been
// checked. Listening, dialling, sharing out and reading are here.
//
// # What a Send promises
//
// ZeroMQ is at most once: no message is kept on disk, and none is sent twice. Within that:
//
//	PUSH, nil              one peer has it. Of a peer that speaks ZMTP 3.1 (libzmq 4.2 or newer, and this package) the
//	                       peer's ZeroMQ has read it, which it has confirmed by answering a PING sent behind the
//	                       message; it is lost only if that process dies before the application takes it. Of an older
//	                       peer, the operating system took it for a connection that was not known to be broken.
//	PUSH, ErrNotSent       nobody has it or will have it: no peer was there, or none had room, until ctx ended
//	PUSH, ErrUnconfirmed   a peer that died, or is silent, was given it, and may or may not have it
//	PUB, nil               it is queued for each subscriber that has room; whoever has no room, or is not connected, or has
//	                       not subscribed yet, never gets it, and there may be no subscriber at all
//	PUB, ErrNotSent        a PUB that connects has no peer, or all who want it have no room
//
// A PUSH shares messages out: peers that wait for work get it in turn, one that is busy gets none until it is done, and
// what a peer did not take whole goes to another.
package zmtp
