package supervise

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes put a child into a process group of its own, with whatever it starts, and have the kernel kill it when the
// thread that started it ends; see spawner.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// slack is by how much the timers of children may be late. Go's runtime looks at a process that is at work every 20 µs:
// each of many connectors, with a few messages a second, would spend a fifth of its time on that.
const slack = time.Millisecond

// usual is what the system call returns for a niceness of 0, and less than for a negative one.
const usual = 20

// stepBack gives the calling thread the usual priority if it has a higher one, and slack to its timers; what it starts
// inherits both. That nobody lets it is no reason not to start what it is to start.
func stepBack() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
	if now, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); err == nil && now > usual {
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 0)
	}
}
