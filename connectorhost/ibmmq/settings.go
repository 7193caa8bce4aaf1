package ibmmq

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"zatoha/connectorhost/connector"
)

func init() { connector.Register("ibmmq", decode) }

// Settings are the fields of a definition that IBM MQ connectors have.
type Settings struct {
	QueueManager    string           `json:"queue_manager"`
	Channel         string           `json:"channel"` // of type SVRCONN
	Host            string           `json:"host"`
	Port            int              `json:"port"`
	Queue           string           `json:"queue"`
	User            string           `json:"user,omitempty"`
	Password        connector.Secret `json:"password"`
	MaxMessageBytes int              `json:"max_message_bytes"`
	PoolSize        int              `json:"pool_size"` // connections, each with a unit of work of its own

	CipherSpec            string           `json:"cipher_spec,omitempty"`
	KeyRepository         string           `json:"key_repository,omitempty"`
	KeyRepositoryPassword connector.Secret `json:"key_repository_password"`
	CertificateLabel      string           `json:"certificate_label,omitempty"`
	PeerName              string           `json:"peer_name,omitempty"`

	// Of channels.
	Wait         time.Duration `json:"wait,omitempty"` // of one MQGET
	Exclusive    bool          `json:"exclusive,omitempty"`
	BackoutQueue string        `json:"backout_queue,omitempty"` // empty for the queue's own, BOQNAME

	// Of outgoing connectors.
	Persistent  bool   `json:"persistent,omitempty"`
	Priority    int    `json:"priority,omitempty"`   // -1 for the queue's own
	Expiry      int32  `json:"expiry,omitempty"`     // in tenths of a second; -1 for none
	ReplyTo     string `json:"reply_to,omitempty"`   // queue
	ReplyToQMgr string `json:"reply_qmgr,omitempty"` // its queue manager

	service  string
	outgoing bool
}

// The defaults, and the bounds of what may be set.
const (
	defaultPort     = 1414
	defaultMaxBytes = 4 << 20   // as MQ's own
	mostMaxBytes    = 100 << 20 // the MQI's limit
	maxPool         = 100
	defaultWait     = 50 // milliseconds: so long may a stop take, and so long nobody has the exclusive hold
	leastWait       = 10
	mostWait        = 3000 // so that a stop is heard within the time for it
	maxPriority     = 9
	queuePriority   = -1
	noExpiry        = -1
)

// Lengths of names, in bytes.
const (
	maxName       = 48
	maxChannel    = 20
	maxConnection = 264
	maxCipher     = 32
	maxRepository = 256
	maxLabel      = 64
	maxUser       = 1024
)

// The delivery modes, by AMQP's numbers.
const (
	notPersistent = 1
	persistent    = 2
)

var validName = regexp.MustCompile(`^[A-Za-z0-9./_%]+$`)

func decode(f *connector.Fields) connector.Settings {
	s := &Settings{
		QueueManager: f.Required("queue_manager"), Channel: name(f, "channel", f.Required("channel"), maxChannel),
		Queue: name(f, "queue", f.Required("queue"), maxName), Host: f.Required("host"),
		Port: f.Int("port", defaultPort, 1, 65535), User: short(f, "user", f.String("user", ""), maxUser), Password: f.Secret("password"),
		MaxMessageBytes: f.Int("max_message_bytes", defaultMaxBytes, 1, mostMaxBytes), PoolSize: f.Int("pool_size", 1, 1, maxPool),
		service: f.Definition.Service, outgoing: f.Definition.Role == connector.Outgoing,
	}
	name(f, "queue_manager", strings.TrimPrefix(s.QueueManager, "*"), maxName) // with a *, any at that address will do
	if s.Host != "" {
		s.checkHost(f)
	}
	if s.User == "" && !s.Password.IsZero() {
		f.Fault("password", "needs a user")
	}
	s.decodeTLS(f)
	if s.outgoing {
		s.decodeOutgoing(f)
	} else {
		s.decodeChannel(f)
	}
	return s
}

// name checks a name of a queue, queue manager or channel.
func name(f *connector.Fields, field, text string, most int) string {
	if text != "" && !validName.MatchString(text) {
		f.Fault(field, "is %q: a name in IBM MQ has letters, digits and . / _ %% only", text)
	}
	return short(f, field, text, most)
}

func short(f *connector.Fields, field, text string, most int) string {
	if len(text) > most {
		f.Fault(field, "has %d bytes, must have at most %d", len(text), most)
	}
	return text
}

// checkHost wants hosts, with commas between them if the queue manager may be at several, as a multi-instance one is.
func (s *Settings) checkHost(f *connector.Fields) {
	for host := range strings.SplitSeq(s.Host, ",") {
		if host = strings.TrimSpace(host); host == "" || strings.ContainsAny(host, " ()/'\"") {
			f.Fault("host", "is %q: use a host name or an address, or several with commas between them; the port has a field of its own", s.Host)
			return
		}
	}
	if n := len(s.connectionName()); n > maxConnection {
		f.Fault("host", "makes a connection name of %d bytes, must be at most %d", n, maxConnection)
	}
}

// connectionName is how the MQI is told where to connect.
func (s *Settings) connectionName() string {
	var names []string
	for host := range strings.SplitSeq(s.Host, ",") {
		names = append(names, fmt.Sprintf("%s(%d)", strings.TrimSpace(host), s.Port))
	}
	return strings.Join(names, ",")
}

func (s *Settings) decodeTLS(f *connector.Fields) {
	s.CipherSpec = short(f, "cipher_spec", f.String("cipher_spec", ""), maxCipher)
	s.KeyRepository = short(f, "key_repository", f.String("key_repository", ""), maxRepository)
	s.KeyRepositoryPassword = f.Secret("key_repository_password")
	s.CertificateLabel = short(f, "certificate_label", f.String("certificate_label", ""), maxLabel)
	s.PeerName = f.String("peer_name", "")
	if s.CipherSpec != "" {
		if s.KeyRepository == "" {
			f.Fault("key_repository", "is missing: TLS needs one, with the certificate of who signed the queue manager's")
		}
		return
	}
	for _, field := range []string{"key_repository", "key_repository_password", "certificate_label", "peer_name"} {
		if f.Has(field) {
			f.Fault(field, "does nothing without cipher_spec: the connection would not be encrypted")
		}
	}
}

func (s *Settings) decodeChannel(f *connector.Fields) {
	s.Wait = time.Duration(f.Int("wait_ms", defaultWait, leastWait, mostWait)) * time.Millisecond
	s.Exclusive = f.Bool("exclusive", s.PoolSize == 1)
	if s.Exclusive && s.PoolSize > 1 {
		f.Fault("exclusive", "needs a pool_size of 1: MQOO_INPUT_EXCLUSIVE lets only one connection in")
	}
	d := f.Definition
	s.BackoutQueue = name(f, "backout_queue", f.String("backout_queue", ""), maxName)
	switch {
	case s.BackoutQueue == "":
		s.BackoutQueue = name(f, "dead_letter", d.DeadLetter, maxName)
	case d.DeadLetter != "" && d.DeadLetter != s.BackoutQueue:
		f.Fault("backout_queue", "and dead_letter mean the same, but differ: leave one out")
	}
	if s.BackoutQueue != "" && s.BackoutQueue == s.Queue {
		f.Fault("backout_queue", "is the queue itself: a parked message would come again at once")
	}
	if !f.Has("backout_threshold") {
		return
	}
	threshold := f.Int("backout_threshold", d.MaxAttempts, 1, 1000)
	if f.Has("max_attempts") && threshold != d.MaxAttempts {
		f.Fault("backout_threshold", "is %d and max_attempts %d, but they mean the same: leave one out", threshold, d.MaxAttempts)
	}
	d.MaxAttempts = threshold
}

func (s *Settings) decodeOutgoing(f *connector.Fields) {
	s.Persistent = f.Int("delivery_mode", persistent, notPersistent, persistent) == persistent
	s.Priority = f.Int("priority", queuePriority, 0, maxPriority)
	var ok bool
	if s.Expiry, ok = expiry(f.String("expiration", "")); !ok {
		f.Fault("expiration", "must be a number of milliseconds, as a text")
	}
	s.ReplyTo, s.ReplyToQMgr, _ = strings.Cut(f.String("reply_to", ""), "@")
	name(f, "reply_to", s.ReplyTo, maxName)
	name(f, "reply_to", s.ReplyToQMgr, maxName)
	if s.ReplyTo == "" && s.ReplyToQMgr != "" {
		f.Fault("reply_to", "names a queue manager, but no queue: use QUEUE or QUEUE@QUEUE.MANAGER")
	}
}

// expiry makes tenths of a second out of milliseconds, rounded up.
func expiry(milliseconds string) (tenths int32, ok bool) {
	if milliseconds == "" {
		return noExpiry, true
	}
	n, err := strconv.ParseUint(milliseconds, 10, 32)
	if err != nil {
		return noExpiry, false
	}
	return int32(max((n+99)/100, 1)), true
}

// InFlight is how many connections there are: each message in flight has a unit of work, and so a connection, of its own.
func (s *Settings) InFlight() int { return s.PoolSize }

// Capabilities depend on how many messages may be in flight.
func (s *Settings) Capabilities() connector.Capabilities {
	return connector.Capabilities{
		Guarantee: connector.AtLeastOnce, Redelivers: true, Counts: true, DeadLetter: true, Transacted: true, Prepare: true,
		Ordered: s.PoolSize == 1, Exclusive: s.Exclusive,
	}
}
