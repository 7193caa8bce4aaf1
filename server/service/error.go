package service

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what went wrong in terms that every way of calling a service can express.
type Kind int

// The kinds of errors. Internal is what an error is that says nothing else.
const (
	Internal     Kind = iota
	BadRequest        // the request makes no sense to the service
	NotFound          // what the request is about does not exist
	Unauthorized      // the caller did not say, or prove, who it is
	Forbidden         // the caller is known and may not do this
	Conflict          // the state of things does not allow it
	TooLarge          // the request is over a limit
	Unavailable       // it could work later, or on another server
	Timeout           // it took too long
)

var kindNames = [...]string{
	"internal", "bad request", "not found", "unauthorized", "forbidden", "conflict", "too large", "unavailable", "timeout",
}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Error is an error that a service shows to its caller.
type Error struct {
	Kind    Kind
	Details string // told to the caller, unless the kind is Internal
	Cause   error  // for the log only; may be nil
}

// NewError is how a service fails: details are for the caller, the cause (which may be nil) is for the log.
func NewError(kind Kind, details string, cause error) error {
	return &Error{Kind: kind, Details: details, Cause: cause}
}

func (e *Error) Error() string {
	text := e.Kind.String() + ": " + e.Details
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// Classify tells what a caller may know of an error that a service returned. Nothing of an internal one: its text may
// hold what is nobody's business, so the caller is left with the CID to ask about.
func Classify(err error) (kind Kind, details string) {
	var failure *Error
	switch {
	case errors.As(err, &failure) && failure.Kind != Internal:
		return failure.Kind, failure.Details
	case failure != nil:
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout, "the service took too long"
	}
	return Internal, "internal error, the log has more under this cid"
}
