package service

import (
	"errors"
	"strings"
	"time"
)

// echo answers with what it was sent.
func echo(_ *Context, request Request) (Response, error) {
	return Response{ContentType: request.ContentType, Payload: request.Payload}, nil
}

// longestNote is how many bytes of a payload demo.log writes.
const longestNote = 1000

// note logs what it was sent, and answers with it, for who wants to see messages arrive.
func note(ctx *Context, request Request) (Response, error) {
	payload := request.Payload[:min(len(request.Payload), longestNote)]
	ctx.Logger().Info("a message has come", "channel", ctx.Channel(), "bytes", len(request.Payload), "payload", strings.ToValidUTF8(string(payload), "?"))
	return echo(ctx, request)
}

// parcel is what demo.send is asked to send.
type parcel struct {
	Kind    string            `json:"kind" required:"true"`
	Name    string            `json:"name" required:"true"`
	ID      string            `json:"id,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Payload string            `json:"payload"`
}

// pass sends by an outgoing connection, for who wants to try one.
func pass(ctx *Context, in parcel) (map[string]string, error) {
	message := Message{Payload: []byte(in.Payload), ID: in.ID, Headers: in.Headers}
	if err := ctx.Outgoing(in.Kind, in.Name).Send(ctx, message); err != nil {
		return nil, err
	}
	return map[string]string{"sent": in.Name}, nil
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
