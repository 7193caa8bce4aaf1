package haproxy

import "context"

// DataPlane is one HAProxy, as a controller drives it: its configuration file and its running servers. There are two,
// package embedded for an HAProxy of this process and package remote for one behind a Data Plane API; package
// conformance says in tests what is the same about both. The methods may be called from several goroutines.
//
// Each method has its own bound in time besides the context's. None leaves HAProxy without a configuration that it
// accepts: one that is refused is not put in place.
type DataPlane interface {
	// Saved are the servers that the file has: what an HAProxy that starts from it serves. There are none if the file
	// has no backend of ours. What was draining reads as in maintenance.
	Saved() ([]Server, error)
	// Prepare puts our sections with these servers into the file. An HAProxy that runs on another structure than these
	// sections have is reloaded.
	Prepare(ctx context.Context, servers []Server) error
	// Save writes the servers into the file, if they are not there already. The running ones stay as they are, unless
	// the structure is found not to be ours any more: then it does what Prepare does.
	Save(ctx context.Context, servers []Server) error
	// Rebuild writes the servers and reloads HAProxy, which drops no connection. It returns when the new ones serve.
	Rebuild(ctx context.Context, servers []Server) error
	// Servers are the backend's servers as they run, in the file's order and without notes. That none runs because
	// HAProxy does not is an error.
	Servers(ctx context.Context) ([]Server, error)
	// Set makes running servers others, without a reload (but see package remote about limits of connections) and in the
	// order given. The file may change with them. It is not atomic: after an error some may be changed.
	Set(ctx context.Context, changes []Change) error
	// Stats are HAProxy's counters of what is ours.
	Stats(ctx context.Context) (Stats, error)
}
