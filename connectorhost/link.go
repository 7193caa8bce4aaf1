package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/relay"
	"zatoha/connectorhost/supervise"
)

// answerTime is how long a child that ends goes on to write answers.
const answerTime = time.Second

// serveSends sends what comes by the link, while run runs. It returns what run does.
func serveSends(ctx context.Context, job *supervise.Job, sender *connector.Sender) error {
	ctx, stop := context.WithCancelCause(ctx) // without the link a child is of no use
	defer stop(nil)
	server := relay.Serve(job.Link, func(ctx context.Context, m relay.Message) relay.Answer { return sendOne(ctx, job, sender, m).answer() }, stop)
	err := sender.Run(ctx)
	if cause := context.Cause(ctx); err == nil && errors.Is(cause, relay.ErrLost) {
		err = cause
	}
	server.Close(answerTime)
	return err
}

// sendOne is the child's side of a message.
func sendOne(ctx context.Context, job *supervise.Job, sender *connector.Sender, m relay.Message) reply {
	message := connector.Message{ID: m.ID, Body: m.Body, ContentType: m.ContentType}
	if m.Properties != "" {
		if err := json.Unmarshal([]byte(m.Properties), &message.Properties); err != nil {
			return reply{status: http.StatusBadRequest, notSent: true, details: headerProperties + ": " + err.Error()}
		}
	}
	if !job.Valid() {
		return refused("the lease of this host has ended")
	}
	return replyTo(sender.Send(ctx, message))
}

func (a reply) answer() relay.Answer {
	return relay.Answer{Status: a.status, NotSent: a.notSent, Details: a.details}
}

// sendBy is the host's side: it hands a message to the child, and returns what became of it.
func sendBy(ctx context.Context, link *relay.Caller, m message) reply {
	a, err := link.Send(ctx, relay.Message{ID: m.id, ContentType: m.contentType, Properties: m.properties, Body: m.body})
	switch {
	case errors.Is(err, relay.ErrNotHandedOver):
		return refused("the connector's process has just ended: " + err.Error())
	case ctx.Err() != nil && err != nil:
		return reply{status: http.StatusGatewayTimeout, details: "the broker did not confirm it in time; it may have the message"}
	case err != nil:
		return reply{status: http.StatusServiceUnavailable, details: fmt.Sprintf("the connector's process did not answer: %v; it may have the message", err)}
	}
	return reply{a.Status, a.NotSent, a.Details}
}
