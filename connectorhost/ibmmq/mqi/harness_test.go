//go:build ibmmq && cgo

package mqi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"testing"

	"github.com/ibm-messaging/mq-golang/v5/ibmmq"
	"go.uber.org/goleak"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/ibmmq/testqm"
)

// harness is a queue with its backout queue. What other people do with them is done by mq-golang too.
type harness struct {
	direct map[string]any // how to reach the queue manager, whatever happens between it and the connector
	fields map[string]any // of connectors
	manage *testqm.Manager
	proxy  *conformance.Proxy // if the queue manager itself is not stopped
}

// newHarness makes harnesses whose connectors have further fields.
func newHarness(more map[string]any, proxied bool) conformance.Factory {
	return func(t *testing.T) conformance.Harness {
		h := &harness{direct: real(t)}
		if h.direct == nil {
			h.manage = startManager(t, testqm.Config{})
			h.direct = fieldsOf(h.manage)
			h.direct["backout_queue"] = backoutName
		}
		h.fields = maps.Clone(h.direct)
		if proxied || h.manage == nil {
			h.proxy = conformance.NewProxy(t, net.JoinHostPort(h.direct["host"].(string), fmt.Sprint(h.direct["port"])))
			at := netip.MustParseAddrPort(h.proxy.Address)
			h.fields["host"], h.fields["port"] = at.Addr().String(), int(at.Port())
		}
		maps.Copy(h.fields, more)
		h.take(t, h.text("queue"))
		h.take(t, h.text("backout_queue"))
		return h
	}
}

func (h *harness) text(field string) string {
	text, _ := h.direct[field].(string)
	return text
}

func (h *harness) Channel(*testing.T) map[string]any { return maps.Clone(h.fields) }

func (h *harness) Outgoing(*testing.T) map[string]any {
	fields := maps.Clone(h.fields)
	for _, ofChannels := range []string{"backout_queue", "exclusive"} {
		delete(fields, ofChannels)
	}
	return fields
}

func (h *harness) Start(t *testing.T) {
	if h.proxy != nil {
		h.proxy.Up()
		return
	}
	must(t, h.manage.Start())
}

func (h *harness) Stop(*testing.T) {
	if h.proxy != nil {
		h.proxy.Down()
		return
	}
	h.manage.Stop()
}

// Name is the message identifier, in hexadecimal.
func (h *harness) Name(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:24])
}

// admin does something on a connection of its own.
func (h *harness) admin(t *testing.T, queue string, options int32, do func(*ibmmq.MQQueueManager, ibmmq.MQObject) error) {
	t.Helper()
	cd := ibmmq.NewMQCD()
	cd.ChannelName, cd.ConnectionName = h.text("channel"), fmt.Sprintf("%s(%v)", h.text("host"), h.direct["port"])
	cno := ibmmq.NewMQCNO()
	cno.ClientConn, cno.Options = cd, ibmmq.MQCNO_HANDLE_SHARE_BLOCK
	if cipher := h.text("cipher_spec"); cipher != "" {
		cd.SSLCipherSpec = cipher
		cno.SSLConfig = ibmmq.NewMQSCO()
		cno.SSLConfig.KeyRepository = h.text("key_repository")
	}
	if user := h.text("user"); user != "" {
		cno.SecurityParms = ibmmq.NewMQCSP()
		cno.SecurityParms.UserId, cno.SecurityParms.Password = user, h.text("password")
	}
	manager, err := ibmmq.Connx(h.text("queue_manager"), cno)
	must(t, err)
	defer manager.Disc() //nolint:errcheck // nothing is left to be done about it
	od := ibmmq.NewMQOD()
	od.ObjectName = queue
	object, err := manager.Open(od, options)
	if err == nil {
		err = errors.Join(do(&manager, object), object.Close(0))
	}
	must(t, err)
}

func (h *harness) Put(t *testing.T, id string, body []byte) {
	h.admin(t, h.text("queue"), ibmmq.MQOO_OUTPUT, func(_ *ibmmq.MQQueueManager, queue ibmmq.MQObject) error {
		md, pmo := ibmmq.NewMQMD(), ibmmq.NewMQPMO()
		md.MsgId, _ = hex.DecodeString(h.Name(id))
		md.Persistence = ibmmq.MQPER_PERSISTENT
		pmo.Options = ibmmq.MQPMO_NO_SYNCPOINT
		return queue.Put(md, pmo, body)
	})
}

func (h *harness) Waiting(t *testing.T) (depth int) {
	h.admin(t, h.text("queue"), ibmmq.MQOO_INQUIRE, func(_ *ibmmq.MQQueueManager, queue ibmmq.MQObject) error {
		attributes, err := queue.Inq([]int32{ibmmq.MQIA_CURRENT_Q_DEPTH})
		if err == nil {
			depth = int(attributes[ibmmq.MQIA_CURRENT_Q_DEPTH].(int32))
		}
		return err
	})
	return depth
}

func (h *harness) Parked(t *testing.T) []conformance.Parked {
	return h.take(t, h.text("backout_queue"))
}

// take empties a queue.
func (h *harness) take(t *testing.T, name string) (all []conformance.Parked) {
	h.admin(t, name, ibmmq.MQOO_INPUT_SHARED, func(manager *ibmmq.MQQueueManager, queue ibmmq.MQObject) error {
		handle, err := manager.CrtMH(ibmmq.NewMQCMHO())
		if err != nil {
			return err
		}
		buffer := make([]byte, 0, 5<<20)
		for {
			md, gmo := ibmmq.NewMQMD(), ibmmq.NewMQGMO()
			gmo.MsgHandle = handle
			gmo.Options = ibmmq.MQGMO_NO_SYNCPOINT | ibmmq.MQGMO_PROPERTIES_IN_HANDLE
			body, _, err := queue.GetSlice(md, gmo, buffer)
			var failed *ibmmq.MQReturn
			if errors.As(err, &failed) && failed.MQRC == ibmmq.MQRC_NO_MSG_AVAILABLE {
				return nil
			}
			if err != nil {
				return err
			}
			_, reason, _ := handle.InqMP(ibmmq.NewMQIMPO(), ibmmq.NewMQPD(), "zatoha_reason")
			text, _ := reason.(string)
			all = append(all, conformance.Parked{ID: hex.EncodeToString(md.MsgId), Body: append([]byte(nil), body...), Reason: text})
		}
	})
	return all
}

// Ordered is a pool of one; the fields may have more.
func (h *harness) Ordered() map[string]any { return map[string]any{"pool_size": 1} }

func (h *harness) Exclusive() map[string]any {
	return map[string]any{"pool_size": 1, "exclusive": true}
}

func (h *harness) Limited(bytes int) map[string]any {
	return map[string]any{"max_message_bytes": bytes}
}

// theirs are goroutines of the test queue manager and the proxy, which outlive a case in which they are started anew.
var theirs = []goleak.Option{
	goleak.IgnoreAnyFunction("zatoha/connectorhost/ibmmq/testqm.(*Manager).accept"),
	goleak.IgnoreAnyFunction("zatoha/connectorhost/ibmmq/testqm.(*conn).serve"),
	goleak.IgnoreAnyFunction("zatoha/connectorhost/conformance.(*Proxy).pass"),
}

func TestAnExclusiveChannelConforms(t *testing.T) {
	conformance.Run(t, "ibmmq", newHarness(nil, true), theirs...)
}

// A proxy would cut the connections of a pool one after the other, and one that is left for a moment gets what another
// had in hand.
func TestAPoolOfConnectionsConforms(t *testing.T) {
	conformance.Run(t, "ibmmq", newHarness(map[string]any{"pool_size": 4}, false), theirs...)
}
