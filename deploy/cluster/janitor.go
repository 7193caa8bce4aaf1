package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// janitor is a process that outlives us to end HAProxy, which outlives everybody else: it waits on a pipe until we let
// go of the other end, be it because the cluster is stopped or because we were killed.
type janitor struct {
	cmd    *exec.Cmd
	let    io.Closer // closed to let it go to work
	output bytes.Buffer
}

func hireJanitor(lb, stateDir string) (*janitor, error) {
	j := &janitor{cmd: exec.Command("sh", "-c", `read -r _; exec "$0" stop-haproxy --state-dir "$1"`, lb, stateDir)}
	j.cmd.Stdout, j.cmd.Stderr = &j.output, &j.output
	j.cmd.Env = PlainEnviron()
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := j.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the janitor: %w", err)
	}
	if err := j.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the janitor: %w", err)
	}
	j.let = pipe
	return j, nil
}

// finishTimeout bounds the janitor's work: HAProxy, asked to end, does so at once.
const finishTimeout = 5 * time.Second

// finish ends HAProxy now and waits until it has ended, even if ctx has ended already: nobody else would end it. It kills
// the janitor if that takes too long.
func (j *janitor) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = j.cmd.Process.Kill() })()
	err := errors.Join(j.let.Close(), j.cmd.Wait())
	if err != nil {
		return fmt.Errorf("stopping haproxy: %w: %s", err, strings.TrimSpace(j.output.String()))
	}
	return nil
}
