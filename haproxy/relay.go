package haproxy

import (
	"time"

	"zatoha/haproxy/edit"
)

// After a reload, a client that was idle stays with the old worker for one request more, up to the keep-alive time-out
// later. That worker knows the servers of the time of the reload, checks their health no more, and does not let them be
// changed: where all of them have left meanwhile, it would answer with 503. So it hands such a request over to the
// present worker, by a socket. Whatever rules the front has, the request is behind them already.

// relayInterval is the time between two looks whether the socket can be reached; it cannot from within a chroot.
const relayInterval = time.Second

// relayed sends what comes to an old worker to the present one, if there is a way. It does not ask for the number of
// servers of the relay's backend: in a worker that stops, that is 0.
func (o Options) relayed() []edit.Line {
	if o.RelaySocket == "" {
		return nil
	}
	var s lines
	s.note("use_backend "+relayBackend+" if { stopping } { srv_is_up("+relayBackend+"/newest) }", "after a reload: the new worker knows who is there now")
	return s
}

func (o Options) relayBackend() edit.Section {
	var s lines
	s.note("http-reuse never", "each request to the worker that is the newest then")
	s.note("server newest unix@"+quote(o.RelaySocket)+" check inter "+duration(relayInterval), "the worker after a reload")
	return s.section("backend " + relayBackend + " from " + Defaults)
}

func (o Options) relayFrontend() edit.Section {
	var s lines
	s.note("bind unix@"+quote(o.RelaySocket)+" mode 600", "for workers that a reload has replaced")
	s.add("option idle-close-on-response")
	s.add("default_backend " + Backend)
	return s.section("frontend " + relayFrontend + " from " + Defaults)
}
