package testqm

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// conn is a connection of the stand-in, which makes its calls one after the other.
type conn struct {
	manager *Manager
	socket  net.Conn
	ended   chan struct{}
	once    sync.Once

	// What follows is guarded by the manager's lock.
	connected bool
	user      string
	name      string // of the application
	objects   map[int32]*object
	handles   map[int64]*properties
	last      int32 // handle that was given
}

// object is an open object.
type object struct {
	queue   *queue // nil for the queue manager
	options int32
}

// properties are those in a message handle.
type properties struct{ all []Property }

// call is one of the calls of the MQI. It is made under the manager's lock, and may let go of it while it waits.
type call struct {
	name string
	do   func(c *conn, r *request, a *answer) (reason int32, about string)
}

// calls has them at the numbers by which the stand-in knows them.
var calls = []call{
	1:  {"MQCONNX", (*conn).connect},
	2:  {"MQDISC", (*conn).disconnect},
	3:  {"MQOPEN", (*conn).open},
	4:  {"MQCLOSE", (*conn).close},
	5:  {"MQGET", (*conn).get},
	6:  {"MQPUT", (*conn).put},
	7:  {"MQCMIT", (*conn).commit},
	8:  {"MQBACK", (*conn).backOut},
	9:  {"MQINQ", (*conn).inquire},
	10: {"MQCRTMH", (*conn).createHandle},
	11: {"MQDLTMH", (*conn).deleteHandle},
	12: {"MQSETMP", (*conn).setProperty},
	13: {"MQINQMP", (*conn).inquireProperty},
}

// end breaks the connection.
func (c *conn) end() {
	c.once.Do(func() {
		close(c.ended)
		c.socket.Close()
	})
}

func (c *conn) serve() {
	for {
		r, err := readRequest(c.socket)
		if err != nil {
			break
		}
		number := int(r.long())
		if number < 1 || number >= len(calls) {
			break
		}
		a := &answer{}
		reason := c.make(calls[number], r, a)
		if reason == rcConnectionBroken || r.bad || a.send(c.socket, reason) != nil {
			break
		}
	}
	c.end()
	m := c.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endWork(c, false)
	c.closeAll()
	delete(m.conns, c)
}

// make makes one call, with the fault that is due.
func (c *conn) make(one call, r *request, a *answer) int32 {
	m := c.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fault(one.name, false); f != nil {
		c.hold(f.Hold)
		if f.Reason != rcNone {
			m.note(one.name, "injected", f.Reason)
			if f.Reason == rcBackedOut {
				m.endWork(c, false)
			}
			return f.Reason
		}
	}
	if !c.connected && one.name != "MQCONNX" {
		return rcUnexpectedError
	}
	if m.quiescing && one.name != "MQBACK" && one.name != "MQDISC" && one.name != "MQCMIT" {
		m.note(one.name, "", rcQMgrQuiescing)
		return rcQMgrQuiescing
	}
	reason, about := one.do(c, r, a)
	if f := m.fault(one.name, true); f != nil {
		c.hold(f.Hold)
		reason, about, a.bytes = f.Reason, about+" done, then injected", nil
	}
	if one.name != "MQGET" || reason != rcNoMsgAvailable {
		m.note(one.name, about, reason)
	}
	return reason
}

// hold lets a call hang, without the lock.
func (c *conn) hold(until <-chan struct{}) {
	if until == nil {
		return
	}
	c.manager.mu.Unlock()
	defer c.manager.mu.Lock()
	select {
	case <-until:
	case <-c.ended:
	}
}

// maxJournal is how many calls are remembered.
const maxJournal = 10000

func (m *Manager) note(name, about string, reason int32) {
	if len(m.journal) < maxJournal {
		m.journal = append(m.journal, fmt.Sprintf("%s %s %d", name, about, reason))
	}
}

func (c *conn) connect(r *request, _ *answer) (reason int32, about string) {
	manager, options, channel := r.text(), r.long(), r.text()
	_ = r.long() // the longest message
	cipher, _, _ := r.text(), r.text(), r.text()
	repository, _, user, password := r.text(), r.text(), r.text(), r.text()
	c.name = r.text()
	want := c.manager.config
	switch {
	case options&^(cnoShareBlock|cnoNoReconnect) != 0 || options&cnoShareBlock == 0:
		reason = rcOptionsError
	case want.Channel != "" && channel != want.Channel:
		reason = rcUnknownChannelName
	case cipher != want.CipherSpec:
		reason = rcSSLInitialization
	case repository != want.KeyRepository:
		reason = rcKeyRepositoryError
	case want.Name != "" && manager != want.Name:
		reason = rcQMgrNameError
	case want.User != "" && (user != want.User || password != want.Password):
		reason = rcNotAuthorized
	}
	c.user, c.connected = user, reason == rcNone
	return reason, manager
}

// disconnect commits, as MQDISC does.
func (c *conn) disconnect(*request, *answer) (reason int32, about string) {
	c.manager.endWork(c, true)
	c.closeAll()
	c.connected = false
	return rcNone, ""
}

func (c *conn) commit(*request, *answer) (reason int32, about string) {
	c.manager.endWork(c, true)
	return rcNone, ""
}

func (c *conn) backOut(*request, *answer) (reason int32, about string) {
	c.manager.endWork(c, false)
	return rcNone, ""
}

// endWork ends a connection's unit of work.
func (m *Manager) endWork(c *conn, commit bool) {
	for _, q := range m.queues {
		var gone []*Message
		for _, message := range q.messages {
			switch {
			case message.gotBy == c && commit, message.putBy == c && !commit:
				gone = append(gone, message)
			case message.gotBy == c:
				message.gotBy = nil
				message.BackoutCount++
			case message.putBy == c:
				message.putBy, message.putAt = nil, time.Now()
			}
		}
		for _, message := range gone {
			q.remove(message)
		}
	}
	m.wake()
}

func (c *conn) closeAll() {
	for handle := range c.objects {
		c.closeObject(handle)
	}
}

func (c *conn) closeObject(handle int32) {
	if o := c.objects[handle]; o.queue != nil {
		if o.options&ooInputExclusive != 0 {
			o.queue.exclusive--
		}
		if o.options&ooInputShared != 0 {
			o.queue.shared--
		}
	}
	delete(c.objects, handle)
}
