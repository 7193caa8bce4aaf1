package main

import (
	"os"
	"runtime"
)

// manySlots is from how many slots on a change is so much to do for the controller that more processors help.
const manySlots = 1000

// takeProcessors has this program run on one processor at a time while it has few slots, and on all from many on, unless
// GOMAXPROCS says how many. A change is some steps of microseconds: a second processor, woken for each, makes none of
// them quicker, and keeps HAProxy and Consul from theirs.
func takeProcessors(slots int) {
	switch {
	case os.Getenv("GOMAXPROCS") != "":
	case slots < manySlots:
		runtime.GOMAXPROCS(1)
	default:
		runtime.SetDefaultGOMAXPROCS()
	}
}
