package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Children do not go before others because their parent does, nor before those who were given a lower priority; and their
// timers may be late.
func TestChildrenHaveNoPriorityOfTheirParents(t *testing.T) {
	for niceness, want := range map[int]int{-10: usual, 5: usual - 5} {
		started := make(chan error)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with its priority
			if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness); err != nil {
				started <- err
				return
			}
			stepBack()
			child := exec.Command("sleep", "60")
			if err := child.Start(); err != nil {
				started <- err
				return
			}
			if got, err := syscall.Getpriority(syscall.PRIO_PROCESS, child.Process.Pid); err != nil || got != want {
				t.Errorf("a child of one of niceness %d has priority %d, %v; want %d", niceness, got, err, want)
			}
			late, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", child.Process.Pid))
			if got := strings.TrimSpace(string(late)); err != nil || got != strconv.Itoa(int(slack)) {
				t.Errorf("timers of a child may be late by %s ns, %v; want %d", got, err, slack)
			}
			_ = child.Process.Kill()
			_ = child.Wait() // it was killed
			started <- nil
		}()
		if err := <-started; err != nil {
			t.Skipf("NOT RUN, as this user may not have a niceness of %d: %v", niceness, err)
		}
	}
}
