// Package service is what a server runs: services by name, called with a value and answering with a value. It knows
// nothing of HTTP, queues or Consul, so that the same service can be reached over any of them.
//
// One case from start to end. A team writes a function and makes a service of it:
//
//	type order struct {
//		Customer string `json:"customer" required:"true"`
//		Amount   int    `json:"amount"`
//	}
//
//	func (o order) Validate() error { … }
//
//	func create(ctx *service.Context, in order) (receipt, error) { … }
//
//	services.MustAdd("orders.create", service.JSON(create))
//
// A POST of {"amount": "7"} reaches the front, which makes a correlation ID, finds the channel's service in the
// [Registry] and calls it with a [Context] and a [Request] of that CID and the body. [JSON] finds the faults, and the
// caller gets status 400 and "amount: must be a whole number, not a string; customer: is missing". With a good body
// create is called, and its receipt goes out with status 200. Had create returned NewError(Conflict, "order 7 is closed",
// err), the caller would have got status 409 and "order 7 is closed", and the log err as well.
package service

import "strings"

// Request is one call of a service. The service owns it: nothing in it is reused after the service has returned.
type Request struct {
	CID         string            // correlation ID of the call: see NewCID
	ContentType string            // media type of the payload; empty if the caller gave none
	Payload     []byte            // nil if there is none
	Params      map[string]string // of the address called: those in its path, and those of its query; nil if none
	Headers     Headers           // what the caller sent beside the payload
}

// Headers are names and values, as they came.
type Headers []Header

// Header is one of them.
type Header struct{ Name, Value string }

// Get is the first value of a name, in whatever case; empty if there is none.
func (h Headers) Get(name string) string {
	for _, header := range h {
		if strings.EqualFold(header.Name, name) {
			return header.Value
		}
	}
	return ""
}

// Response is what a service answers on success. The payload belongs to the caller of the service from then on.
type Response struct {
	ContentType string // media type of the payload; empty stands for application/json
	Payload     []byte
}

// Service does one thing on request. It is called concurrently. The context ends when the answer is of no use any more:
// the call's time is over, or the server is stopping and can wait no longer. An error made by [NewError] chooses what the
// caller is told; any other is internal to the caller and goes to the log. [JSON] makes one of a function of Go values.
type Service func(ctx *Context, request Request) (Response, error)
