package haproxy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"zatoha/haproxy/edit"
)

func (o Options) backend(servers []Server) edit.Section {
	var s lines
	s.add("balance roundrobin")
	s = append(s, o.repeating("server")...)
	s.add("option httpchk")
	s.add("http-check send meth GET uri " + o.CheckURI + " ver HTTP/1.1 hdr Host " + Backend)
	s.note("http-check expect ! rstatus ^5", "any other answer is a sign of life")
	if o.EventSocket != "" {
		s.note("log "+quote(o.EventSocket)+" format raw local0 notice", "to the controller, which ends the sessions of servers that went down")
	}
	s.note(o.defaultServer(o.CheckRise), "fastinter in doubt, downinter while down; nothing waits for a server that is out")
	for _, server := range servers {
		line := server.line()
		if o.SlotMaxConn > 0 && !server.Free() && server.MaxConn == 0 {
			line.Text += " maxconn 0" // none, and not that of its slot
		}
		s = append(s, line)
	}
	return s.section("backend " + Backend + " from " + Defaults)
}

// repeating are the rules about sending a request again, to another server or to another of what else there is to send
// to.
//
// The body is waited for by the option, for as long as the whole request may take, and not by http-request wait-for-body,
// whose own time would be a second limit for the same thing.
func (o Options) repeating(to string) []edit.Line {
	var s lines
	switch {
	case o.BufferRequest && o.sendsAgain():
		s.note("option http-buffer-request", "the body is read first, so that it can be sent again")
	case o.BufferRequest:
		s.note("option http-buffer-request", "the body is read first, so that a slow one keeps no server waiting")
	}
	if o.Retries == 0 {
		s.note("retries 0", "nothing is sent again, so nothing is copied for that")
		return s
	}
	s.note("option redispatch 1", "a further try goes to another "+to)
	s.add(fmt.Sprintf("retries %d", o.Retries))
	s.add("retry-on " + strings.Join(o.RetryOn, " "))
	if o.sendsAgain() {
		s.note("http-request disable-l7-retry unless { method GET HEAD OPTIONS TRACE PUT DELETE } || { req.hdr(Idempotency-Key) -m found }",
			"what may have been executed is sent again only if that is harmless")
	}
	return s
}

// sendsAgain says whether a request that a server has got may go to another one.
func (o Options) sendsAgain() bool {
	return o.Retries > 0 && slices.ContainsFunc(o.RetryOn, func(failure string) bool { return failure != connFailure })
}

// fastInterval is the time between two checks of a server in doubt.
func (o Options) fastInterval() time.Duration {
	return cmp.Or(o.CheckFastInterval, max(o.CheckInterval/5, time.Millisecond))
}

// defaultServer says how servers are checked. So many checks in a row that are good bring one back.
func (o Options) defaultServer(rise int) string {
	text := fmt.Sprintf("default-server check inter %s fastinter %s downinter %s fall %d rise %d", duration(o.CheckInterval),
		duration(o.fastInterval()), duration(cmp.Or(o.CheckDownInterval, 2*o.CheckInterval)), o.CheckFall, rise)
	if o.SlotMaxConn > 0 {
		text += fmt.Sprintf(" maxconn %d", o.SlotMaxConn)
	}
	if o.SlowStart > 0 {
		text += " slowstart " + duration(o.SlowStart)
	}
	if o.EventSocket == "" {
		text += " on-marked-down shutdown-sessions"
	}
	return text
}
