package supervise

import "syscall"

// attributes put a child into a process group of its own, with whatever it starts, and have the kernel kill it when the
// thread that started it ends; see spawner.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
