// Package testqm is a queue manager for tests: it does what the published MQI says about queues, units of work, backout
// counts, waits, exclusive opens and message properties, in memory, and fails when it is told to. The stand-in for IBM's
// library (connectorhost/ibmmq/standin) talks to it. It is written by us, and no proof of how IBM MQ behaves.
//
// One case, walked through. A test starts a [Manager] and defines the queue ORDERS. A connector, by mq-golang and the
// stand-in, connects, opens ORDERS and gets a message under syncpoint: it is locked, and nobody else can get it. The test
// tells the manager to [Manager.Inject] a broken connection at the next MQCMIT. The connector's MQCMIT ends with 2009,
// the unit of work is backed out, and the message is at its old place in ORDERS, with a backout count of 1.
//
// What is not known, a call, an option, a selector, is refused by its reason code, never passed over.
package testqm

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// Config says what a manager wants of those who connect. What is empty is not looked at.
type Config struct {
	Name          string // of the queue manager
	Channel       string
	User          string
	Password      string
	CipherSpec    string
	KeyRepository string
}

// Manager is a queue manager. It is safe for concurrent use.
type Manager struct {
	config  Config
	address string

	mu        sync.Mutex
	listener  net.Listener // nil while it is stopped
	conns     map[*conn]bool
	queues    map[string]*queue
	changed   chan struct{} // closed, and replaced, when somebody who waits should look again
	quiescing bool
	faults    []*Fault
	journal   []string
	unique    uint64
	serving   sync.WaitGroup
}

// Queue are the attributes of a queue.
type Queue struct {
	BackoutQueue     string // BOQNAME
	BackoutThreshold int    // BOTHRESH
	MaxDepth         int    // 0 stands for 5000
	MaxMsgLength     int    // 0 stands for 4 MiB
	GetInhibited     bool
	PutInhibited     bool
}

type queue struct {
	name      string
	Queue     Queue
	messages  []*Message // in the order in which they are got
	shared    int        // handles open for input
	exclusive int
}

// Message is a message as it lies in a queue.
type Message struct {
	ID, CorrelID   [24]byte
	Body           []byte
	Format         string
	Type           int32 // MQMT_…
	Persistent     bool
	Priority       int32
	Expiry         int32 // in tenths of a second; -1 for none
	ReplyToQ       string
	ReplyToQMgr    string
	UserIdentifier string
	CCSID          int32
	Encoding       int32
	BackoutCount   int32
	Properties     []Property

	putAt       time.Time
	gotBy       *conn // whose unit of work has got it
	putBy       *conn // whose unit of work has put it
	application string
}

// Property is a property of a message.
type Property struct {
	Name  string
	Type  int32
	Value []byte
}

// Text is the value of a message's text property; "" if there is none.
func (m *Message) Text(property string) string {
	for _, p := range m.Properties {
		if p.Name == property && p.Type == typeString {
			return string(p.Value)
		}
	}
	return ""
}

// Fault is something that goes wrong at calls to come.
type Fault struct {
	Call   string // "MQCMIT"
	Reason int32  // with which it fails; 2009 breaks the connection
	After  bool   // only when the call has been done
	Times  int    // 0 stands for 1
	Hold   <-chan struct{}
}

// New makes a manager, and starts it, on a free port of 127.0.0.1 that it keeps.
func New(config Config) (*Manager, error) {
	m := &Manager{
		config: config, address: "127.0.0.1:0", conns: map[*conn]bool{}, queues: map[string]*queue{}, changed: make(chan struct{}),
	}
	return m, m.Start()
}

// Start starts a stopped manager.
func (m *Manager) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener != nil {
		return errors.New("testqm: it is running")
	}
	listener, err := net.Listen("tcp", m.address)
	if err != nil {
		return err
	}
	m.listener, m.address, m.quiescing = listener, listener.Addr().String(), false
	m.serving.Go(func() { m.accept(listener) })
	return nil
}

// Stop ends the manager at once: units of work are backed out, what is not persistent is lost. It returns when all has
// ended.
func (m *Manager) Stop() {
	m.mu.Lock()
	if m.listener != nil {
		m.listener.Close()
		m.listener = nil
	}
	for c := range m.conns {
		c.end()
	}
	m.wake()
	m.mu.Unlock()
	m.serving.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.queues {
		q.messages = slices.DeleteFunc(q.messages, func(message *Message) bool { return !message.Persistent })
	}
}

func (m *Manager) accept(listener net.Listener) {
	for {
		socket, err := listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		if m.listener != listener {
			m.mu.Unlock()
			socket.Close()
			return
		}
		c := &conn{manager: m, socket: socket, ended: make(chan struct{}), objects: map[int32]*object{}, handles: map[int64]*properties{}}
		m.conns[c] = true
		m.serving.Go(c.serve)
		m.mu.Unlock()
	}
}

// Address is where it listens, host and port.
func (m *Manager) Address() (host string, port int) {
	at, _ := net.ResolveTCPAddr("tcp", m.address)
	return at.IP.String(), at.Port
}

// Define makes a queue, or changes its attributes.
func (m *Manager) Define(name string, attributes Queue) {
	if attributes.MaxDepth == 0 {
		attributes.MaxDepth = 5000
	}
	if attributes.MaxMsgLength == 0 {
		attributes.MaxMsgLength = 4 << 20
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.queues[name] == nil {
		m.queues[name] = &queue{name: name}
	}
	m.queues[name].Queue = attributes
	m.wake()
}

// Put puts a persistent message without a format, and without a unit of work.
func (m *Manager) Put(name string, id [24]byte, body []byte) {
	m.Add(name, &Message{ID: id, Body: slices.Clone(body), Type: 8, Persistent: true, Expiry: -1, CCSID: ccsid, UserIdentifier: "tester"})
}

// Add puts a message that says all about itself.
func (m *Manager) Add(name string, message *Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	message.putAt = time.Now()
	m.queues[name].add(message)
	m.wake()
}

// Depth is how many messages a queue has: those that can be got, and those that units of work have got.
func (m *Manager) Depth(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, message := range m.queues[name].messages {
		if message.putBy == nil {
			n++
		}
	}
	return n
}

// Take takes out the messages that can be got.
func (m *Manager) Take(name string) (taken []*Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues[name]
	q.messages = slices.DeleteFunc(q.messages, func(message *Message) bool {
		free := message.free()
		if free {
			taken = append(taken, message)
		}
		return free
	})
	return taken
}

// Inject lets calls to come fail.
func (m *Manager) Inject(fault Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fault.Times = max(fault.Times, 1)
	m.faults = append(m.faults, &fault)
}

// Quiesce lets every call fail with MQRC_Q_MGR_QUIESCING, until the manager is stopped.
func (m *Manager) Quiesce() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quiescing = true
	m.wake()
}

// Break breaks all connections, without a word.
func (m *Manager) Break() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		c.end()
	}
}

// Connections is how many there are.
func (m *Manager) Connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns)
}

// Journal are the calls that were made, "MQOPEN ORDERS 2085", without the MQGETs that found nothing.
func (m *Manager) Journal() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.journal)
}

// wake lets those who wait look again.
func (m *Manager) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// fault takes the fault that is due at a call.
func (m *Manager) fault(call string, after bool) *Fault {
	for i, f := range m.faults {
		if f.Call == call && f.After == after {
			if f.Times--; f.Times == 0 {
				m.faults = slices.Delete(m.faults, i, i+1)
			}
			return f
		}
	}
	return nil
}

func (m *Message) free() bool { return m.gotBy == nil && m.putBy == nil }

func (m *Message) expired() bool {
	return m.Expiry >= 0 && time.Since(m.putAt) > time.Duration(m.Expiry)*time.Second/10
}

// add puts a message behind those of its priority.
func (q *queue) add(message *Message) {
	at := len(q.messages)
	for at > 0 && q.messages[at-1].Priority < message.Priority {
		at--
	}
	q.messages = slices.Insert(q.messages, at, message)
}

// next is the first message that can be got and matches.
func (q *queue) next(matches func(*Message) bool) *Message {
	q.messages = slices.DeleteFunc(q.messages, func(message *Message) bool { return message.free() && message.expired() })
	i := slices.IndexFunc(q.messages, func(message *Message) bool { return message.free() && matches(message) })
	if i < 0 {
		return nil
	}
	return q.messages[i]
}

func (q *queue) remove(message *Message) {
	q.messages = slices.DeleteFunc(q.messages, func(other *Message) bool { return other == message })
}
