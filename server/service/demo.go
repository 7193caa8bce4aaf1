package service

import (
	"errors"
	"time"
)

// echo answers with what it was sent.
func echo(_ *Context, request Request) (Response, error) {
	return Response{ContentType: request.ContentType, Payload: request.Payload}, nil
}

const longestNap = time.Minute

// nap is what demo.sleep is asked for and answers.
type nap struct {
	Milliseconds int64 `json:"ms"`
}

// Validate implements [Validator].
func (n nap) Validate() error {
	if n.Milliseconds < 0 || n.Milliseconds > longestNap.Milliseconds() {
		return errors.New("ms: must be from 0 to 60000")
	}
	return nil
}

// rest takes the time it is asked for, 0 to 60,000 ms, for who wants to see how the system copes with slow services.
func rest(ctx *Context, in nap) (nap, error) {
	timer := time.NewTimer(time.Duration(in.Milliseconds) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return in, nil
	case <-ctx.Done():
		return nap{}, ctx.Err()
	}
}
