package ibmmq

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"zatoha/connectorhost/connector"
)

// idLength is how many bytes a message identifier has.
const idLength = 24

// nameOf is the ID of a message: its identifier in hexadecimal, as MQ's own tools show it. stable is false if it has
// none.
func nameOf(identifier []byte) (id string, stable bool) {
	if strings.Trim(string(identifier), "\x00") == "" {
		return connector.RandomID(), false
	}
	return hex.EncodeToString(identifier), true
}

// identifierOf is the message identifier for an ID: what it says in hexadecimal, or else bytes that are the same for the
// same ID, so that a message that is sent again is known again.
func identifierOf(id string) []byte {
	if identifier, err := hex.DecodeString(id); err == nil && len(identifier) == idLength {
		return identifier
	}
	sum := sha256.Sum256([]byte(id))
	return sum[:idLength]
}

// The properties that a parked message has in addition to its own.
const (
	propertyReason    = "zatoha_reason"    // why it was parked
	propertyAttempts  = "zatoha_attempts"  // how often the service was tried
	propertyConnector = "zatoha_connector" // by which connector
	propertyService   = "zatoha_service"   // with which service
	propertyQueue     = "zatoha_queue"     // out of which queue
	propertyParked    = "zatoha_parked"    // when, RFC 3339
	propertyUser      = "zatoha_user"      // who put it, before we did
	propertyPut       = "zatoha_put"       // when, as in its descriptor
	propertyExpiry    = "zatoha_expiry"    // its expiry, in tenths of a second, after which it would be gone
)

// maxReason is how much of a reason goes into the property, in bytes; mq-golang reads no more than 1024.
const maxReason = 1000

// property is a property of a message.
type property struct{ name, value string }

// origin is what a parked message would lose.
type origin struct {
	user, put string
	expiry    int32
}

// parked are the properties of a message that is parked.
func (s *Settings) parked(connectorName string, from origin, outcome connector.Outcome) []property {
	all := []property{
		{propertyReason, connector.Shorten(outcome.Reason, maxReason)},
		{propertyAttempts, strconv.Itoa(outcome.Attempts)},
		{propertyConnector, connectorName},
		{propertyService, s.service},
		{propertyQueue, s.Queue},
		{propertyParked, time.Now().UTC().Format(time.RFC3339)},
	}
	if from.user != "" {
		all = append(all, property{propertyUser, from.user})
	}
	if from.put != "" {
		all = append(all, property{propertyPut, from.put})
	}
	if from.expiry != noExpiry {
		all = append(all, property{propertyExpiry, strconv.Itoa(int(from.expiry))})
	}
	return all
}

// tooBig says why a message of so many bytes is unfit; "" if it is not.
func (s *Settings) tooBig(length int) string {
	if length <= s.MaxMessageBytes {
		return ""
	}
	return fmt.Sprintf("it has %d bytes, more than max_message_bytes, %d", length, s.MaxMessageBytes)
}

// sending is what is put for a message.
type sending struct {
	identifier, correlation []byte
	format                  string
	persistent              bool
	priority                int
	expiry                  int32
	replyTo, replyToQMgr    string
	body                    []byte
	isText                  bool // the body is text in UTF-8
}

// sending makes of a message what is put. What the message's properties say comes before the definition. The error is a
// [connector.ErrUnfit].
func (s *Settings) sending(m connector.Message) (*sending, error) {
	if why := s.tooBig(len(m.Body)); why != "" {
		return nil, fmt.Errorf("%w: %s", connector.ErrUnfit, why)
	}
	out := &sending{
		identifier: identifierOf(m.ID), correlation: make([]byte, idLength), persistent: s.Persistent, priority: s.Priority, expiry: s.Expiry,
		replyTo: s.ReplyTo, replyToQMgr: s.ReplyToQMgr, body: m.Body,
	}
	if out.isText = isText(m.ContentType); out.isText {
		out.format = "MQSTR"
	}
	if format, there := m.Properties["format"]; there {
		out.format = format
	}
	if id, there := m.Properties["correlation_id"]; there && id != "" {
		out.correlation = identifierOf(id)
	}
	if queue, there := m.Properties["reply_to"]; there {
		out.replyTo, out.replyToQMgr, _ = strings.Cut(queue, "@")
	}
	if milliseconds, there := m.Properties["expiration"]; there {
		var ok bool
		if out.expiry, ok = expiry(milliseconds); !ok {
			return nil, fmt.Errorf("%w: its expiration is %q, must be a number of milliseconds", connector.ErrUnfit, milliseconds)
		}
	}
	if len(out.format) > 8 || len(out.replyTo) > maxName || len(out.replyToQMgr) > maxName {
		return nil, fmt.Errorf("%w: its format must have at most 8 bytes, the names in its reply_to at most %d", connector.ErrUnfit, maxName)
	}
	return out, nil
}

// isText says whether a media type is of text, which MQ converts between character sets.
func isText(mediaType string) bool {
	mediaType, _, _ = strings.Cut(strings.ToLower(mediaType), ";")
	mediaType = strings.TrimSpace(mediaType)
	return strings.HasPrefix(mediaType, "text/") || mediaType == "application/json" || mediaType == "application/xml" ||
		strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml")
}
