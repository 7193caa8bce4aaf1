package reconcile

import (
	"slices"

	"zatoha/lb/state"
)

// noteParity tells how far the servers agree on their services: at once in the log, if somebody differs that did not,
// and in the report.
func (l *Loop) noteParity(parity state.Parity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.report.Parity
	l.report.Parity = parity
	for _, d := range parity.Differing {
		if slices.Contains(was.Differing, d) {
			continue
		}
		message := "a server's services differ from those of most"
		if d.Held {
			message += ": it is held out of rotation"
		}
		l.log.Warn().Str("instance", d.ID).Str("services_hash", d.Services).Str("majority", parity.Majority).Msg(message)
	}
	if parity.Split() && !was.Split() {
		l.log.Warn().Any("groups", parity.Groups).Msg("no majority of the servers has the same services: nobody is held")
	}
}
