package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Processes is what the master says of itself and its workers.
type Processes struct {
	Master  int
	Worker  int   // the present worker, 0 while there is none
	Old     []int // those that reloads have replaced, and that have something in hand
	Version string
	Failed  int // reloads that failed
}

// commandTimeout bounds one conversation with a socket of HAProxy.
const commandTimeout = 2 * time.Second

// showProc asks the master for its processes.
func showProc(ctx context.Context, socket string) (Processes, error) {
	answer, err := ask(ctx, socket, "show proc")
	if err != nil {
		return Processes{}, err
	}
	found, err := parseProc(answer)
	if err != nil {
		return Processes{}, fmt.Errorf("%s: show proc: %w", socket, err)
	}
	return found, nil
}

// reloadGap is how long a master that is alive may leave its socket unanswered, or have no worker: it does for some
// milliseconds at each reload, when it executes itself anew; on a machine that is overloaded, for seconds.
const reloadGap = 10 * time.Second

// find looks for the HAProxy that runs on these paths and says whether it serves. One whose master is alive but has no
// worker, or does not answer, is found and does not serve. If ctx ends first, that is the error, and neither is certain.
func find(ctx context.Context, paths Paths) (found Processes, serves bool, err error) {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, reloadGap)
	defer cancel()
	seen := time.Now()
	for nobody := 0; nobody < looksForNobody; {
		answered, err := showProc(ctx, paths.Master())
		if err == nil && answered.Worker != 0 {
			return answered, true, nil
		}
		pid, certain := paths.alive("/proc")
		found = Processes{Master: pid}
		switch {
		case pid != 0:
			nobody, seen = 0, time.Now()
		case certain || time.Since(seen) > longestExec:
			nobody++
		}
		if !pause(ctx, 5*time.Millisecond) {
			break
		}
	}
	return found, false, asked.Err()
}

const (
	looksForNobody = 3               // in a row
	longestExec    = 2 * time.Second // that is believed; there may be a program that wipes out its command line
)

// alive is the master that runs on these very paths, by the command lines of all processes in a /proc, else 0. The pid
// file does not tell: HAProxy removes it for a moment at each reload. Nor is a 0 certain while some process has no
// command line, as one that executes itself has, for an instant or until a busy machine has time for it.
func (p Paths) alive(proc string) (pid int, certain bool) {
	commands, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "cmdline"))
	if err != nil {
		return 0, false
	}
	certain = true
	for _, path := range commands {
		command, err := os.ReadFile(path)
		switch {
		case err != nil: // it has ended
		case len(command) == 0:
			certain = certain && leader(filepath.Dir(path)) == 0
		case strings.Contains(string(command), "\x00"+p.Master()+","):
			if pid := leader(filepath.Dir(path)); pid != 0 {
				return pid, true
			}
		}
	}
	return 0, certain
}

// leader is the id of the process with this folder in /proc if it is alive and leads a session, as a master does and a
// worker, also one that has lost its master, does not; nor does a thread of the kernel. Else it is 0.
func leader(folder string) int {
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return 0 // it has ended
	}
	fields := string(stat[bytes.LastIndexByte(stat, ')')+1:]) // behind the name, which may hold anything
	var state string
	var parent, group, session int
	if _, err := fmt.Sscan(fields, &state, &parent, &group, &session); err != nil || state == "Z" || state == "X" {
		return 0
	}
	if pid, _ := strconv.Atoi(filepath.Base(folder)); pid == session {
		return pid
	}
	return 0
}

// parseProc reads the answer to "show proc": a table of "pid type reloads uptime version" in which comment lines part
// the present workers from the old ones.
func parseProc(answer string) (Processes, error) {
	var found Processes
	old := false
	for _, line := range strings.Split(answer, "\n") {
		if strings.HasPrefix(line, "#") {
			old = strings.HasPrefix(line, "# old")
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			return Processes{}, fmt.Errorf("unexpected line %q", line)
		}
		switch fields[1] {
		case "master":
			found.Master, found.Version = pid, fields[len(fields)-1]
			if _, failed, ok := strings.Cut(line, "[failed: "); ok {
				count, _, _ := strings.Cut(failed, "]")
				found.Failed, _ = strconv.Atoi(count)
			}
		case "worker":
			if old {
				found.Old = append(found.Old, pid)
				continue
			}
			found.Worker = pid
		}
	}
	if found.Master == 0 {
		return Processes{}, fmt.Errorf("no master in %q", answer)
	}
	return found, nil
}

// Old is what a worker that a reload has replaced, and that has something in hand, answers.
type Old struct {
	PID    int
	Answer string
}

// AskOld puts runtime commands to each old worker of the HAProxy with this master socket. One that ends meanwhile is left
// out. A master that is executing itself anew, as at each reload, is asked again, for two seconds in all.
func AskOld(ctx context.Context, master string, commands ...string) ([]Old, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	for {
		all, err := askOld(ctx, master, commands)
		if err == nil || !pause(ctx, 5*time.Millisecond) {
			return all, err
		}
	}
}

// ended begins the master's answer to who asks for a worker that it does not have any more.
const ended = "Can't find the target PID"

func askOld(ctx context.Context, master string, commands []string) (all []Old, err error) {
	found, err := showProc(ctx, master)
	if err != nil {
		return nil, err
	}
	for _, pid := range found.Old {
		worker := fmt.Sprintf("@!%d ", pid)
		answer, err := ask(ctx, master, worker+strings.Join(commands, ";"+worker))
		if err != nil {
			return nil, err
		}
		if !strings.Contains(answer, ended) {
			all = append(all, Old{pid, answer})
		}
	}
	return all, nil
}

// Ask puts a runtime command to one worker. Of one that has ended meanwhile the master says so, which tells of nothing.
type Ask func(command string) (answer string, err error)

// EachOld has each old worker asked in several steps, as AskOld asks them in one. An error ends it.
func EachOld(ctx context.Context, master string, each func(Ask) error) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	found, err := showProc(ctx, master)
	for err != nil && pause(ctx, 5*time.Millisecond) {
		found, err = showProc(ctx, master)
	}
	if err != nil {
		return err
	}
	for _, pid := range found.Old {
		err := each(func(command string) (string, error) {
			return ask(ctx, master, fmt.Sprintf("@!%d %s", pid, command))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// End ends the sessions that the worker has with servers of a backend, one by one: one that a reload has replaced takes
// no command about the servers themselves.
func (ask Ask) End(backend string, servers ...string) error {
	sessions, err := ask("show sess")
	if err != nil {
		return err
	}
	for line := range strings.Lines(sessions) {
		id, about, _ := strings.Cut(line, ": ")
		_, rest, _ := strings.Cut(about, " be="+backend+" srv=")
		if server, _, found := strings.Cut(rest, " "); !found || !slices.Contains(servers, server) {
			continue
		}
		if _, err := ask("shutdown session " + id); err != nil { // one that has ended meanwhile is none
			return err
		}
	}
	return nil
}

// serves says whether the runtime socket is answered by this very worker.
func serves(ctx context.Context, socket string, worker int) bool {
	answer, err := ask(ctx, socket, "show info")
	return err == nil && strings.Contains(answer, fmt.Sprintf("\nPid: %d\n", worker))
}

// ask sends one command to a socket of HAProxy and reads the whole answer.
func ask(ctx context.Context, socket, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(conn, command+";quit\n"); err != nil {
		return "", fmt.Errorf("%s: %s: %w", socket, command, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", socket, command, err)
	}
	return string(answer), nil
}

// master is a running process that may or may not be our child; its pidfd tells when it ends.
type master struct {
	pid  int
	file *os.File
}

func watch(pid int) (*master, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return &master{pid: pid, file: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid))}, nil
}

// wait returns nil when the process has ended, or the context's error. It may be called once.
func (m *master) wait(ctx context.Context) error {
	defer m.file.Close()
	conn, err := m.file.SyscallConn()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = m.file.SetReadDeadline(time.Unix(1, 0)) })()
	err = conn.Read(func(fd uintptr) bool {
		polled, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && polled == 1
	})
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// lastLines are the end of a log file, on one line, for an error message.
func lastLines(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}
