// Package relay carries messages from a connector host to the process of an outgoing connector, and back what became of
// each: many at once over the one connection that the two have, and each answer as soon as it is known.
//
// One case: two services post an order at the same time. The host's [Caller] writes both to the connection in one go, as
// numbers 1 and 2. The [Server] in the connector's process hands each to a goroutine of its own, which publishes it. The
// broker confirms 2 first, so that the answer to 2 goes back first, and its service is told; then 1. The process is
// killed with 3 in hand: whoever waits for 3 hears that nobody knows, and the next message is refused before it is handed
// over.
//
// The codec knows no connection; neither side takes more memory for what the other claims than for what it sends.
package relay
