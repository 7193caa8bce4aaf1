package process

import (
	"context"
	"time"
)

// Status is what is running now. The zero value is nothing.
type Status struct {
	Master   int       `json:"master_pid"`
	Worker   int       `json:"worker_pid"`
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`    // when this controller started or adopted it
	Adopted  bool      `json:"adopted"`  // it was already running
	Restarts int       `json:"restarts"` // times it died under this controller
	Reloads  int       `json:"reloads"`  // reloads that this controller asked for and saw done
}

// Status is a copy of the present state.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *Process) update(change func(*Status)) {
	p.mu.Lock()
	change(&p.status)
	p.mu.Unlock()
	p.changed()
}

// lookTimeout bounds what a look waits for the master, which does not answer in the middle of a reload.
const lookTimeout = 200 * time.Millisecond

// Look is the present state, with worker and version as the master has them now: somebody else may have had it reload. If
// it does not answer in time, they are those that were known last.
func (p *Process) Look(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if before := p.Status(); before.Master == 0 || !p.reloading.TryLock() {
		return before // nobody to ask, or our own reload, which tells its end itself
	}
	defer p.reloading.Unlock()
	found, err := showProc(ctx, p.paths.Master())
	known := p.Status()
	if err != nil || found.Worker == 0 || found.Master != known.Master || found.Worker == known.Worker && found.Version == known.Version {
		return known
	}
	p.log.Info().Int("master", found.Master).Int("worker", found.Worker).Str("version", found.Version).Msg("somebody has had haproxy reload")
	p.update(func(s *Status) {
		if s.Master == found.Master { // else it has died meanwhile
			s.Worker, s.Version = found.Worker, found.Version
		}
	})
	return p.Status()
}
