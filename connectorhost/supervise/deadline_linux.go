package supervise

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deadline is when the kernel kills this process, be it stopped, or without a processor, by then.
type deadline struct{ timer int32 }

// event is the kernel's struct sigevent: what it does when a timer has run out. All zero but the number, it sends the
// signal of that number to the process.
type event struct {
	_      uintptr
	signal int32
	_      int32
	_      [64 - 8 - unsafe.Sizeof(uintptr(0))]byte
}

// newDeadline makes one for this process that is not set yet. It is there until the process ends.
func newDeadline() (*deadline, error) {
	d, kill := &deadline{}, event{signal: int32(syscall.SIGKILL)}
	_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&kill)), uintptr(unsafe.Pointer(&d.timer)))
	if errno != 0 {
		return nil, os.NewSyscallError("timer_create", errno)
	}
	return d, nil
}

// set puts it off, or brings it forward: to a time by bootClock, which may be over.
func (d *deadline) set(at int64) error {
	when := unix.ItimerSpec{Value: unix.NsecToTimespec(at)}
	_, _, errno := unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(d.timer), unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&when)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("timer_settime", errno)
	}
	return nil
}
