package testqm

import (
	"encoding/binary"
	"io"
)

// maxRequest bounds a request, in bytes.
const maxRequest = 200 << 20

// request is a call that has come, whose arguments are read in order.
type request struct {
	bytes []byte
	bad   bool // it had less than was read
}

func readRequest(from io.Reader) (*request, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n > maxRequest {
		return nil, io.ErrUnexpectedEOF
	}
	r := &request{bytes: make([]byte, n)}
	_, err := io.ReadFull(from, r.bytes)
	return r, err
}

func (r *request) take(n int) []byte {
	if n < 0 || n > len(r.bytes) {
		r.bad = true
		return make([]byte, min(max(n, 0), 8))
	}
	taken := r.bytes[:n]
	r.bytes = r.bytes[n:]
	return taken
}

func (r *request) long() int32    { return int32(binary.LittleEndian.Uint32(r.take(4))) }
func (r *request) handle() int64  { return int64(binary.LittleEndian.Uint64(r.take(8))) }
func (r *request) memory() []byte { return r.take(int(r.long())) }
func (r *request) text() string   { return string(r.memory()) }

// answer is what is sent back behind completion code and reason.
type answer struct{ bytes []byte }

func (a *answer) long(value int32) {
	a.bytes = binary.LittleEndian.AppendUint32(a.bytes, uint32(value))
}

func (a *answer) memory(memory []byte) {
	a.long(int32(len(memory)))
	a.bytes = append(a.bytes, memory...)
}

// send sends an answer.
func (a *answer) send(to io.Writer, reason int32) error {
	code := int32(ccFailed)
	switch reason {
	case rcNone:
		code = ccOK
	case rcTruncatedAccepted, rcFormatError, rcConvertedTooBig:
		code = ccWarning
	}
	whole := binary.LittleEndian.AppendUint32(nil, uint32(8+len(a.bytes)))
	whole = binary.LittleEndian.AppendUint32(whole, uint32(code))
	whole = binary.LittleEndian.AppendUint32(whole, uint32(reason))
	_, err := to.Write(append(whole, a.bytes...))
	return err
}
