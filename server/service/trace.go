package service

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// Trace is a place in a distributed trace, as in W3C Trace Context: the call that is being made, in the trace that it is
// part of. The zero value is none.
type Trace struct {
	id    [16]byte
	span  [8]byte
	flags byte
}

const (
	traceParentLength = 2 + 1 + 32 + 1 + 16 + 1 + 2 // version, trace, span, flags
	sampled           = 1
)

// ParseTrace reads a traceparent header. What is not one by the letter of the standard is none: found is false.
func ParseTrace(header string) (trace Trace, found bool) {
	if len(header) < traceParentLength || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return Trace{}, false
	}
	var version, flags [1]byte
	ok := decodeLower(version[:], header[:2]) && decodeLower(trace.id[:], header[3:35]) &&
		decodeLower(trace.span[:], header[36:52]) && decodeLower(flags[:], header[53:55])
	switch rest := header[traceParentLength:]; {
	case !ok, version[0] == 0xff, trace.id == [16]byte{}, trace.span == [8]byte{}:
		return Trace{}, false
	case rest != "" && (version[0] == 0 || rest[0] != '-'): // a later version may have more behind a dash
		return Trace{}, false
	}
	trace.flags = flags[0] & sampled // of a later version's flags we know no more
	return trace, true
}

// decodeLower reads hexadecimal digits; capitals are none in the standard.
func decodeLower(to []byte, digits string) bool {
	for i := range len(digits) {
		if digits[i] >= 'A' && digits[i] <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to, []byte(digits))
	return err == nil
}

// Child is a further call in the same trace.
func (t Trace) Child() Trace {
	binary.NativeEndian.PutUint64(t.span[:], rand.Uint64())
	t.span[0] |= 1
	return t
}

// Sampled says whether the trace is being recorded.
func (t Trace) Sampled() bool { return t.flags&sampled != 0 }

// IsZero says whether this is no trace.
func (t Trace) IsZero() bool { return t.id == [16]byte{} }

// String is the traceparent header to send on, empty for none.
func (t Trace) String() string {
	if t.IsZero() {
		return ""
	}
	text := make([]byte, 0, traceParentLength)
	text = append(text, "00-"...)
	text = hex.AppendEncode(text, t.id[:])
	text = append(text, '-')
	text = hex.AppendEncode(text, t.span[:])
	text = append(text, '-')
	return string(hex.AppendEncode(text, []byte{t.flags}))
}
