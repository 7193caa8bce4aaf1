package haproxy

import (
	"context"
	"time"
)

// DataPlane is one HAProxy, as a controller drives it: its configuration file and its running servers. There are two,
// package embedded for an HAProxy of this process and package remote for one behind a Data Plane API; package
// conformance says in tests what is the same about both. The methods may be called from several goroutines.
//
// Each method has its own bound in time besides the context's. None leaves HAProxy without a configuration that it
// accepts: one that is refused is not put in place. Those that write put our lines right that somebody else has edited,
// and say so, and whether they reloaded HAProxy, in a [Rewrite].
type DataPlane interface {
	// Saved are the servers that the file has: what an HAProxy that starts from it serves. There are none if the file
	// has no backend of ours. What was draining reads as in maintenance.
	Saved() ([]Server, error)
	// Prepare puts our sections with these servers into the file. An HAProxy that runs on another structure than these
	// sections have is reloaded.
	Prepare(ctx context.Context, servers []Server) (Rewrite, error)
	// Save writes the servers into the file, if they are not there already. The running ones stay as they are, unless
	// the structure is found not to be ours any more: then it does what Prepare does.
	Save(ctx context.Context, servers []Server) (Rewrite, error)
	// Rebuild writes the servers and reloads HAProxy, which drops no connection. It returns when the new ones serve. The
	// reason is what the [Rewrite] has.
	Rebuild(ctx context.Context, servers []Server, reason Reload) (Rewrite, error)
	// Servers are the backend's servers as they run, in the file's order and without notes. That none runs because
	// HAProxy does not is an error.
	Servers(ctx context.Context) ([]Server, error)
	// Set makes running servers others, without a reload (but see package remote about limits of connections) and in the
	// order given. The file may change with them. It is not atomic: after an error some may be changed.
	Set(ctx context.Context, changes []Change) (Rewrite, error)
	// Open has the front take connections again, if somebody has stopped that by the runtime socket, and says so in the
	// [Rewrite]. It may take a reload, with these servers in the file.
	Open(ctx context.Context, servers []Server) (Rewrite, error)
	// Stats are HAProxy's counters of what is ours.
	Stats(ctx context.Context) (Stats, error)
	// Preview is what Prepare would do to the file, and whether HAProxy would be reloaded, as far as that can be asked. It
	// changes nothing. See the packages for whether haproxy checks the file.
	Preview(ctx context.Context, servers []Server) (Edit, error)
	// Rollback gives our sections back the design that they had before its last change, and reloads an HAProxy that runs.
	// The servers stay as they are now, and so does what is not ours. Of the design that is left Prepare, Save and Rebuild
	// keep away until another one is wanted and in place; a second Rollback returns to it.
	Rollback(ctx context.Context) (Rewrite, error)
	// Placed is the design that the last call has put, or found, in place; zero before the first. It waits for nobody.
	Placed() Placed
}

// Placed is a design of our sections that is in place.
type Placed struct {
	Design string // tells it from the other designs of this data plane
	// RolledBack is when the design that is wanted was taken back by a rollback, for which this one stays; zero if it is
	// this one.
	RolledBack time.Time
}

// Edit is a change of the file, before it is made.
type Edit struct {
	Old, New   string    // the whole file
	Structural bool      // it takes a reload, of an HAProxy that runs
	Redesigned bool      // and not only because the number of slots changes
	RolledBack time.Time // see [Placed]; zero if the design that is wanted is in New
}
