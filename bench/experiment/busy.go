package experiment

import "github.com/prometheus/procfs"

// tooBusy is the share of this machine's processors from which on a trial says how busy they were: programs that wait for
// a processor are what is looked at then, and no longer the fault.
const tooBusy = 0.9

// WatchProcessors returns a function that notes in the trial how busy the machine has been since, if it was too busy, and
// which --lighter would leave it room; lighter is what it was. Where the kernel does not tell, neither does the trial.
func (t *Trial) WatchProcessors(lighter int) (note func()) {
	before, err := processors()
	return func() {
		now, errNow := processors()
		if err != nil || errNow != nil {
			return
		}
		if busy := busyBetween(before, now); busy >= tooBusy {
			t.Note("this machine was %.0f %% busy: --lighter %d would leave it room", 100*busy, 2*max(lighter, 1)+1)
		}
	}
}

// processors is for how long this machine's processors have done what, in all.
func processors() (procfs.CPUStat, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return procfs.CPUStat{}, err
	}
	stat, err := fs.Stat()
	return stat.CPUTotal, err
}

// busyBetween is the share of the time that they were not idle.
func busyBetween(before, now procfs.CPUStat) float64 {
	idle := func(s procfs.CPUStat) float64 { return s.Idle + s.Iowait }
	all := func(s procfs.CPUStat) float64 { // guests are in the first two already
		return s.User + s.Nice + s.System + s.Idle + s.Iowait + s.IRQ + s.SoftIRQ + s.Steal
	}
	if all(now) <= all(before) {
		return 0
	}
	return 1 - (idle(now)-idle(before))/(all(now)-all(before))
}
