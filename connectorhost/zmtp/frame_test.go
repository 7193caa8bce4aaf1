package zmtp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// encode is a message on the wire, written by the letter of ZMTP.
func encode(flags byte, body []byte) []byte {
	if len(body) < 256 {
		return append([]byte{flags, byte(len(body))}, body...)
	}
	return append(binary.BigEndian.AppendUint64([]byte{flags | flagLong}, uint64(len(body))), body...)
}

func newReader(in io.Reader, max int64) *reader {
	return &reader{in: bufio.NewReaderSize(in, 16), max: max}
}

func TestWhatIsWrittenIsReadHoweverItComesInPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := rapid.SliceOf(rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 600), 1, 5)).Draw(t, "messages")
		var wire []byte
		for _, message := range messages {
			for i, frame := range message {
				if rapid.IntRange(0, 5).Draw(t, "ping") == 0 {
					wire = append(wire, encode(flagCommand, []byte("\x04PING\x00\x00"))...)
				}
				more := byte(flagMore)
				if i == len(message)-1 {
					more = 0
				}
				wire = append(wire, encode(more, frame)...)
			}
		}
		open := false
		r := newReader(iotest.OneByteReader(bytes.NewReader(wire)), 4000)
		r.unfinished = func(int64) { open = r.open }
		for _, want := range messages {
			var got [][]byte
			for got == nil {
				var cmd *command
				var err error
				if got, cmd, err = r.next(); err != nil {
					t.Fatal(err)
				}
				if cmd != nil && cmd.name != "PING" {
					t.Fatalf("command %q", cmd.name)
				}
			}
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("got %q, want %q", got, want)
			}
			if open {
				t.Fatal("the end of the message was not told")
			}
		}
		if _, _, err := r.next(); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
	})
}

func TestFramesThatAreRefused(t *testing.T) {
	claim := func(flags byte, size uint64) string {
		return string(binary.BigEndian.AppendUint64([]byte{flags | flagLong}, size))
	}
	for _, test := range []struct {
		name, wire string
		cause      Cause
		says       string
	}{
		{"2^62 bytes", claim(0, 1<<62), Oversized, "a message claims 4611686018427387904 bytes, up to 1000 are allowed"},
		{"2^64-1 bytes", claim(0, 1<<64-1), Oversized, "18446744073709551615"},
		{"1 GiB", claim(0, 1<<30), Oversized, "1073741824"},
		{"one byte too many", claim(0, 1001), Oversized, "a message claims 1001 bytes"},
		{"too many in all frames", string(encode(flagMore, make([]byte, 600))) + string(encode(0, make([]byte, 401))), Oversized, "claims 600 and 401 bytes"},
		{"too many frames", strings.Repeat("\x01\x00", maxFrames) + "\x00\x00", Oversized, "more than 1024 frames"},
		{"a large command", claim(flagCommand, maxCommandBytes+1), Oversized, "a command claims 65537 bytes"},
		{"a reserved flag", "\x08\x00", Protocol, "reserved flags 0x08"},
		{"a command of two frames", "\x05\x00", Protocol, "more than one frame"},
		{"a command without a name", "\x04\x00", Protocol, "no name"},
		{"a command with half a name", "\x04\x03\x04PI", Protocol, "no name"},
		{"half a header", "\x02\x00\x00", Left, "mid-message"},
		{"half a body", "\x00\x05abc", Left, "mid-message"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := newReader(strings.NewReader(test.wire), 1000).next()
			var f *fault
			if err = broken("message", err); !errors.As(err, &f) || f.cause != test.cause || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAClaimAllocatesNothing(t *testing.T) {
	wire := append(binary.BigEndian.AppendUint64([]byte{flagLong}, maxMessageLimit), 1, 2, 3)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := newReader(bytes.NewReader(wire), maxMessageLimit).next()
	runtime.ReadMemStats(&after)
	if err == nil || after.TotalAlloc-before.TotalAlloc > 4*firstPiece {
		t.Errorf("%d bytes, %v", after.TotalAlloc-before.TotalAlloc, err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x05hello"))
	f.Add([]byte("\x01\x01a\x00\x00\x04\x07\x04PING\x00\x00"))
	f.Add(binary.BigEndian.AppendUint64([]byte{flagLong}, 1<<62))
	f.Fuzz(func(t *testing.T, wire []byte) {
		const max = 1 << 20
		r := newReader(bytes.NewReader(wire), max)
		total := 0
		for {
			message, cmd, err := r.next()
			if err != nil {
				return
			}
			if (message == nil) == (cmd == nil) {
				t.Fatal("neither a message nor a command, or both")
			}
			if size(message) > max || len(message) > maxFrames {
				t.Fatalf("a message of %d frames and %d bytes", len(message), size(message))
			}
			if total += int(size(message)) + 2*len(message); total > len(wire) {
				t.Fatalf("%d bytes of messages were made of %d", total, len(wire))
			}
		}
	})
}
