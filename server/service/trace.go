package service

import (
	"context"
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
	state string
}

const (
	traceParentLength = 2 + 1 + 32 + 1 + 16 + 1 + 2 // version, trace, span, flags
	sampled           = 1
	longestState      = 512 // bytes; the standard wants no more to be passed on
)

// NewTrace begins a trace, one that is recorded.
func NewTrace() Trace {
	t := Trace{flags: sampled}
	binary.NativeEndian.PutUint64(t.id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(t.id[8:], rand.Uint64())
	t.id[0] |= 1 // all zeros is no trace
	return t.Child()
}

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

// ID names the trace, in hexadecimal digits.
func (t Trace) ID() string { return hex.EncodeToString(t.id[:]) }

// Span names the call within the trace.
func (t Trace) Span() string { return hex.EncodeToString(t.span[:]) }

// Sampled says whether the trace is being recorded.
func (t Trace) Sampled() bool { return t.flags&sampled != 0 }

// IsZero says whether this is no trace.
func (t Trace) IsZero() bool { return t.id == [16]byte{} }

// WithState is the place with what tracing systems on the way have noted, the header tracestate. One that is too long, or
// has bytes that no header may have, is dropped, and the trace goes on without.
func (t Trace) WithState(state string) Trace {
	t.state = ""
	if len(state) > longestState || t.IsZero() {
		return t
	}
	for i := range len(state) {
		if c := state[i]; (c < ' ' && c != '\t') || c > '~' {
			return t
		}
	}
	t.state = state
	return t
}

// State is the tracestate header to send on beside String, empty for none.
func (t Trace) State() string { return t.state }

// traceKey is what a [Context] has its trace under for whoever gets it as a context.Context.
type traceKey struct{}

// TraceOf is the place of the call that a context is of, zero if it is of none.
func TraceOf(ctx context.Context) Trace {
	trace, _ := ctx.Value(traceKey{}).(Trace)
	return trace
}

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
