package zmtp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

const (
	greetingBytes = 64
	minorVersion  = 1 // of ZMTP 3: PING, PONG and subscriptions by command are understood
	maxReadyBytes = 8 << 10
)

// gate is the connection that the library sees. While hands are shaken, it hands over the greeting and the READY command
// of the peer when they are there as a whole and have been found good; later the library only writes.
type gate struct {
	net.Conn
	in      *bufio.Reader
	out     *bufio.Writer
	written int64 // bytes that the operating system took

	patience time.Duration // how long a write may go without progress; 0 while hands are shaken

	ours     Type
	theirs   string // the peer's socket type
	minor    byte   // of the ZMTP version that the peer speaks
	stage    int    // how many units have been read: greeting, READY
	checked  []byte // read and found good, not handed over yet
	greeting bool   // ours has been sent
}

func newGate(conn net.Conn, ours Type) *gate {
	g := &gate{Conn: conn, ours: ours}
	g.in = bufio.NewReaderSize(conn, 16<<10)
	g.out = bufio.NewWriterSize(countingWriter{g}, 16<<10)
	return g
}

// countingWriter counts also what a write that failed got rid of, and is patient as long as there is progress.
type countingWriter struct{ g *gate }

const writePiece = 256 << 10

func (w countingWriter) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		if w.g.patience > 0 {
			if err := w.g.SetWriteDeadline(time.Now().Add(w.g.patience)); err != nil {
				return written, err
			}
		}
		var n int
		n, err = w.g.Conn.Write(p[written:min(len(p), written+writePiece)])
		written += n
	}
	w.g.written += int64(written)
	return written, err
}

// open shakes hands. The deadline of the connection bounds it.
func (g *gate) open(listening bool) (*zmq4.Conn, error) {
	conn, err := zmq4.Open(g, null.Security(), zmq4.SocketType(g.ours), nil, listening, nil)
	if err != nil {
		return nil, broken("handshake", err)
	}
	return conn, nil
}

// Read is for the library while it shakes hands.
func (g *gate) Read(p []byte) (int, error) {
	if err := g.out.Flush(); err != nil {
		return 0, err
	}
	if len(g.checked) == 0 {
		read := []func() ([]byte, error){g.readGreeting, g.readReady}
		if g.stage == len(read) {
			return 0, faultf(Protocol, "the library reads on after the handshake")
		}
		unit, err := read[g.stage]()
		if err != nil {
			return 0, broken("handshake", err)
		}
		g.stage, g.checked = g.stage+1, unit
	}
	n := copy(p, g.checked)
	g.checked = g.checked[n:]
	return n, nil
}

// Write buffers; whoever wants it sent flushes.
func (g *gate) Write(p []byte) (int, error) {
	if !g.greeting && len(p) == greetingBytes {
		// The library says 3.0, and would be right if it had to read what comes.
		g.greeting = true
		p = bytes.Clone(p)
		p[11] = minorVersion
	}
	return g.out.Write(p)
}

// readGreeting gives up at the first byte that is wrong, so that whoever does not speak ZMTP is cut off at once.
func (g *gate) readGreeting() ([]byte, error) {
	greeting := make([]byte, greetingBytes)
	for _, end := range []int{1, 11, greetingBytes} {
		from := map[int]int{1: 0, 11: 1, greetingBytes: 11}[end]
		if _, err := io.ReadFull(g.in, greeting[from:end]); err != nil {
			return nil, err
		}
		if err := checkGreeting(greeting[:end]); err != nil {
			return nil, err
		}
	}
	g.minor = greeting[11]
	if greeting[10] > 3 {
		g.minor = minorVersion
	}
	return greeting, nil
}

// checkGreeting says what is wrong with the beginning of a greeting.
func checkGreeting(greeting []byte) error {
	if greeting[0] != 0xff {
		return faultf(Protocol, "this is no ZeroMQ peer, it begins with %q", greeting[:1])
	}
	if len(greeting) < 11 {
		return nil
	}
	if greeting[9] != 0x7f {
		return faultf(Protocol, "this is no ZeroMQ peer, its signature is %x", greeting[:10])
	}
	if greeting[10] < 3 {
		return faultf(Mismatch, "the peer speaks ZMTP before 3.0: update its libzmq to 4.0 or newer")
	}
	if len(greeting) < greetingBytes {
		return nil
	}
	if mechanism := strings.TrimRight(string(greeting[12:32]), "\x00"); mechanism != "NULL" {
		return faultf(Mismatch, "the peer wants the security mechanism %q: only NULL is offered", mechanism)
	}
	if greeting[32] > 1 {
		return faultf(Protocol, "the peer's greeting is malformed")
	}
	return nil
}

// readReady reads the peer's READY command and makes one with nothing in it but the socket type, because the library
// would panic at a truncated property and at a type that it does not know.
func (g *gate) readReady() ([]byte, error) {
	var head [9]byte
	if _, err := io.ReadFull(g.in, head[:2]); err != nil {
		return nil, err
	}
	size := uint64(head[1])
	switch head[0] {
	case flagCommand:
	case flagCommand | flagLong:
		if _, err := io.ReadFull(g.in, head[2:]); err != nil {
			return nil, err
		}
		size = binary.BigEndian.Uint64(head[1:])
	default:
		return nil, faultf(Protocol, "instead of READY the peer sends a frame with the flags %#02x", head[0])
	}
	if size > maxReadyBytes {
		return nil, faultf(Oversized, "the peer's READY claims %d bytes, up to %d are allowed", size, maxReadyBytes)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(g.in, body); err != nil {
		return nil, unexpected(err)
	}
	theirs, err := readyType(body)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(partners[g.ours], theirs) {
		return nil, faultf(Mismatch, "the peer is a %q socket: a %s socket talks with %s",
			theirs, g.ours, strings.Join(partners[g.ours], " and "))
	}
	g.theirs = theirs
	return ready(theirs), nil
}

const socketType = "Socket-Type"

// readyType is the socket type in the body of a READY command.
func readyType(body []byte) (string, error) {
	cmd, err := parseCommand(body)
	if err != nil {
		return "", err
	}
	switch cmd.name {
	case "READY":
	case "ERROR":
		why := cmd.body[min(1, len(cmd.body)):]
		return "", faultf(Mismatch, "the peer refuses: %q", why[:min(len(why), 200)])
	default:
		return "", faultf(Protocol, "instead of READY the peer sends %q", cmd.name)
	}
	for rest := cmd.body; len(rest) > 0; {
		name, value, after, ok := property(rest)
		if !ok {
			return "", faultf(Protocol, "the peer's READY has a truncated property")
		}
		if strings.EqualFold(name, socketType) {
			return value, nil
		}
		rest = after
	}
	return "", faultf(Protocol, "the peer's READY tells no socket type")
}

func property(data []byte) (name, value string, rest []byte, ok bool) {
	end := 1 + int(data[0])
	if data[0] == 0 || len(data) < end+4 {
		return "", "", nil, false
	}
	size := uint64(binary.BigEndian.Uint32(data[end:]))
	if uint64(len(data)) < uint64(end)+4+size {
		return "", "", nil, false
	}
	from, to := end+4, end+4+int(size)
	return string(data[1:end]), string(data[from:to]), data[to:], true
}

// ready encodes a READY command with one property.
func ready(theirs string) []byte {
	body := append([]byte{5}, "READY"...)
	body = append(append(body, byte(len(socketType))), socketType...)
	body = append(binary.BigEndian.AppendUint32(body, uint32(len(theirs))), theirs...)
	return append([]byte{flagCommand, byte(len(body))}, body...)
}
