package amqp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/connector"
)

// classify wraps an error of the library into the one that chooses behaviour.
func classify(err error) error {
	if err == nil || isClassified(err) {
		return err
	}
	class := connector.ErrNotConnected
	var exception *amqp091.Error
	var certificate *tls.CertificateVerificationError
	var host x509.HostnameError
	switch {
	case errors.As(err, &exception):
		class = classOf(exception)
		// The library's text is for programmers.
		if exception.Reason != "" {
			return fmt.Errorf("%w: %s (%d)", class, exception.Reason, exception.Code)
		}
	case errors.As(err, &certificate), errors.As(err, &host):
		class = connector.ErrRefused
	}
	return fmt.Errorf("%w: %w", class, err)
}

func isClassified(err error) bool {
	for _, class := range []error{
		connector.ErrNotConnected, connector.ErrBackOff, connector.ErrHeld, connector.ErrRefused, connector.ErrDefinition, connector.ErrUnfit,
	} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

func classOf(exception *amqp091.Error) error {
	switch exception.Code {
	case amqp091.ResourceLocked:
		return connector.ErrHeld
	case amqp091.AccessRefused:
		if strings.Contains(exception.Reason, "exclusive use") {
			return connector.ErrHeld
		}
		return connector.ErrRefused
	case amqp091.NotFound, amqp091.NotAllowed:
		return connector.ErrRefused
	case amqp091.PreconditionFailed:
		if strings.Contains(exception.Reason, "acknowledgement") { // an unknown delivery tag, or the consumer time-out
			return connector.ErrNotConnected
		}
		return connector.ErrRefused
	}
	return connector.ErrNotConnected
}
