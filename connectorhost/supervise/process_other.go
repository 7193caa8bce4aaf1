//go:build !linux

package supervise

import "syscall"

// attributes put a child into a process group of its own, with whatever it starts. Nothing but the end of its input
// tells it that its parent has ended.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// stepBack would give the calling thread the usual priority, and slack to its timers; threads have none of their own
// here.
func stepBack() {}
