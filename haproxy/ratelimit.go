package haproxy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"zatoha/haproxy/edit"
)

// RateLimit is how many requests one client may send in a period, counted over a sliding window. The zero value is no
// limit.
type RateLimit struct {
	Requests int
	Period   time.Duration
}

// longestPeriod keeps the table of clients from growing old.
const longestPeriod = time.Hour

// UnmarshalText reads "100/10s": 100 requests in ten seconds. "off" and the empty text are no limit.
func (r *RateLimit) UnmarshalText(text []byte) error {
	if len(text) == 0 || string(text) == "off" {
		*r = RateLimit{}
		return nil
	}
	count, per, found := strings.Cut(string(text), "/")
	requests, err := strconv.Atoi(count)
	if !found || err != nil || requests < 1 || requests > 1_000_000_000 {
		return fmt.Errorf("%q: must be a number of requests and a period, like 100/10s, or off", text)
	}
	period, err := time.ParseDuration(per)
	if err != nil || period < time.Second || period > longestPeriod || period%time.Second != 0 {
		return fmt.Errorf("%q: the period must be whole seconds, from 1s to %s", text, longestPeriod)
	}
	*r = RateLimit{Requests: requests, Period: period}
	return nil
}

// String is the inverse of UnmarshalText.
func (r RateLimit) String() string {
	if r.Requests == 0 {
		return "off"
	}
	return fmt.Sprintf("%d/%s", r.Requests, r.Period)
}

// lines count the requests of each client's address in a table, of IPv6 of each network of 64 bits, and refuse those
// above the limit. The table is lost at a reload, which at worst gives a client one more period's worth.
func (r RateLimit) lines() []edit.Line {
	if r.Requests == 0 {
		return nil
	}
	var s lines
	period := duration(r.Period)
	s.note(fmt.Sprintf("stick-table type ipv6 size 100k expire %s store http_req_rate(%s)", period, period), "the oldest entry makes room for a new one")
	s.add("http-request track-sc0 src,ipmask(32,64)")
	s.add(fmt.Sprintf("http-request deny deny_status 429 if { sc_http_req_rate(0) gt %d }", r.Requests))
	return s
}
