package supervise

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestChildrenEndWhenTheirParentIsKilled(t *testing.T) {
	parent, children := startParent(t)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("children gone after %v", awaitEnd(t, children...))
}

// Nobody can tell children of a stopped parent that the lease has ended: they end themselves.
func TestChildrenEndWhileTheirParentIsStopped(t *testing.T) {
	parent, children := startParent(t)
	if err := parent.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	took := awaitEnd(t, children...)
	t.Logf("children gone after %v, the lease lasts %v", took, testFence)
	if took > testFence+time.Second {
		t.Errorf("children lived for %v without a word", took)
	}
	if err := parent.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// They cannot end themselves either: the kernel does it.
func TestStoppedChildrenEndWhileTheirParentIsStopped(t *testing.T) {
	parent, children := startParent(t)
	for _, pid := range append(slices.Clone(children), parent.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	took := awaitEnd(t, children...)
	t.Logf("stopped children gone after %v, the lease lasts %v", took, testFence)
	if took > testFence+time.Second {
		t.Errorf("stopped children were there for %v", took)
	}
}

func TestALostLeaseKillsEverythingAtOnce(t *testing.T) {
	s := newStage(t)
	s.definitions <- []Definition{
		definition("deaf", "1", "deaf", false, ""), definition("fine", "1", "", false, ""), definition("parent", "1", "spawn", false, ""),
	}
	var pids []int
	for _, name := range []string{"deaf", "fine", "parent"} {
		status := s.await(name, running("1"))
		pids = append(pids, status.PID)
		if status.Info["epoch"] != "7" || status.Counters["received"] != 1 || status.Since.IsZero() {
			t.Errorf("%+v", status)
		}
		if pid, err := strconv.Atoi(status.Info["grandchild"]); err == nil {
			pids = append(pids, pid)
		}
	}
	if len(pids) != 4 {
		t.Fatalf("processes %v", pids)
	}
	// One that is stopped cannot end itself.
	if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	s.tenure.lose()
	<-s.done
	t.Logf("all ended %v after the loss", time.Since(begun))
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %v", took)
	}
	awaitEnd(t, pids...)
}

// The kernel kills it, as nothing of it puts that off.
func TestAChildThatIsStoppedIsReplacedAndOthersAreNotTouched(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.definitions <- []Definition{definition("a", "1", "", false, ""), definition("b", "1", "", false, "")}
	other := s.await("b", running("1"))
	pid := s.await("a", running("1")).PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	now := s.await("a", func(status Status) bool { return status.State == Running && status.PID != pid })
	if took := time.Since(begun); now.Restarts != 1 || took > testFence+2*time.Second {
		t.Errorf("after %v: %+v", took, now)
	}
	awaitEnd(t, pid)
	if now := s.await("b", running("1")); now.PID != other.PID {
		t.Errorf("the other one was process %d and is %d", other.PID, now.PID)
	}
}

// It was stopped before it was told what it is, so that nothing ends it with the lease.
func TestAConnectorThatGotAStoppedProcessGetsAnother(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(p *Policy) { p.Mute = 3 * time.Second })
	s.supervisor.Reserve(1, true)
	pid := awaitReady(t, s.supervisor.reserve, 1)[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.definitions <- []Definition{definition("a", "1", "", false, "")}
	s.await("a", func(status Status) bool { return status.State == Starting && status.PID == pid })
	s.await("a", func(status Status) bool {
		return status.State == BackingOff && strings.HasPrefix(status.Why, "it reported nothing within 3s of its start")
	})
	if now := s.await("a", running("1")); now.PID == pid || now.Restarts != 1 {
		t.Errorf("%+v", now)
	}
	awaitEnd(t, pid)
}

func TestACrashedChildIsBackSoonAndOthersAreNotTouched(t *testing.T) {
	s := newStage(t)
	s.definitions <- []Definition{definition("a", "1", "", false, ""), definition("b", "1", "", false, "")}
	other := s.await("b", running("1"))
	pid := s.await("a", running("1")).PID
	kill := func(pid int) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	kill(pid)
	back := s.await("a", func(s Status) bool { return s.State == Running && s.PID != pid })
	t.Logf("back after %v", time.Since(begun))
	if back.Restarts != 1 {
		t.Errorf("%+v", back)
	}
	begun = time.Now()
	kill(back.PID)
	off := s.await("a", func(s Status) bool { return s.State == BackingOff })
	if !strings.Contains(off.Why, "killed") || off.Until.IsZero() || off.PID != 0 {
		t.Errorf("%+v", off)
	}
	again := s.await("a", func(s Status) bool { return s.State == Running && s.PID != back.PID })
	t.Logf("back after %v", time.Since(begun))
	if again.Restarts != 2 {
		t.Errorf("%+v", again)
	}
	if now := s.await("b", running("1")); now.PID != other.PID {
		t.Errorf("b is %d now, was %d", now.PID, other.PID)
	}
}

func TestAChildThatFailsSaysWhy(t *testing.T) {
	s := newStage(t)
	s.definitions <- []Definition{
		definition("fail", "1", "fail", false, ""), definition("crash", "1", "crash", false, ""), definition("babble", "1", "babble", false, ""),
	}
	failed := s.await("fail", func(s Status) bool { return s.State == Failed && !s.Until.IsZero() })
	if failed.Why != "no such queue: declare it" || time.Until(failed.Until) < 10*time.Second {
		t.Errorf("%+v", failed)
	}
	crashed := s.await("crash", func(s Status) bool { return s.State == BackingOff && s.Restarts >= 2 })
	if crashed.Why != "it crashed" {
		t.Errorf("%+v", crashed)
	}
	s.await("babble", func(s Status) bool { return s.State == BackingOff && strings.Contains(s.Why, "out of turn") })
}

func TestReplacingAConnectorLeavesAShortGapAndTheOthersAlone(t *testing.T) {
	for _, beside := range []bool{true, false} {
		t.Run(fmt.Sprintf("beside=%t", beside), func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			s := newStage(t)
			still := definition("still", "1", "", false, "")
			s.definitions <- []Definition{definition("a", "0", "", beside, log), still}
			pid := s.await("still", running("1")).PID
			s.await("a", running("0"))
			const n = 30
			for i := 1; i <= n; i++ {
				hash := strconv.Itoa(i)
				s.definitions <- []Definition{definition("a", hash, "", beside, log), still}
				s.await("a", running(hash))
			}
			s.definitions <- []Definition{still}
			s.await("still", func(st Status) bool { return st.PID == pid })
			gaps := gapsIn(t, log)
			if len(gaps) != n {
				t.Fatalf("gaps %v", gaps)
			}
			slices.Sort(gaps)
			t.Logf("n %d, median %v, worst %v", len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
			if gaps[0] < 0 {
				t.Errorf("two received at once, for %v", -gaps[0])
			}
		})
	}
}

// gapsIn are the times from each stop to the next start that children have noted.
func gapsIn(t *testing.T, path string) (gaps []time.Duration) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var stopped int64
	for line := range strings.Lines(string(text)) {
		var what, hash string
		var at int64
		if _, err := fmt.Sscan(line, &what, &hash, &at); err != nil {
			t.Fatal(err)
		}
		if what == "start" && stopped != 0 {
			gaps = append(gaps, time.Duration(at-stopped))
		}
		stopped = at
	}
	return gaps
}

func TestLeavingDrainsEverythingInBoundedTime(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	s := newStage(t)
	s.definitions <- []Definition{definition("fine", "1", "", false, log), definition("deaf", "1", "deaf", false, "")}
	s.await("deaf", running("1"))
	s.await("fine", running("1"))
	begun := time.Now()
	close(s.tenure.leaving)
	<-s.done
	took := time.Since(begun)
	t.Logf("left after %v", took)
	if took < time.Second || took > 5*time.Second {
		t.Errorf("it took %v, the one that does not drain is to be killed after 1 s", took)
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "stop 1") {
		t.Errorf("the other one was not drained: %q, %v", text, err)
	}
}

func TestLeavingDoesNotWaitForTheProcessOfAChildThatHasFinished(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	s := newStage(t)
	s.definitions <- []Definition{definition("lingering", "1", "linger", false, log)}
	pid := s.await("lingering", running("1")).PID
	close(s.tenure.leaving)
	<-s.done
	if !alive(pid) {
		t.Error("its process was waited for")
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "stop 1") {
		t.Errorf("it was not drained: %q, %v", text, err)
	}
	s.supervisor.lives.Wait()
	if alive(pid) {
		t.Error("its process outlives the supervisor")
	}
}

func TestAProgramThatCannotBeStartedIsSaid(t *testing.T) {
	tenure := newStubTenure()
	definitions, statuses := make(chan []Definition, 1), make(chan []Status, 1000)
	definitions <- []Definition{definition("a", "1", "", false, "")}
	done := make(chan struct{})
	go func() {
		defer close(done)
		supervisor := newSupervisor(t, Options{Command: []string{"/nonexistent/program"}, Observe: func(all []Status) { statuses <- all }})
		defer supervisor.Close()
		supervisor.Run(tenure, 1, definitions)
	}()
	for all := range statuses {
		if len(all) == 1 && all[0].State == BackingOff {
			if !strings.Contains(all[0].Why, "/nonexistent/program") {
				t.Errorf("%+v", all[0])
			}
			break
		}
	}
	tenure.stop()
	<-done
}

func TestFiftyConnectorsStartAndDie(t *testing.T) {
	s := newStage(t)
	var all []Definition
	for i := range 50 {
		all = append(all, definition(fmt.Sprintf("c%02d", i), "1", "", false, ""))
	}
	begun := time.Now()
	s.definitions <- all
	var pids []int
	for _, d := range all {
		pids = append(pids, s.await(d.Name, running("1")).PID)
	}
	t.Logf("50 run after %v, each with %s", time.Since(begun), residentMemory(t, pids[0]))
	begun = time.Now()
	s.tenure.lose()
	<-s.done
	t.Logf("all ended %v after the loss", time.Since(begun))
	awaitEnd(t, pids...)
}

// residentMemory is what a process has in memory, in the kernel's words.
func residentMemory(t *testing.T, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func TestParentAndChildHaveALinkOfTheirOwnThatEndsWithTheChild(t *testing.T) {
	s := newStage(t)
	s.definitions <- []Definition{definition("a", "1", "echo", false, "")}
	link := <-s.links
	if err := link.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 5)
	if _, err := io.ReadFull(link, heard); err != nil || string(heard) != "hello" {
		t.Fatalf("heard %q, %v", heard, err)
	}
	child := s.await("a", running("1"))
	if err := syscall.Kill(child.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if n, err := link.Read(heard); err == nil {
		t.Errorf("read %d bytes of a child that is gone", n)
	}
}

func TestAChildLearnsOfTheLeaseWhileTheSupervisorIsBusy(t *testing.T) {
	s := newStage(t)
	a, b := definition("a", "1", "", false, ""), definition("b", "1", "", false, "")
	s.definitions <- []Definition{a}
	pid := s.await("a", running("1")).PID
	s.busy.Lock()
	s.definitions <- []Definition{a, b}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < 3*testFence && alive(pid); <-tick.C {
	}
	if !alive(pid) {
		t.Error("the child took the lease for lost")
	}
	s.busy.Unlock()
	s.await("b", running("1"))
}
