package front

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// counted counts how often a connection's deadlines are really moved.
type counted struct {
	net.Conn
	moves int
}

func (c *counted) SetReadDeadline(t time.Time) error {
	c.moves++
	return c.Conn.SetReadDeadline(t)
}

func piped() (ours *conn, socket *counted, theirs net.Conn) {
	near, far := net.Pipe()
	socket = &counted{Conn: near}
	return &conn{Conn: socket, listener: newListener(nil, 1, nil)}, socket, far
}

// A read ends when its deadline as set last has passed, to the moment, however the deadline was moved before.
func TestReadsEndAtTheDeadlineSetLast(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		moves := rapid.SliceOfN(rapid.IntRange(-5, 50), 1, 10).Draw(rt, "moves")
		pauses := rapid.SliceOfN(rapid.IntRange(0, 30), len(moves), len(moves)).Draw(rt, "pauses")
		synctest.Test(t, func(*testing.T) {
			ours, _, theirs := piped()
			defer theirs.Close()
			defer ours.Close()
			var last time.Time
			for i, seconds := range moves {
				last = time.Now().Add(time.Duration(seconds) * time.Second)
				if err := ours.SetDeadline(last); err != nil {
					rt.Fatal(err)
				}
				time.Sleep(time.Duration(pauses[i]) * time.Second)
			}
			if last.Before(time.Now()) {
				last = time.Now()
			}
			_, err := ours.Read(make([]byte, 1))
			if !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Equal(last) {
				rt.Fatalf("the read ended after %v with %v", time.Since(last), err)
			}
			if _, err := ours.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
				rt.Fatalf("a write after it: %v", err)
			}
		})
	})
}

func TestDeadlinesAreMovedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, socket, theirs := piped()
		defer ours.Close()
		defer theirs.Close()
		limits := DefaultLimits()
		go func() {
			for range 600 { // 20 minutes
				time.Sleep(2 * time.Second)
				if _, err := io.WriteString(theirs, "x"); err != nil {
					t.Error(err)
				}
			}
		}()
		for range 600 { // as fasthttp does for each request
			for _, timeout := range []time.Duration{limits.IdleTimeout, limits.ReadTimeout} {
				if err := ours.SetReadDeadline(time.Now().Add(timeout)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := ours.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if socket.moves > 50 {
			t.Errorf("the socket's deadline was moved %d times for 1200 of ours", socket.moves)
		}
		if err := ours.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour)
			if err := ours.SetReadDeadline(time.Unix(1, 0)); err != nil { // as whoever interrupts does
				t.Error(err)
			}
		}()
		start := time.Now()
		if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("a read without a deadline ended after %v: %v", time.Since(start), err)
		}
	})
}

func TestAWriteGoesOnWhereTheSocketsDeadlineCutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _, theirs := piped()
		text := bytes.Repeat([]byte("abc"), 1000)
		for _, timeout := range []time.Duration{time.Second, time.Minute} {
			if err := ours.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			n, err := ours.Write(text)
			if n != len(text) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			_ = ours.Close()
		}()
		got := make([]byte, 700)
		if _, err := io.ReadFull(theirs, got); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // past the first deadline
		rest, err := io.ReadAll(theirs)
		if err != nil || !bytes.Equal(append(got, rest...), text) {
			t.Errorf("%d bytes arrived, %v", len(got)+len(rest), err)
		}
	})
}
