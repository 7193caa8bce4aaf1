package supervise

import "syscall"

// attributes put a child into a process group of its own, with whatever it starts, and have the kernel kill it when the
// thread that started it ends; see spawner.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// usual is what the system call returns for a niceness of 0, and less than for a negative one.
const usual = 20

// stepBack gives the calling thread the usual priority if it has a higher one. That nobody lets it is no reason not to
// start what it is to start.
func stepBack() {
	if now, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); err == nil && now > usual {
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 0)
	}
}
