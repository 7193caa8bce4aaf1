// Package service is what a server runs: services by name, called with a value and answering with a value. It knows
// nothing of HTTP, queues or Consul, so that the same service can be reached over any of them.
//
// One case from start to end: a POST to /zato/ping reaches the front, which makes a correlation ID, finds the route's
// service (zato.ping, from the [Registry]) and calls it with a [Request] of that CID and the body. The service returns
// a [Response] whose payload the front sends with status 200. Had it returned NewError(Conflict, "order 7 is closed",
// err), the caller would have got status 409 and "order 7 is closed", and the log err as well.
package service

import "context"

// Request is one call of a service. The service owns it: nothing in it is reused after the service has returned.
type Request struct {
	CID         string // correlation ID of the call: see NewCID
	ContentType string // media type of the payload; empty if the caller gave none
	Payload     []byte // nil if there is none
}

// Response is what a service answers on success. The payload belongs to the caller of the service from then on.
type Response struct {
	ContentType string // media type of the payload; empty stands for application/json
	Payload     []byte
}

// Service does one thing on request. It is called concurrently. The context ends when the answer is of no use any more:
// the server is stopping and can wait no longer. An error made by [NewError] chooses what the caller is told; any other
// is internal to the caller and goes to the log.
type Service func(ctx context.Context, request Request) (Response, error)
