package experiment

import (
	"math"
	"testing"

	"github.com/prometheus/procfs"
)

func TestHowBusyTheProcessorsWere(t *testing.T) {
	before := procfs.CPUStat{User: 100, System: 50, Idle: 800, Iowait: 40, SoftIRQ: 10}
	now := procfs.CPUStat{User: 150, System: 90, Idle: 805, Iowait: 40, SoftIRQ: 15, Guest: 30}
	if busy := busyBetween(before, now); math.Abs(busy-0.95) > 1e-9 {
		t.Errorf("%v", busy)
	}
	if busy := busyBetween(now, now); busy != 0 {
		t.Errorf("%v in no time", busy)
	}
}
