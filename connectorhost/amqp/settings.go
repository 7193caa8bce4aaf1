package amqp

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/connector"
)

func init() { connector.Register("amqp", decode) }

// Settings are the fields of a definition that AMQP connectors have.
type Settings struct {
	URL             connector.Secret `json:"url"`
	Heartbeat       time.Duration    `json:"heartbeat"`
	PoolSize        int              `json:"pool_size"` // AMQP channels: consumers, or publishers
	MaxMessageBytes int              `json:"max_message_bytes"`

	// Of channels.
	Queue             string `json:"queue,omitempty"`
	QueueType         string `json:"queue_type,omitempty"`
	ConsumerTagPrefix string `json:"consumer_tag_prefix,omitempty"`
	PrefetchCount     int    `json:"prefetch_count,omitempty"` // of each consumer
	Exclusive         bool   `json:"exclusive,omitempty"`
	SingleActive      bool   `json:"single_active,omitempty"`
	DeadExchange      string `json:"dead_exchange,omitempty"` // where parked messages are published, and with
	DeadQueue         string `json:"dead_queue,omitempty"`    // which routing key; empty for the message's own

	// Of outgoing connectors.
	Exchange        string `json:"exchange,omitempty"`
	RoutingKey      string `json:"routing_key,omitempty"`
	DeliveryMode    int    `json:"delivery_mode,omitempty"`
	Priority        int    `json:"priority,omitempty"`
	ContentType     string `json:"content_type,omitempty"`
	ContentEncoding string `json:"content_encoding,omitempty"`
	Expiration      string `json:"expiration,omitempty"` // milliseconds
	UserID          string `json:"user_id,omitempty"`
	AppID           string `json:"app_id,omitempty"`
	Confirm         bool   `json:"confirm,omitempty"`
	Mandatory       bool   `json:"mandatory,omitempty"`

	service string
}

// The defaults, and the bounds of what may be set.
const (
	defaultHeartbeat = 5 // seconds; the broker is given up after three
	maxHeartbeat     = 60
	defaultPrefetch  = 20
	maxPrefetch      = 10000
	maxPool          = 100
	defaultMaxBytes  = 16 << 20
	mostMaxBytes     = 128 << 20 // RabbitMQ's own limit, unless it was raised
	maxShort         = 255       // bytes of a short string
	maxHeaders       = 100 << 10 // bytes of all headers: they have to go into one frame, of 128 KiB with RabbitMQ's defaults
	maxPriority      = 255
	sendsPerChannel  = 500 // messages that wait for their confirmation
)

// The queue types.
const (
	classic = "classic"
	quorum  = "quorum"
)

// deadSuffix makes the name of the queue for parked messages out of the queue's.
const deadSuffix = ".dead-letter"

// toExchange marks a dead_letter that names an exchange.
const toExchange = "exchange:"

func decode(f *connector.Fields) connector.Settings {
	s := &Settings{
		URL:             f.Secret("url"),
		Heartbeat:       time.Duration(f.Int("heartbeat", defaultHeartbeat, 1, maxHeartbeat)) * time.Second,
		PoolSize:        f.Int("pool_size", 1, 1, maxPool),
		MaxMessageBytes: f.Int("max_message_bytes", defaultMaxBytes, 1, mostMaxBytes),
		service:         f.Definition.Service,
	}
	s.checkURL(f)
	if f.Definition.Role == connector.Outgoing {
		s.decodeOutgoing(f)
	} else {
		s.decodeChannel(f)
	}
	return s
}

// checkURL never shows the text, which may have a password.
func (s *Settings) checkURL(f *connector.Fields) {
	switch shape := s.URL.Shape("x"); {
	case s.URL.IsZero():
		f.Fault("url", "is missing: use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…")
	case s.URL.Whole():
	case !strings.HasPrefix(shape, "amqp://") && !strings.HasPrefix(shape, "amqps://"):
		f.Fault("url", "must begin with amqp:// or amqps://")
	default:
		if _, err := amqp091.ParseURI(shape); err != nil {
			f.Fault("url", "is no address: use amqp://USER:PASSWORD@HOST:PORT/VHOST, with reserved characters percent-encoded")
		} else if address, err := url.Parse(shape); err != nil || address.Host == "" {
			f.Fault("url", "names no host")
		} else if name := foreign(shape); name != "" {
			f.Fault("url", "has the parameter %s: %s", name, instead)
		}
	}
}

// foreign is a parameter of an address that the library would follow, or seem to, against what the definition says; "" if
// there is none.
func foreign(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "" // found out elsewhere
	}
	parameters := parsed.Query()
	for _, name := range []string{"heartbeat", "connection_timeout", "channel_max"} {
		if parameters.Has(name) {
			return name
		}
	}
	return ""
}

const instead = "leave it out; there is a field heartbeat, and the others are not needed"

func (s *Settings) decodeChannel(f *connector.Fields) {
	s.Queue = short(f, "queue", f.Required("queue"))
	s.QueueType = f.OneOf("queue_type", classic, classic, quorum)
	s.ConsumerTagPrefix = f.String("consumer_tag_prefix", "zatoha-"+f.Definition.Name)
	if len(s.ConsumerTagPrefix) > maxShort/2 {
		f.Fault("consumer_tag_prefix", "has %d bytes, must have at most %d", len(s.ConsumerTagPrefix), maxShort/2)
	}
	s.PrefetchCount = f.Int("prefetch_count", defaultPrefetch, 1, maxPrefetch)
	s.Exclusive = f.Bool("exclusive", false)
	s.SingleActive = f.Bool("single_active", false)
	if s.Exclusive && s.SingleActive {
		f.Fault("single_active", "and exclusive exclude each other: choose one")
	}
	if s.Exclusive && s.QueueType == quorum {
		f.Fault("exclusive", "does nothing on a quorum queue: declare the queue with x-single-active-consumer, and use single_active")
	}
	if (s.Exclusive || s.SingleActive) && s.PoolSize > 1 {
		f.Fault("pool_size", "is %d, must be 1 where only one may consume", s.PoolSize)
	}
	s.DeadQueue = s.Queue + deadSuffix
	if name := f.Definition.DeadLetter; name != "" {
		s.DeadQueue = name
	}
	if exchange, found := strings.CutPrefix(s.DeadQueue, toExchange); found {
		s.DeadExchange, s.DeadQueue = exchange, ""
		if exchange == "" {
			f.Fault("dead_letter", "names no exchange behind %s", toExchange)
		}
	}
	short(f, "dead_letter", s.DeadQueue+s.DeadExchange)
	if s.DeadQueue == s.Queue && s.Queue != "" {
		f.Fault("dead_letter", "is the queue itself: a parked message would come again at once")
	}
}

func (s *Settings) decodeOutgoing(f *connector.Fields) {
	s.Exchange = short(f, "exchange", f.String("exchange", ""))
	s.RoutingKey = short(f, "routing_key", f.String("routing_key", ""))
	if s.Exchange == "" && s.RoutingKey == "" {
		f.Fault("routing_key", "is missing: without an exchange it is the name of the queue")
	}
	s.DeliveryMode = f.Int("delivery_mode", int(amqp091.Persistent), int(amqp091.Transient), int(amqp091.Persistent))
	s.Priority = f.Int("priority", 0, 0, maxPriority)
	s.ContentType = short(f, "content_type", f.String("content_type", ""))
	s.ContentEncoding = short(f, "content_encoding", f.String("content_encoding", ""))
	s.Expiration = f.String("expiration", "")
	if !validExpiration(s.Expiration) {
		f.Fault("expiration", "is %q, must be a number of milliseconds, as a text", s.Expiration)
	}
	s.UserID = short(f, "user_id", f.String("user_id", ""))
	s.AppID = short(f, "app_id", f.String("app_id", ""))
	s.Confirm = f.Bool("confirm", true)
	s.Mandatory = f.Bool("mandatory", true)
	if s.Mandatory && !s.Confirm && f.Has("mandatory") {
		f.Fault("mandatory", "needs confirm: without a confirmation nobody waits for what is returned")
	}
	s.Mandatory = s.Mandatory && s.Confirm
}

// short checks a text that AMQP sends as a short string.
func short(f *connector.Fields, field, text string) string {
	if len(text) > maxShort {
		f.Fault(field, "has %d bytes, must have at most %d", len(text), maxShort)
	}
	return text
}

func validExpiration(text string) bool {
	if text == "" {
		return true
	}
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}

// InFlight is what the broker delivers before it wants an acknowledgement, or what may wait to be confirmed.
func (s *Settings) InFlight() int {
	if s.Queue == "" {
		return s.PoolSize * sendsPerChannel
	}
	return s.PoolSize * s.PrefetchCount
}

// Capabilities depend on the type of the queue, and on how many messages may be in flight.
func (s *Settings) Capabilities() connector.Capabilities {
	ordered := s.InFlight() == 1
	return connector.Capabilities{
		Guarantee: connector.AtLeastOnce, Redelivers: true, DeadLetter: true, Prepare: true,
		Counts:       s.QueueType == quorum,
		Ordered:      ordered,
		Exclusive:    s.Exclusive || s.SingleActive,
		RetryInPlace: s.QueueType != quorum || ordered,
	}
}

// Source consumes from the queue.
func (s *Settings) Source(env connector.Environment) connector.Source {
	return &source{settings: s, env: env}
}

// Sink publishes to the exchange.
func (s *Settings) Sink(env connector.Environment) connector.Sink {
	return &sink{settings: s, env: env}
}
