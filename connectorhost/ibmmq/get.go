//go:build ibmmq && cgo

package ibmmq

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/ibm-messaging/mq-golang/v5/ibmmq"

	"zatoha/connectorhost/connector"
)

const (
	firstBuffer = 64 << 10
	keptBuffer  = 1 << 20 // a larger one is not kept when its message has been read
	converted   = 3       // bytes of UTF-8 that one byte of a text may become
)

// utf8CCSID is MQ's number for UTF-8.
const utf8CCSID = 1208

// get waits once for a message, for a short while; nil if there is none. It is in the unit of work.
func (s *session) get(ctx context.Context, settings *Settings) (*ibmmq.MQMD, []byte, error) {
	var md *ibmmq.MQMD // no result by name: a call that was left alone may set it when it comes back
	var body []byte
	err := s.call(ctx, settings.Wait+callTime, fmt.Sprintf("MQGET from queue %q", settings.Queue), func() (err error) {
		md, body, err = s.getOnce(settings)
		return err
	})
	var known *failed
	switch {
	case err == nil:
		return md, body, nil
	case errors.As(err, &known) && known.code == rcNoMsgAvailable:
		return nil, nil, nil
	case errors.As(err, &known) && known.code == rcBackedOut:
		return nil, nil, errors.Join(err, s.backOut(ctx))
	case errors.As(err, &known) && known.code == rcConvertedTooBig:
		// It came as it was, and would not come again: so it goes back, at the price of a backout that counts, and is got
		// anew with more room.
		s.buffer = make([]byte, min(converted*cap(s.buffer), mostMaxBytes))
		if err := s.backOut(ctx); err != nil {
			return nil, nil, err
		}
		return s.get(ctx, settings)
	}
	return nil, nil, err
}

// getOnce makes one MQGET, and further ones if the buffer is too small.
func (s *session) getOnce(settings *Settings) (*ibmmq.MQMD, []byte, error) {
	if cap(s.buffer) == 0 {
		s.buffer = make([]byte, firstBuffer)
	}
	for {
		md := ibmmq.NewMQMD() // each time: one that was used asks for the same message again
		md.Version, md.CodedCharSetId = ibmmq.MQMD_VERSION_2, utf8CCSID
		gmo := ibmmq.NewMQGMO()
		gmo.Version, gmo.MatchOptions, gmo.MsgHandle = ibmmq.MQGMO_VERSION_4, ibmmq.MQMO_NONE, s.properties
		gmo.WaitInterval = int32(settings.Wait.Milliseconds())
		gmo.Options = ibmmq.MQGMO_SYNCPOINT | ibmmq.MQGMO_WAIT | ibmmq.MQGMO_FAIL_IF_QUIESCING | ibmmq.MQGMO_CONVERT |
			ibmmq.MQGMO_PROPERTIES_IN_HANDLE
		body, length, err := s.input.GetSlice(md, gmo, s.buffer[:0])
		switch code := codeOf(err); {
		case err == nil, harmless(code), code == rcConvertedTooBig && cap(s.buffer) == mostMaxBytes:
			body = bytes.Clone(body)
			if cap(s.buffer) > keptBuffer {
				s.buffer = nil
			}
			return md, body, nil
		case code == rcTruncatedFailed && cap(s.buffer) < mostMaxBytes:
			s.buffer = make([]byte, min(max(converted*length, 2*cap(s.buffer)), mostMaxBytes))
		default:
			return nil, nil, err
		}
	}
}

// received makes a message of what was got.
func (s *Settings) received(md *ibmmq.MQMD, body []byte) connector.Message {
	m := connector.Message{
		Redelivered: md.BackoutCount > 0, Attempt: int(md.BackoutCount) + 1, Body: body, Properties: properties(md), Unfit: s.tooBig(len(body)),
	}
	m.ID, m.Stable = nameOf(md.MsgId)
	return m
}

func properties(md *ibmmq.MQMD) map[string]string {
	all := map[string]string{"priority": strconv.Itoa(int(md.Priority))}
	if md.Format == ibmmq.MQFMT_STRING && md.CodedCharSetId != utf8CCSID {
		all["ccsid"] = strconv.Itoa(int(md.CodedCharSetId)) // it could not be converted
	}
	if correlation, given := nameOf(md.CorrelId); given {
		all["correlation_id"] = correlation
	}
	replyTo := md.ReplyToQ
	if md.ReplyToQMgr != "" {
		replyTo += "@" + md.ReplyToQMgr
	}
	for name, value := range map[string]string{
		"format": md.Format, "reply_to": replyTo, "user_id": md.UserIdentifier, "application": md.PutApplName,
	} {
		if value != "" {
			all[name] = value
		}
	}
	return all
}

// park puts the message in hand to the backout queue, as it was, with properties that say why; in the unit of work.
func (s *session) park(ctx context.Context, queue string, md *ibmmq.MQMD, body []byte, why []property) error {
	return s.call(ctx, callTime, fmt.Sprintf("MQPUT to backout queue %q", queue), func() error {
		for _, p := range why {
			if err := s.properties.SetMP(ibmmq.NewMQSMPO(), p.name, ibmmq.NewMQPD(), p.value); err != nil {
				return err
			}
		}
		pmo := ibmmq.NewMQPMO()
		pmo.Options = ibmmq.MQPMO_SYNCPOINT | ibmmq.MQPMO_FAIL_IF_QUIESCING
		pmo.OriginalMsgHandle = s.properties
		return s.output.Put(parkedDescriptor(md), pmo, body)
	})
}

// parkedDescriptor is the descriptor of a message on the backout queue: what says what the message is stays, but it no
// longer expires, nor asks for reports, which it has had, and a restart does not lose it.
func parkedDescriptor(md *ibmmq.MQMD) *ibmmq.MQMD {
	out := ibmmq.NewMQMD()
	out.Version = ibmmq.MQMD_VERSION_2
	out.MsgType, out.Feedback, out.Format = md.MsgType, md.Feedback, md.Format
	out.Encoding, out.CodedCharSetId, out.Priority = md.Encoding, md.CodedCharSetId, md.Priority
	out.MsgId, out.CorrelId = md.MsgId, md.CorrelId
	out.ReplyToQ, out.ReplyToQMgr = md.ReplyToQ, md.ReplyToQMgr
	out.GroupId, out.MsgSeqNumber, out.Offset = md.GroupId, md.MsgSeqNumber, md.Offset
	out.MsgFlags, out.OriginalLength = md.MsgFlags, md.OriginalLength
	out.Persistence = ibmmq.MQPER_PERSISTENT
	return out
}

// put puts a message, in the unit of work.
func (s *session) put(ctx context.Context, queue string, m *sending) error {
	return s.call(ctx, callTime, fmt.Sprintf("MQPUT to queue %q", queue), func() error {
		md := ibmmq.NewMQMD()
		md.MsgId, md.CorrelId, md.Format, md.Expiry = m.identifier, m.correlation, m.format, m.expiry
		md.ReplyToQ, md.ReplyToQMgr = m.replyTo, m.replyToQMgr
		md.Persistence = ibmmq.MQPER_NOT_PERSISTENT
		if m.persistent {
			md.Persistence = ibmmq.MQPER_PERSISTENT
		}
		if m.priority != queuePriority {
			md.Priority = int32(m.priority)
		}
		if m.isText {
			md.CodedCharSetId = utf8CCSID
		}
		pmo := ibmmq.NewMQPMO()
		pmo.Options = ibmmq.MQPMO_SYNCPOINT | ibmmq.MQPMO_FAIL_IF_QUIESCING
		return s.output.Put(md, pmo, m.body)
	})
}

// originOf is what a message's descriptor says and a parked one's does not.
func originOf(md *ibmmq.MQMD) origin {
	return origin{user: md.UserIdentifier, put: md.PutDate + md.PutTime, expiry: md.Expiry}
}

// identifier shows a message identifier.
func identifier(md *ibmmq.MQMD) string { return hex.EncodeToString(md.MsgId) }
