// Package supervise runs each connector of the cluster as a child process of its own, under the lease: one that crashes
// takes no other with it, and none outlives the lease or its parent.
//
// One case, from end to end. This host has won the lease, and [Supervisor.Run] gets the definitions "orders" and
// "invoices". [Desk], which decides and does nothing, says to start both. For each the program is executed anew, in a
// process group of its own; its standard input brings the definition and the epoch, and a page of memory that it shares
// with its parent says until when the lease of that epoch holds. [ServeChild] reads both. "orders" connects
// to its broker, reports that it is prepared, and is told to go. It crashes: the desk starts it again, at once the first
// time, and after a longer wait each time that it crashes soon. Its definition changes: another process is started beside
// it and prepared; only then is the first one told to drain, which finishes what it has in hand, closes its connections
// and says that it has finished; only then is the second one told to go, be it that the first one's process takes a while
// to end. "invoices" has noticed nothing.
//
// To start a process takes tens of milliseconds of a processor, so no more are started at once than there are processors.
// Some are kept ready, if [Supervisor.Reserve] says so: started, and waiting at their input to be told which connector
// they are.
//
// A child that is stopped, or that the machine has no time for, takes nothing from its broker any more, and nobody else
// would notice. So it has the kernel kill it at the time until which the lease holds as far as it knows, puts that off
// time and again while the lease goes on, and is started again if it could not. One that is stopped before it could do so
// has not reported anything either; it is killed after a while.
//
// A server tells "orders" of a later epoch than its own: it ends at once, and is not started again, because whatever it
// would take from its broker it could not bring to a service. Either the lease is lost, which this host is about to
// notice, or there is another tenure some time, with a desk that knows of no fence. A changed definition is tried too.
//
// The host is to leave the lease to another one. Every child drains, and once the last has said that it has finished the
// lease is given up: that the processes are still ending holds up nobody.
//
// Then Consul is cut off. The lease runs out, and every child is killed without any grace. Had this process been
// stopped meanwhile (SIGSTOP, a debugger, a machine that swaps), the kernel would have killed the children at that very
// time, since nobody had put it off, and had they been stopped too. Their connections are closed with them, and no broker
// holds messages for them. If the host is killed, the kernel kills the children with it, and the end of their input tells
// them besides.
package supervise

import (
	"encoding/json"
	"time"
)

// Definition is one connector that is to run. What its kind needs to know is opaque here.
type Definition struct {
	Name string          `json:"name"`
	Kind string          `json:"kind"`
	JSON json.RawMessage `json:"json"`
	Hash string          `json:"hash"` // another one is another definition
	// Beside says that the kind can be prepared while the one that it replaces still runs.
	Beside bool `json:"-"`
}

// State is what a connector does just now.
type State string

// The states. A child reports all but Starting, BackingOff and Draining; and Finished, which nobody is shown.
const (
	Starting   State = "starting"
	Connecting State = "connecting"
	Prepared   State = "prepared" // connected; receives nothing until it is told to go
	Running    State = "running"
	Draining   State = "draining"    // receives nothing more, finishes what it has in hand
	Finished   State = "finished"    // has done so, and has closed what it had open: nothing is left but the end of its process
	BackingOff State = "backing off" // it ended, and will be started again
	Failed     State = "failed"      // as BackingOff, but it said itself that trying again soon is of no use
	Fenced     State = "fenced"      // it ended, because a server knows of a later epoch; not started again under this one
)

// Status is one connector as others may show it.
type Status struct {
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Hash        string            `json:"hash"` // of the definition that runs
	State       State             `json:"state"`
	Why         string            `json:"why,omitempty"`         // it is not as it should be: see State, and Replacement
	Until       time.Time         `json:"until,omitzero"`        // of BackingOff and Failed
	Since       time.Time         `json:"since,omitzero"`        // of this process
	PID         int               `json:"pid,omitempty"`         // 0 while there is none
	Restarts    int               `json:"restarts"`              // after it ended by itself
	Replacement string            `json:"replacement,omitempty"` // what becomes of a changed definition; why it is not in force is in Why too
	Counters    map[string]int64  `json:"counters,omitempty"`
	Info        map[string]string `json:"info,omitempty"`
}
