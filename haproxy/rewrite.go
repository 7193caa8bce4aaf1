package haproxy

import "time"

// Rewrite is what a call to a [DataPlane] did beside what it was called for. It counts also beside an error: the call may
// have failed only after that. The zero value is nothing.
type Rewrite struct {
	// Edited says what somebody else had made of our lines in the file since they were last as they should be, see
	// [edit.Difference]. They are as they should be again. It is "" if nobody had.
	Edited string
	// Reload is why HAProxy was reloaded. It is "" if it was not, or has not been seen to run on the file.
	Reload Reload
	// Opened says that somebody had stopped the front by the runtime socket, and that it takes connections again.
	Opened bool
	// InEffect is since when all changes of a Set are, where it had more to do after that; zero else.
	InEffect time.Time
}

// Reload is a reason to reload HAProxy.
type Reload string

// The reasons.
const (
	ReloadToGrow     Reload = "grow"     // the backend needed more slots
	ReloadToRepair   Reload = "repair"   // HAProxy ran on something else than our lines, or somebody had edited those
	ReloadToRollBack Reload = "rollback" // an operator took a design back
	ReloadToLimit    Reload = "maxconn"  // a server got a limit of connections that is not its slot's: behind a Data Plane API
	ReloadToSet      Reload = "settings" // our lines are others, for other settings or another version of ours
	ReloadToUndo     Reload = "undo"     // of somebody's command at the runtime socket, which nothing else undoes
)

// Reloads are all reasons.
func Reloads() []Reload {
	return []Reload{ReloadToGrow, ReloadToLimit, ReloadToRepair, ReloadToRollBack, ReloadToSet, ReloadToUndo}
}

// ReloadAfter is why HAProxy is reloaded once our lines are in the file: for our settings, if those have changed the
// structure and nobody else has edited it, and otherwise to repair what HAProxy runs on.
func ReloadAfter(structural bool, edited string) Reload {
	if structural && edited == "" {
		return ReloadToSet
	}
	return ReloadToRepair
}
