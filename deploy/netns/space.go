package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// space is the namespaces of one host: network, processes, mounts and name. It lives as long as its first process, which
// waits at a pipe of ours: when we end, however that comes about, so does it, and with it the kernel ends every process
// in the space and removes its network. Nothing of it has a name that others could see.
type space struct {
	init  *exec.Cmd
	hold  io.Closer // the pipe
	files map[string]*os.File
}

// kinds are the namespaces, in the order in which they are entered: mounts last, because paths change with them.
var kinds = []struct {
	name string
	flag int
}{{"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET}, {"uts", unix.CLONE_NEWUTS}, {"mnt", unix.CLONE_NEWNS}}

// commandTimeout bounds a command that sets something up.
const commandTimeout = 10 * time.Second

func newSpace(ctx context.Context, name string) (*space, error) {
	s := &space{files: map[string]*os.File{}}
	// It ignores SIGCHLD, so that the kernel buries for it whoever loses his parent in the space, as init would.
	s.init = exec.Command("env", "--ignore-signal=CHLD", "cat")
	s.init.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, kind := range kinds {
		s.init.SysProcAttr.Cloneflags |= uintptr(kind.flag)
	}
	pipe, err := s.init.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := s.init.Start(); err != nil {
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	s.hold = pipe
	for _, kind := range kinds {
		file, err := os.Open(s.path(kind.name))
		if err != nil {
			s.end()
			return nil, fmt.Errorf("make namespaces: %w", err)
		}
		s.files[kind.name] = file
	}
	const furnish = `mount --make-rprivate / && mount -t proc proc /proc && hostname "$0" && ip link set lo up`
	if _, err := s.run(ctx, s.enter, "", "sh", "-c", furnish, name); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// path names one of the namespaces for a program outside.
func (s *space) path(kind string) string {
	return fmt.Sprintf("/proc/%d/ns/%s", s.init.Process.Pid, kind)
}

// end kills whatever runs in the space, and returns when all of it has ended.
func (s *space) end() {
	_ = s.init.Process.Kill()
	_ = s.init.Wait() // it was killed
	_ = s.hold.Close()
	for _, file := range s.files {
		_ = file.Close()
	}
}

// enter brings the calling thread into the space for good, and what it starts: its processes are in there from the start,
// and are children of ours all the same.
func (s *space) enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // mounts are entered alone or not at all
		return os.NewSyscallError("unshare", err)
	}
	for _, kind := range kinds {
		if err := s.join(kind.name, kind.flag); err != nil {
			return err
		}
	}
	return nil
}

// enterNet brings the calling thread into the network alone.
func (s *space) enterNet() error { return s.join("net", unix.CLONE_NEWNET) }

func (s *space) join(kind string, flag int) error {
	if err := unix.Setns(int(s.files[kind].Fd()), flag); err != nil {
		return fmt.Errorf("enter a %s namespace: %w", kind, os.NewSyscallError("setns", err))
	}
	return nil
}

// on calls do from a thread that has called enter, and that ends then.
func on(enter, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that nobody else finds himself in there
		if err := enter(); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// run runs a program to its end and returns what it prints.
func (s *space) run(ctx context.Context, enter func() error, input string, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var output bytes.Buffer
	err := on(enter, func() error {
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		cmd.Dir, cmd.WaitDelay = "/", time.Second
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &output, &output
		return cmd.Run()
	})
	if err != nil {
		return "", errors.New(strings.TrimSpace(fmt.Sprintf("%s: %v: %s %s", strings.Join(words, " "), err, output.String(), input)))
	}
	return output.String(), nil
}
