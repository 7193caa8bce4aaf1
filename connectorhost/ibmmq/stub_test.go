//go:build !ibmmq || !cgo

package ibmmq

import (
	"context"
	"errors"
	"strings"
	"testing"

	"zatoha/connectorhost/connector"
)

func TestWithoutIBMsClientAConnectorSaysWhatToDo(t *testing.T) {
	d, err := decodeWith(connector.Channel, nil)
	if err != nil {
		t.Fatal(err)
	}
	var last connector.Status
	nobody := connector.InvokerFunc(func(context.Context, connector.Message) error { return nil })
	err = connector.Run(t.Context(), d, nobody, connector.Options{Report: func(s connector.Status) { last = s }})
	if !errors.Is(err, connector.ErrDefinition) || !strings.Contains(err.Error(), "-tags ibmmq") || !strings.Contains(err.Error(), "/opt/mqm") {
		t.Errorf("%v", err)
	}
	if last.State != connector.Failed || !strings.Contains(last.Reason, "built without IBM MQ") || Available {
		t.Errorf("%+v", last)
	}
	out, err := decodeWith(connector.Outgoing, nil)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := connector.NewSender(out, connector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Run(t.Context()); !errors.Is(err, connector.ErrDefinition) {
		t.Errorf("%v", err)
	}
}
