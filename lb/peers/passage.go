package peers

import (
	"errors"

	"github.com/rs/zerolog"
)

// Report is what [Peers.Report] knows.
type Report struct {
	Others []Peer // by ID; never nil
	Exchange
}

// Exchange is whether the words of the load balancers get through. The errors are those of the last attempt, "" if it
// went well; the counts only grow.
type Exchange struct {
	WriteError    string `json:"write_error,omitempty"` // why the others cannot be told what was applied
	ReadError     string `json:"read_error,omitempty"`  // why it cannot be read what they have applied
	WriteFailures uint64 `json:"write_failures_total"`
	ReadFailures  uint64 `json:"read_failures_total"`
}

// errSilence is that nothing can be read, though nobody has said so.
var errSilence = errors.New("what this load balancer has written does not come back: Consul's agent, or its servers, answer no watch")

// passage is one way of the words: to Consul, or from there.
type passage struct {
	fails, again string // for the log, when it begins to fail, and when that is over
	err          error  // of the last attempt
	failures     uint64
}

// note takes the outcome of an attempt. The log has the first of several failures alone.
func (w *passage) note(log zerolog.Logger, err error) {
	before := w.err
	w.err = err
	if err != nil {
		w.failures++
	}
	switch {
	case err != nil && before == nil:
		log.Warn().Err(err).Msg(w.fails)
	case err == nil && before != nil:
		log.Info().Msg(w.again)
	}
}

func (w *passage) why() string {
	if w.err == nil {
		return ""
	}
	return w.err.Error()
}

// exchange is a copy of both. The caller holds the lock.
func (p *Peers) exchange() Exchange {
	return Exchange{
		WriteError: p.writing.why(), WriteFailures: p.writing.failures,
		ReadError: p.reading.why(), ReadFailures: p.reading.failures,
	}
}
