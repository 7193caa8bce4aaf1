package main

import (
	"runtime"
	"testing"
)

func TestTheControllerTakesOneProcessorUntilItHasManySlots(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	all := runtime.GOMAXPROCS(0)
	defer runtime.SetDefaultGOMAXPROCS()
	for _, step := range []struct {
		slots, want int
		told        string
	}{
		{slots: 10, want: 1},
		{slots: manySlots - 1, want: 1},
		{slots: manySlots, want: all},
		{slots: 10, told: "2", want: all}, // who starts it says how many, and so it was started
	} {
		t.Setenv("GOMAXPROCS", step.told)
		takeProcessors(step.slots)
		if got := runtime.GOMAXPROCS(0); got != step.want {
			t.Errorf("with %d slots and GOMAXPROCS=%q it uses %d processors, want %d", step.slots, step.told, got, step.want)
		}
	}
}
