package haproxy

import "time"

// Options are what an operator can choose about our sections. Use [DefaultOptions] and change what differs. Durations
// are written in whole milliseconds. The table in deploy/README.md has every directive, its option, and what it protects.
type Options struct {
	Bind        string // address:port of the plain HTTP front
	TLS         TLS
	StatsSocket string   // path of the runtime API's Unix socket; there is none of ours without
	EventSocket string   // path of the Unix datagram socket at which somebody listens, see [Event]; "" for none
	RelaySocket string   // path of the Unix socket at which old workers hand over their requests, see [Options.Sections]; "" for none
	CheckURI    string   // what health checks ask of a server
	HidePaths   []string // paths, each with all below it, that the front answers with 404
	// TrustedProxies are those before us that say who the client is, by X-Forwarded-For and X-Forwarded-Proto, and what it
	// asked for, by other headers of that kind and X-Real-IP, which are passed on. From anybody else the former are replaced
	// and the latter deleted.
	TrustedProxies []Network

	// HeaderNames says what becomes of names of a request's headers that have other characters than letters, digits and "-":
	// "reject" answers 403; "delete" leaves them out; "preserve" passes them on, but for those that CGI and its like would
	// take for X-Forwarded-For and others of that kind, or for X-Real-IP.
	HeaderNames string

	RateLimit RateLimit
	AccessLog AccessLog

	// Yields says that HAProxy can be told to close the connections to one of its addresses behind their next answers: see
	// [YieldVariable].
	Yields bool

	BufferSize int // bytes; a request that fits can be sent again if its server dies. As many are copied for each, however small
	MaxConn    int // clients' connections at a time; more wait in the kernel
	QueueLimit int // requests that may wait for a server at a time; more are answered with 503

	// BufferRequest reads as much of a body as the buffer holds before a server is asked. Without it a body streams through
	// at once; but a request that the server began to get before HAProxy had all of it is not sent again, and a slow body
	// keeps a server waiting, for ClientTimeout of silence instead of RequestTimeout in all.
	BufferRequest bool

	Retries int // further tries of one request; with 0 no request is sent twice, and none is copied

	// RetryOn are the failures after which a request is tried again, in HAProxy's words; those that programs take are in
	// [Options.Validate]. "conn-failure" is always among them: the request was not sent then. After the others it is only
	// tried again if that is harmless: its method is idempotent, or it has an Idempotency-Key.
	RetryOn []string

	// SlotMaxConn is the limit of connections of every server line that has none of its own, the free ones too, for a data
	// plane that cannot set the limit of a running server. With 0 there is none, and it is set as members come.
	SlotMaxConn int

	RequestTimeout   time.Duration // for a client to send its headers, and as much of its body as the buffer holds
	ClientTimeout    time.Duration // for which a client may send or take nothing in the middle of a request
	KeepAliveTimeout time.Duration // for which a client may keep a connection open without a request
	QueueTimeout     time.Duration // for which a request may wait for a server
	ConnectTimeout   time.Duration // for a connection to a server, and the pause before a second try at the same one
	ServerTimeout    time.Duration // the longest a server may think
	TunnelTimeout    time.Duration // for which nothing may be sent either way through a WebSocket

	CheckInterval     time.Duration // between two health checks of a server
	CheckFastInterval time.Duration // between two while it is in doubt, not longer than that; 0 is a fifth of it
	CheckDownInterval time.Duration // between two while it is down; 0 is twice that of a server that is well
	CheckTimeout      time.Duration // the longest a health check may take
	CheckFall         int           // bad checks in a row that take a server out
	CheckRise         int           // good checks in a row that bring it back

	SlowStart time.Duration // over which a server that comes back gets its full share; 0 gives it at once
	HardStop  time.Duration // how long an old worker may live after a reload
}

// TLS is the HTTPS front. There is none without an address.
type TLS struct {
	Bind         string        // address:port
	Certificate  string        // path of a PEM file with chain and key, or of a directory of such files
	RedirectPort int           // where plain requests are sent to, as clients see it; 0 answers them as they are
	HSTS         time.Duration // for which browsers shall ask for nothing but HTTPS; 0 does not tell them
	MinVersion   string        // the oldest that is spoken: "TLSv1.2", which "" is too, or "TLSv1.3"
}

// DefaultOptions are the measured defaults: with them, a server that is killed or stopped under load costs an
// idempotent client no error. There is no slow start: behind it, the first request to one of a hundred servers was
// seconds late.
func DefaultOptions() Options {
	return Options{
		Bind:      "0.0.0.0:11223",
		TLS:       TLS{MinVersion: oldestTLS},
		CheckURI:  "/zato/ping",
		HidePaths: []string{"/metrics", "/debug/pprof"},

		HeaderNames: rejectNames,

		BufferSize: 48 << 10,
		MaxConn:    10_000,
		QueueLimit: 1000,

		BufferRequest: true,
		Retries:       3,
		RetryOn:       []string{connFailure, "empty-response", responseTimeout},

		RequestTimeout:   10 * time.Second,
		ClientTimeout:    30 * time.Second,
		KeepAliveTimeout: time.Minute,
		QueueTimeout:     5 * time.Second,
		ConnectTimeout:   250 * time.Millisecond,
		ServerTimeout:    30 * time.Second,
		TunnelTimeout:    time.Hour,

		CheckInterval: 250 * time.Millisecond,
		CheckTimeout:  250 * time.Millisecond,
		CheckFall:     2,
		CheckRise:     2,
		HardStop:      5 * time.Minute,
	}
}
