package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"zatoha/connectorhost/connector"
)

// The headers of a message that a service sends, and of the answer. See the package zatoha/server/outgoing, which sends
// them.
const (
	headerMessageID  = "X-Zato-Message-ID"
	headerKind       = "X-Zato-Connector-Kind"
	headerProperties = "X-Zato-Properties" // a JSON object of texts
	headerOutcome    = "X-Zato-Outcome"    // of an answer that is no 200
	headerDuplicate  = "X-Zato-Duplicate"  // of a 200 for a message that had been sent before
	outcomeNotSent   = "not-sent"
)

// reply is what became of a message.
type reply struct {
	status  int
	notSent bool   // the broker surely does not have it
	details string // why it was not sent
}

// refused is the reply to a message that was never handed to a broker, because of something that may pass.
func refused(details string) reply {
	return reply{status: http.StatusServiceUnavailable, notSent: true, details: details}
}

// replyTo is the reply that an outgoing connector's error means.
func replyTo(err error) reply {
	switch {
	case err == nil:
		return reply{status: http.StatusOK}
	case errors.Is(err, connector.ErrUnfit):
		return reply{status: http.StatusUnprocessableEntity, notSent: true, details: err.Error()}
	case errors.Is(err, connector.ErrNotSent):
		return refused(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return reply{status: http.StatusGatewayTimeout, details: err.Error()}
	}
	return reply{status: http.StatusServiceUnavailable, details: err.Error()}
}

// confirmed is the body of most answers.
var confirmed = []byte(`{"zato_env":{"result":"ZATO_OK"}}` + "\n")

// write answers in the form that servers use too.
func (a reply) write(w http.ResponseWriter) {
	if a.status == http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(confirmed) // whoever hung up does not want it
		return
	}
	var body struct {
		Env struct {
			Result  string `json:"result"`
			Details string `json:"details,omitempty"`
		} `json:"zato_env"`
	}
	body.Env.Result, body.Env.Details = "ZATO_ERROR", a.details
	w.Header().Set("Content-Type", "application/json")
	if a.notSent {
		w.Header().Set(headerOutcome, outcomeNotSent)
	}
	if a.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="connectors"`)
	}
	text, _ := json.Marshal(body) // of texts, which never fails
	w.WriteHeader(a.status)
	_, _ = w.Write(append(text, '\n'))
}
