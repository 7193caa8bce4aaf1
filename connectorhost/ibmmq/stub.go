//go:build !ibmmq || !cgo

package ibmmq

import (
	"context"
	"fmt"

	"zatoha/connectorhost/connector"
)

// Available says whether this program can connect to IBM MQ.
const Available = false

// errNotBuilt is what every connector of the kind ends with in a program that was built without IBM's client.
var errNotBuilt = fmt.Errorf("%w: this program was built without IBM MQ: install IBM's MQ client with its SDK in /opt/mqm, and gcc, "+
	"and build with: CGO_ENABLED=1 go build -tags ibmmq -o bin/ ./connectorhost", connector.ErrDefinition)

// absent is a source and a sink that only say so.
type absent struct{}

// Source consumes from the queue.
func (s *Settings) Source(connector.Environment) connector.Source { return absent{} }

// Sink puts to the queue.
func (s *Settings) Sink(connector.Environment) connector.Sink { return absent{} }

func (absent) Connect(context.Context) error { return errNotBuilt }
func (absent) Start(context.Context) error   { return errNotBuilt }

func (absent) Receive(context.Context) (connector.Delivery, error) {
	return connector.Delivery{}, errNotBuilt
}
func (absent) Send(context.Context, connector.Message) error { return errNotBuilt }
func (absent) Wait(context.Context) error                    { return errNotBuilt }
func (absent) Stop(context.Context) error                    { return nil }
func (absent) Close(context.Context) error                   { return nil }
