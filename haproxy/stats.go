package haproxy

import "time"

// Stats are HAProxy's own counters of what is ours in it. They count from the start of the present worker, so anew
// after each reload; a server line's go on when another instance moves in.
type Stats struct {
	Uptime   time.Duration // of the worker, in whole seconds
	Frontend Counters
	Backend  Counters
	Servers  map[string]Counters // by the server's name

	// Full says that the front, or the whole process, has as many connections as it may have: more clients wait in the
	// kernel.
	Full bool

	// DroppedLogs are lines of the log, of requests or of its own, that it could not write without waiting.
	DroppedLogs uint64
}

// Counters are those of the frontend, of the backend or of one server. What HAProxy does not count for one of these is
// 0 there: a frontend has no retries, a backend no check.
type Counters struct {
	Traffic
	InStatus       time.Duration `json:"-"`               // how long the status has been what it is, in whole seconds
	Queue          int           `json:"queue"`           // requests that wait for a connection now
	BytesIn        uint64        `json:"bytes_in"`        // from clients
	BytesOut       uint64        `json:"bytes_out"`       // to clients
	Responses      Responses     `json:"responses"`       // by status class
	Retries        uint64        `json:"retries"`         // requests tried again
	Redispatches   uint64        `json:"redispatches"`    // those tried again at another server
	Denied         uint64        `json:"denied"`          // requests and answers that a rule forbade
	RequestErrors  uint64        `json:"request_errors"`  // requests that were not HTTP, came too slowly, or broke off
	ConnectErrors  uint64        `json:"connect_errors"`  // connections to servers that failed
	ResponseErrors uint64        `json:"response_errors"` // answers that broke off or were not HTTP
	CheckFailures  uint64        `json:"check_failures"`  // health checks that failed
	Downs          uint64        `json:"downs"`           // times that checks took it out
}

// What HAProxy says of a front that takes no connections, because of somebody's command at its runtime socket.
const (
	Paused = "PAUSED" // disable frontend; to be undone by enable frontend
	Shut   = "STOP"   // shutdown frontend; to be undone by a reload alone
)

// Closed says whether these are the counters of a front that takes no connections. Those that it has go on.
func (c Counters) Closed() bool { return c.Status == Paused || c.Status == Shut }

// Responses counts answers by the first digit of their status; what has no class that HTTP knows is under 0.
type Responses [6]uint64
