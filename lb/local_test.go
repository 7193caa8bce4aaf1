package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// localPlane is that of an HAProxy that does not run, with the text as its haproxy.cfg.
func localPlane(t *testing.T, binary, config string) *local {
	t.Helper()
	dir, err := os.MkdirTemp("", "zatoha") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	paths := process.Paths{Config: filepath.Join(dir, "haproxy.cfg"), Dir: dir}
	if err := os.WriteFile(paths.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	plane, err := newLocal(binary, paths, haproxy.DefaultOptions(), zerolog.Nop(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return plane
}

func isConfig(err error) bool {
	_, bad := errors.AsType[*program.ConfigError](err)
	return bad
}

// A service manager does not start a program again that ends for its configuration.
func TestOnlyWhatStaysWrongIsConfiguration(t *testing.T) {
	plane := localPlane(t, "haproxy", "")
	failed := func(errno syscall.Errno) error {
		return fmt.Errorf("writing: %w", &fs.PathError{Op: "open", Path: "haproxy.cfg", Err: errno})
	}
	for _, c := range []struct {
		err    error
		config bool
	}{
		{failed(syscall.EACCES), true},
		{failed(syscall.EPERM), true},
		{failed(syscall.ENOENT), true},
		{failed(syscall.ENOTDIR), true},
		{failed(syscall.EROFS), false},
		{failed(syscall.ENOSPC), false},
		{failed(syscall.EIO), false},
		{errors.New(`the running haproxy does not tell its servers: the format is "", not version 1`), false},
		{&net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.ENOENT)}, false},
		{errors.New("reload: no new worker within 15s"), false},
		{context.Canceled, false},
	} {
		if err := plane.refusal(c.err); isConfig(err) != c.config || !c.config && !errors.Is(err, c.err) {
			t.Errorf("%v is %v", c.err, err)
		}
		if err := badDir(c.err); isConfig(err) != c.config {
			t.Errorf("of the state directory %v is %v", c.err, err)
		}
	}
}

func TestWhatTheFileSaysIsConfiguration(t *testing.T) {
	clash := localPlane(t, "haproxy", "frontend front_http_plain\n\tbind :80\n")
	if err := clash.refusal(prepare(t, clash)); !isConfig(err) {
		t.Errorf("a section in the way is %v", err)
	}
	away := localPlane(t, "no-such-haproxy", "")
	if err := away.refusal(prepare(t, away)); err == nil || isConfig(err) {
		t.Errorf("an haproxy that cannot be run is %v", err)
	}
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy on PATH: install the package haproxy to run this test")
	}
	foreign := localPlane(t, "haproxy", "global\n\tbogus 1\n")
	if err := foreign.refusal(prepare(t, foreign)); !isConfig(err) {
		t.Errorf("a line that haproxy refuses is %v", err)
	}
}

func prepare(t *testing.T, plane *local) error {
	t.Helper()
	_, err := plane.Prepare(t.Context(), nil)
	return err
}

func TestTheStateDirectoryOfAnotherIsConfiguration(t *testing.T) {
	dir := t.TempDir()
	unlock, err := claimDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := claimDir(dir); !isConfig(err) {
		t.Errorf("a second load balancer there is %v", err)
	}
}

// Who is told to stop while HAProxy's master is slow to answer does not say that somebody else is at the front.
func TestWhoIsToldToStopAtTheStartJustEnds(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "haproxy")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho HAProxy version 2.6.12\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	plane := localPlane(t, binary, "")
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	plane.options.Bind = front.Addr().String()
	master, err := net.Listen("unix", plane.paths.Master())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		if conn, err := master.Accept(); err == nil {
			defer conn.Close()
			stop()
		}
	}()
	for _, when := range []string{"looks for HAProxy", "asks for its version"} {
		if _, err := plane.claim(ctx); !errors.Is(err, context.Canceled) || isConfig(err) {
			t.Errorf("told to stop while it %s: %v", when, err)
		}
	}
	master.Close()
	<-asked
	unlock, err := claimDir(plane.paths.Dir)
	if err != nil {
		t.Fatalf("it has not let go of the directory: %v", err)
	}
	unlock()
}

func TestAWorkerThatHangsIsSaidInTime(t *testing.T) {
	plane := localPlane(t, "haproxy", "")
	listener, err := net.Listen("unix", plane.paths.Stats()) // the kernel takes the connection, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if seen := plane.Look(ctx); seen.Reachable || !errors.Is(seen.Err, context.DeadlineExceeded) || ctx.Err() != nil {
		t.Errorf("of a socket that does not answer is seen %+v", seen)
	}
}
