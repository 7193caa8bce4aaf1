package zmtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestHandshakesThatAreRefused(t *testing.T) {
	change := func(at int, text string) string {
		g := greeting()
		copy(g[at:], text)
		return string(g)
	}
	ready := func(body string) string { return string(greeting()) + string(encode(flagCommand, []byte(body))) }
	typed := func(name string) string {
		return "\x05READY\x0bSocket-Type" + string(binary.BigEndian.AppendUint32(nil, uint32(len(name)))) + name
	}
	for _, test := range []struct {
		name, sends string
		cause       Cause
		says        string
	}{
		{"an HTTP request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", Protocol, `this is no ZeroMQ peer, it begins with "G"`},
		{"garbage that begins well", "\xff" + strings.Repeat("\x00", 100), Protocol, "its signature is ff00"},
		{"half a greeting", string(greeting()[:40]), Left, "closed the connection in mid-handshake"},
		{"nothing", "", Left, "closed the connection"},
		{"ZMTP 2.0", change(10, "\x01"), Mismatch, "ZMTP before 3.0"},
		{"CURVE", change(12, "CURVE"), Mismatch, `the security mechanism "CURVE": only NULL`},
		{"a greeting with a strange as-server", change(32, "\x02"), Protocol, "malformed"},
		{"a message before READY", string(greeting()) + "\x00\x01x", Protocol, "instead of READY the peer sends a frame with the flags 0x00"},
		{"another command", ready("\x05HELLO"), Protocol, `sends "HELLO"`},
		{"an error", ready("\x05ERROR\x04no!!"), Mismatch, `the peer refuses: "no!!"`},
		{"an empty error", ready("\x05ERROR"), Mismatch, `the peer refuses: ""`},
		{"a huge READY", string(greeting()) + string(binary.BigEndian.AppendUint64([]byte{6}, 1<<62)), Oversized, "READY claims 4611686018427387904"},
		{"an empty READY", ready(""), Protocol, "no name"},
		{"no type", ready("\x05READY"), Protocol, "no socket type"},
		{"an unknown type, at which the library panics", ready(typed("FOO")), Mismatch, `the peer is a "FOO" socket: a PULL socket talks with PUSH`},
		{"a type of no use", ready(typed("SUB")), Mismatch, `"SUB"`},
		{"a truncated name, at which the library panics", ready("\x05READY\x0bSocket-Typ"), Protocol, "truncated property"},
		{"a truncated value", ready("\x05READY\x01A\x00\x00\x00\x05B"), Protocol, "truncated property"},
		{"a name of no length", ready("\x05READY\x00\x00\x00\x00\x00"), Protocol, "truncated property"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := shakeHands([]byte(test.sends))
			var f *fault
			if !errors.As(err, &f) || f.cause != test.cause || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v", err)
			}
		})
	}
	for _, body := range []string{typed("PUSH"), strings.ToLower(typed("PUSH")[:18]) + typed("PUSH")[18:], typed("PUSH") + "\x08Identity\x00\x00\x00\x00"} {
		if err := shakeHands([]byte(ready(strings.Replace(body, "ready", "READY", 1)))); err != nil {
			t.Errorf("%q is refused: %v", body, err)
		}
	}
}

// scripted is a peer that sends this and no more, and takes everything.
type scripted struct {
	net.Conn
	sends *bytes.Reader
}

func (c scripted) Read(p []byte) (int, error)       { return c.sends.Read(p) }
func (c scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (c scripted) SetWriteDeadline(time.Time) error { return nil }

// shakeHands lets a PULL shake hands.
func shakeHands(sends []byte) error {
	_, err := newGate(scripted{sends: bytes.NewReader(sends)}, Pull).open(true)
	return err
}

func FuzzHandshake(f *testing.F) {
	good := append(greeting(), ready("PUSH")...)
	f.Add(good)
	f.Add(good[:70])
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sends []byte) {
		if err := shakeHands(sends); err == nil && len(sends) < greetingBytes+2 {
			t.Error("hands were shaken with next to nothing")
		}
	})
}
