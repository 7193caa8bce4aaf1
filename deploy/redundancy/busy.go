package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// tooBusy is the share of this machine's processors from which on a trial says how busy they were: hosts that wait for a
// processor are what is looked at then, and no longer the fault.
const tooBusy = 0.9

// processors are what this machine's processors have done since it was started, in the kernel's ticks.
type processors struct{ idle, all uint64 }

// processorsNow reads it from the kernel.
func processorsNow() (processors, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processors{}, err
	}
	return readProcessors(string(text))
}

// readProcessors takes the first line of /proc/stat apart: user, nice, system, idle, iowait, irq, softirq, steal, and
// more, which is in the first two already.
func readProcessors(text string) (now processors, err error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return now, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return now, fmt.Errorf("/proc/stat begins with %q: %w", line, err)
		}
		now.all += ticks
		if i == 3 || i == 4 {
			now.idle += ticks
		}
	}
	return now, nil
}

// busySince is the share of the time that they were not idle.
func (p processors) busySince(before processors) float64 {
	if p.all <= before.all {
		return 0
	}
	return 1 - float64(p.idle-before.idle)/float64(p.all-before.all)
}

// watchProcessors returns a function that notes in the trial how busy the machine has been since, if it was too busy.
func (p *playing) watchProcessors() (note func()) {
	before, err := processorsNow()
	return func() {
		now, errNow := processorsNow()
		if err != nil || errNow != nil { // then nothing can be said of it
			return
		}
		if busy := now.busySince(before); busy >= tooBusy {
			p.Note("this machine was %.0f %% busy: --lighter %d would leave it room", 100*busy, 2*max(p.options.Lighter, 1)+1)
		}
	}
}
