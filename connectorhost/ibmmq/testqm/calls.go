package testqm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"zatoha/connectorhost/ibmmq/testqm/layout"
)

func (c *conn) open(r *request, a *answer) (reason int32, about string) {
	od, good := layout.Of("MQOD").Read(r.memory(), "OD  ")
	options := r.long()
	if !good {
		return rcODError, ""
	}
	o := &object{options: options}
	about = od.Text("ObjectName")
	switch od.Long("ObjectType") {
	case otQueueManager:
		if options&^ooFailIfQuiescing != ooInquire {
			return rcOptionsError, about
		}
	case otQueue:
		o.queue = c.manager.queues[about]
		if o.queue == nil {
			return rcUnknownObjectName, about
		}
	default:
		return rcObjectTypeError, about
	}
	if options&^(ooInputShared|ooInputExclusive|ooOutput|ooInquire|ooFailIfQuiescing) != 0 {
		return rcOptionsError, about
	}
	if q := o.queue; q != nil {
		input, alone := options&(ooInputShared|ooInputExclusive) != 0, options&ooInputExclusive != 0
		if alone && q.shared+q.exclusive > 0 || input && q.exclusive > 0 {
			return rcObjectInUse, about
		}
		if alone {
			q.exclusive++
		} else if input {
			q.shared++
		}
	}
	c.last++
	c.objects[c.last] = o
	a.long(c.last)
	return rcNone, about
}

func (c *conn) close(r *request, _ *answer) (reason int32, about string) {
	handle, options := r.long(), r.long()
	if c.objects[handle] == nil {
		return rcHobjError, ""
	}
	if options != 0 {
		return rcOptionsError, ""
	}
	c.closeObject(handle)
	c.manager.wake()
	return rcNone, ""
}

// opened is the queue of a handle, if it was opened with one of some options.
func (c *conn) opened(handle, options, otherwise int32) (q *queue, reason int32) {
	o := c.objects[handle]
	switch {
	case o == nil:
		return nil, rcHobjError
	case o.options&options == 0 || o.queue == nil:
		return nil, otherwise
	}
	return o.queue, rcNone
}

func (c *conn) get(r *request, a *answer) (reason int32, about string) {
	q, reason := c.opened(r.long(), ooInputShared|ooInputExclusive, rcNotOpenForInput)
	if reason != rcNone {
		return reason, ""
	}
	md, goodMD := layout.Of("MQMD").Read(r.memory(), "MD  ")
	gmo, goodGMO := layout.Of("MQGMO").Read(r.memory(), "GMO ")
	room := int(r.long())
	switch {
	case !goodMD:
		return rcMDError, q.name
	case !goodGMO:
		return rcGMOError, q.name
	}
	options := gmo.Long("Options")
	const known = gmoWait | gmoSyncpoint | gmoNoSyncpoint | gmoAcceptTruncated | gmoFailIfQuiescing | gmoConvert | gmoPropertiesHandle
	if options&^known != 0 || options&(gmoSyncpoint|gmoNoSyncpoint) == 0 {
		return rcOptionsError, q.name
	}
	message, reason := c.await(q, options, gmo.Long("WaitInterval"), matching(md, gmo))
	if message == nil {
		return reason, q.name
	}
	return c.hand(q, message, md, gmo, room, a), q.name
}

// matching says which messages are wanted: a descriptor that still has the identifier of the last message wants that one.
func matching(md, gmo layout.Record) func(*Message) bool {
	options := gmo.Long("MatchOptions")
	if gmo.Long("Version") < 2 {
		options = moMatchMsgID | moMatchCorrelID
	}
	var none, id, correlation [24]byte
	copy(id[:], md.Raw("MsgId"))
	copy(correlation[:], md.Raw("CorrelId"))
	return func(m *Message) bool {
		return (options&moMatchMsgID == 0 || id == none || id == m.ID) &&
			(options&moMatchCorrelID == 0 || correlation == none || correlation == m.CorrelID)
	}
}

// await waits for a message, if it may, without the lock.
func (c *conn) await(q *queue, options, interval int32, matches func(*Message) bool) (*Message, int32) {
	m := c.manager
	late := time.NewTimer(time.Duration(interval) * time.Millisecond)
	defer late.Stop()
	for {
		switch {
		case m.quiescing:
			return nil, rcQMgrQuiescing
		case q.Queue.GetInhibited:
			return nil, rcGetInhibited
		}
		if message := q.next(matches); message != nil {
			return message, rcNone
		}
		if options&gmoWait == 0 {
			return nil, rcNoMsgAvailable
		}
		changed, over := m.changed, false
		m.mu.Unlock()
		select {
		case <-changed:
		case <-late.C:
			over = true
		case <-c.ended:
		}
		m.mu.Lock()
		select {
		case <-c.ended:
			return nil, rcConnectionBroken
		default:
		}
		if over {
			return nil, rcNoMsgAvailable
		}
	}
}

// hand gives a message to its getter.
func (c *conn) hand(q *queue, message *Message, md, gmo layout.Record, room int, a *answer) (reason int32) {
	options := gmo.Long("Options")
	var in *properties
	if gmo.Long("Version") >= 4 {
		in = c.handles[gmo.Handle("MsgHandle")]
	}
	switch {
	case options&gmoPropertiesHandle != 0 && in == nil:
		return rcHmsgError
	case options&gmoPropertiesHandle == 0 && len(message.Properties) > 0:
		return rcUnexpectedError // they would have to be made into an MQRFH2
	}
	if in != nil {
		in.all = slices.Clone(message.Properties)
	}
	if len(message.Body) > room {
		reason = rcTruncatedFailed
		if options&gmoAcceptTruncated != 0 {
			reason = rcTruncatedAccepted
		}
	}
	wanted, body := md.Long("CodedCharSetId"), message.Body
	message.describe(md)
	if options&gmoConvert != 0 && wanted != message.CCSID && reason == rcNone {
		body, reason = message.convert(room)
		if reason == rcNone {
			md.SetLong("CodedCharSetId", wanted)
		}
	}
	a.long(int32(len(body)))
	a.memory(md.Bytes)
	a.memory(body[:min(room, len(body))])
	switch {
	case reason == rcTruncatedFailed:
	case options&gmoSyncpoint != 0:
		message.gotBy = c
	default:
		q.remove(message)
	}
	return reason
}

// convert makes UTF-8 of a text. What tests send is Latin-1, whatever they say.
func (m *Message) convert(room int) (body []byte, reason int32) {
	if m.Format != fmtString {
		return m.Body, rcFormatError
	}
	for _, b := range m.Body {
		body = utf8.AppendRune(body, rune(b))
	}
	if len(body) > room {
		return m.Body, rcConvertedTooBig
	}
	return body, rcNone
}

// describe writes a message's descriptor.
func (m *Message) describe(md layout.Record) {
	copy(md.Raw("MsgId"), m.ID[:])
	copy(md.Raw("CorrelId"), m.CorrelID[:])
	persistence := int32(perNotPersistent)
	if m.Persistent {
		persistence = 1
	}
	for field, value := range map[string]int32{
		"MsgType": m.Type, "Expiry": m.Expiry, "Priority": m.Priority, "Persistence": persistence, "BackoutCount": m.BackoutCount,
		"CodedCharSetId": m.CCSID, "Encoding": m.Encoding,
	} {
		md.SetLong(field, value)
	}
	for field, value := range map[string]string{
		"Format": m.Format, "ReplyToQ": m.ReplyToQ, "ReplyToQMgr": m.ReplyToQMgr, "UserIdentifier": m.UserIdentifier,
		"PutApplName": m.application, "PutDate": m.putAt.UTC().Format("20060102"),
		"PutTime": fmt.Sprintf("%s%02d", m.putAt.UTC().Format("150405"), m.putAt.Nanosecond()/1e7),
	} {
		md.SetText(field, value)
	}
}

func (c *conn) put(r *request, a *answer) (reason int32, about string) {
	q, reason := c.opened(r.long(), ooOutput, rcNotOpenForOutput)
	if reason != rcNone {
		return reason, ""
	}
	md, goodMD := layout.Of("MQMD").Read(r.memory(), "MD  ")
	pmo, goodPMO := layout.Of("MQPMO").Read(r.memory(), "PMO ")
	body := r.memory()
	switch {
	case !goodMD:
		return rcMDError, q.name
	case !goodPMO:
		return rcPMOError, q.name
	}
	options := pmo.Long("Options")
	if options&^(pmoSyncpoint|pmoNoSyncpoint|pmoNewMsgID|pmoFailIfQuiescing) != 0 || options&(pmoSyncpoint|pmoNoSyncpoint) == 0 {
		return rcOptionsError, q.name
	}
	if reason := q.refusal(md, len(body)); reason != rcNone {
		return reason, q.name
	}
	message := c.message(md, body, options&pmoNewMsgID != 0)
	if handle := pmo.Handle("OriginalMsgHandle"); handle != 0 && pmo.Long("Version") >= 3 {
		from := c.handles[handle]
		if from == nil {
			return rcHmsgError, q.name
		}
		message.Properties = slices.Clone(from.all)
	}
	if options&pmoSyncpoint != 0 {
		message.putBy = c
	}
	q.add(message)
	c.manager.wake()
	message.describe(md)
	a.memory(md.Bytes)
	return rcNone, q.name
}

// refusal is why a queue does not take a message.
func (q *queue) refusal(md layout.Record, length int) int32 {
	expiry, priority := md.Long("Expiry"), md.Long("Priority")
	switch {
	case q.Queue.PutInhibited:
		return rcPutInhibited
	case length > q.Queue.MaxMsgLength:
		return rcMsgTooBigForQ
	case len(q.messages) >= q.Queue.MaxDepth:
		return rcQFull
	case expiry != -1 && expiry <= 0:
		return rcExpiryError
	case priority < -1 || priority > 9:
		return rcPriorityError
	case md.Long("MsgType") == mtRequest && md.Text("ReplyToQ") == "":
		return rcMissingReplyToQ
	}
	return rcNone
}

// message makes a message of what is put.
func (c *conn) message(md layout.Record, body []byte, newID bool) *Message {
	message := &Message{
		Body: slices.Clone(body), Format: md.Text("Format"), Type: md.Long("MsgType"), Persistent: md.Long("Persistence") != perNotPersistent,
		Priority: max(md.Long("Priority"), 0), Expiry: md.Long("Expiry"), ReplyToQ: md.Text("ReplyToQ"), ReplyToQMgr: md.Text("ReplyToQMgr"),
		UserIdentifier: c.user, CCSID: md.Long("CodedCharSetId"), Encoding: md.Long("Encoding"), putAt: time.Now(), application: c.name,
	}
	if message.CCSID == ccsiQueueManager {
		message.CCSID = ccsid
	}
	copy(message.ID[:], md.Raw("MsgId"))
	copy(message.CorrelID[:], md.Raw("CorrelId"))
	if newID || message.ID == [24]byte{} {
		c.manager.unique++
		copy(message.ID[:], fmt.Sprintf("AMQ %-12.12s", c.manager.config.Name))
		binary.BigEndian.PutUint64(message.ID[16:], c.manager.unique)
	}
	return message
}

// inquire answers for the few attributes that are known. A text is 48 bytes.
func (c *conn) inquire(r *request, a *answer) (reason int32, about string) {
	o := c.objects[r.long()]
	selectors := r.memory()
	switch {
	case o == nil:
		return rcHobjError, ""
	case o.options&ooInquire == 0:
		return rcNotOpenForInquire, ""
	}
	var numbers answer
	var texts []byte
	for ; len(selectors) >= 4; selectors = selectors[4:] {
		selector := int32(binary.LittleEndian.Uint32(selectors))
		number, text, known := c.attribute(o.queue, selector)
		switch {
		case !known:
			return rcSelectorError, ""
		case selector <= iaLast:
			numbers.long(number)
		default:
			texts = fmt.Appendf(texts, "%-48.48s", text)
		}
	}
	a.memory(numbers.bytes)
	a.memory(texts)
	return rcNone, ""
}

func (c *conn) attribute(q *queue, selector int32) (number int32, text string, known bool) {
	if q == nil {
		return 0, c.manager.config.Name, selector == caQMgrName
	}
	switch selector {
	case caBackoutQueue:
		return 0, q.Queue.BackoutQueue, true
	case iaBackoutThreshold:
		return int32(q.Queue.BackoutThreshold), "", true
	case iaMaxMsgLength:
		return int32(q.Queue.MaxMsgLength), "", true
	case iaCurrentDepth:
		return int32(len(q.messages)), "", true
	}
	return 0, "", false
}
