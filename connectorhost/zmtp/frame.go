package zmtp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Flags of a frame; the other bits are reserved and must be 0.
const (
	flagMore    = 1 << 0
	flagLong    = 1 << 1
	flagCommand = 1 << 2
)

const (
	maxFrames       = 1024     // of a message: each costs memory, also an empty one
	maxCommandBytes = 64 << 10 // the longest in use subscribes to a key
	firstPiece      = 64 << 10 // is allocated for a frame before its bytes are there
)

// reader takes messages and commands off a connection. It believes no header: a frame's memory grows with the bytes that
// have come.
type reader struct {
	in  *bufio.Reader
	max int64 // bytes of a message
	// unfinished, if set, is told how many bytes beyond the first piece are held of a message that is not complete, before
	// they are, and in the end 0. It may be the place where a deadline is set and where memory is accounted for, and may
	// wait until there is some.
	unfinished func(held int64)

	parts [][]byte // of the message so far
	size  int64    // of the parts
	open  bool     // unfinished was told of bytes or of a wait
}

// command is a ZMTP command.
type command struct {
	name string
	body []byte
}

// next returns a whole message, or a command, which may also come between the frames of a message.
func (r *reader) next() (message [][]byte, cmd *command, err error) {
	for {
		flags, size, err := r.header()
		if err != nil {
			return nil, nil, err
		}
		body, err := r.body(size)
		if err != nil {
			return nil, nil, err
		}
		if flags&flagCommand != 0 {
			if len(r.parts) == 0 {
				r.done()
			}
			cmd, err := parseCommand(body)
			return nil, cmd, err
		}
		r.parts, r.size = append(r.parts, body), r.size+int64(size)
		if flags&flagMore == 0 {
			message, r.parts, r.size = r.parts, nil, 0
			r.done()
			return message, nil, nil
		}
		if r.open {
			r.held(r.size)
		}
	}
}

// header reads what is before a frame and says whether the frame may come.
func (r *reader) header() (flags byte, size int, err error) {
	if flags, err = r.in.ReadByte(); err != nil {
		return 0, 0, err
	}
	length := 1
	if flags&flagLong != 0 {
		length = 8
	}
	r.wait(length)
	var digits [8]byte
	if _, err := io.ReadFull(r.in, digits[8-length:]); err != nil {
		return 0, 0, unexpected(err)
	}
	claimed := binary.BigEndian.Uint64(digits[:])
	switch {
	case flags&^(flagMore|flagLong|flagCommand) != 0:
		return 0, 0, faultf(Protocol, "a frame has the reserved flags %#02x", flags)
	case flags&flagCommand != 0 && flags&flagMore != 0:
		return 0, 0, faultf(Protocol, "a command has more than one frame")
	case flags&flagCommand != 0 && claimed > maxCommandBytes:
		return 0, 0, faultf(Oversized, "a command claims %d bytes, up to %d are allowed", claimed, maxCommandBytes)
	case flags&flagCommand != 0:
	case claimed > uint64(r.max) || r.size+int64(claimed) > r.max:
		return 0, 0, faultf(Oversized, "a message claims %s%d bytes, up to %d are allowed", r.before(), claimed, r.max)
	case len(r.parts) >= maxFrames:
		return 0, 0, faultf(Oversized, "a message has more than %d frames", maxFrames)
	}
	return flags, int(claimed), nil
}

// before tells of the frames before the one that is too much.
func (r *reader) before() string {
	if r.size == 0 {
		return ""
	}
	return fmt.Sprintf("%d and ", r.size)
}

func (r *reader) body(size int) ([]byte, error) {
	r.wait(size)
	body := make([]byte, 0, min(size, firstPiece))
	for {
		end := min(cap(body), size)
		n, err := io.ReadFull(r.in, body[len(body):end])
		body = body[:len(body)+n]
		if err != nil {
			return nil, unexpected(err)
		}
		if len(body) == size {
			return body, nil
		}
		larger := min(2*end, size)
		r.held(r.size + int64(larger))
		body = append(make([]byte, 0, larger), body...)
	}
}

// wait is called before a read in mid-message that may have to wait.
func (r *reader) wait(n int) {
	if !r.open && r.in.Buffered() < n {
		r.held(r.size)
	}
}

func (r *reader) held(bytes int64) {
	r.open = true
	if r.unfinished != nil {
		r.unfinished(max(0, bytes-firstPiece))
	}
}

func (r *reader) done() {
	if !r.open {
		return
	}
	if r.open = false; r.unfinished != nil {
		r.unfinished(0)
	}
}

// unexpected marks an end that is not between two frames.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func parseCommand(body []byte) (*command, error) {
	if len(body) == 0 || int(body[0]) > len(body)-1 {
		return nil, faultf(Protocol, "a command has no name")
	}
	name := 1 + int(body[0])
	return &command{name: string(body[1:name]), body: body[name:]}, nil
}
