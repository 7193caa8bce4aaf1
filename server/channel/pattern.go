package channel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pattern is a path with parameters: "/orders/{id}/lines". A segment between slashes is a name, which is taken as it is,
// or a parameter, {id}, which is taken by any segment that is not empty. The last segment may be a rest, {file...}, which
// is taken by whatever follows the slash before it, nothing included. Paths are compared decoded and cleaned: without %,
// without empty segments, dots and double dots. A slash at the end counts.
type Pattern struct {
	segments []segment
}

type segment struct {
	kind kind
	text string // the name, or the parameter's
}

// kind orders segments: the less, the more specific.
type kind int

const (
	literal kind = iota
	parameter
	rest
)

const (
	mostSegments = 64
	longestPath  = longest
)

// reserved are the paths that servers have for themselves: what begins with the first, and the others.
const reservedPrefix = "/zato/"

var reservedPaths = []string{"/zato", "/metrics", "/zato-lb-alive"}

// ParsePattern reads a pattern.
func ParsePattern(path string) (Pattern, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return Pattern{}, fmt.Errorf("%s: must begin with /", quoted(path))
	case len(path) > longestPath:
		return Pattern{}, fmt.Errorf("%s: has more than %d bytes", quoted(path), longestPath)
	case strings.HasPrefix(path, reservedPrefix), slices.Contains(reservedPaths, path):
		return Pattern{}, fmt.Errorf("%s: is the server's own, choose a path outside of /zato/ and not /metrics", quoted(path))
	}
	var p Pattern
	var names []string
	texts := strings.Split(path[1:], "/")
	if len(texts) > mostSegments {
		return Pattern{}, fmt.Errorf("%s: has more than %d segments", quoted(path), mostSegments)
	}
	for i, text := range texts {
		s, err := parseSegment(text, i == len(texts)-1)
		if err != nil {
			return Pattern{}, fmt.Errorf("%s: %w", quoted(path), err)
		}
		if s.kind != literal {
			if slices.Contains(names, s.text) {
				return Pattern{}, fmt.Errorf("%s: has the parameter %s twice", quoted(path), s.text)
			}
			names = append(names, s.text)
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

var (
	errEmpty   = errors.New("has an empty segment, which no request has")
	errDots    = errors.New("has a segment . or .., which no request has")
	errCharset = errors.New("must not have any of % ? # \\, spaces and control characters: write it as it is when decoded")
	errBraces  = errors.New("a parameter must be a whole segment, as in /orders/{id}")
	errRest    = errors.New("a rest, as in {file...}, must be the last segment")
	errName    = errors.New("the name of a parameter must be of letters, digits and _ and not begin with a digit")
)

func parseSegment(text string, last bool) (segment, error) {
	switch {
	case text == "" && !last:
		return segment{}, errEmpty
	case text == "." || text == "..":
		return segment{}, errDots
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`%?#\`, r) }):
		return segment{}, errCharset
	case !strings.ContainsAny(text, "{}"):
		return segment{literal, text}, nil
	}
	inner, opened := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !opened || !closed || strings.ContainsAny(inner, "{}") {
		return segment{}, errBraces
	}
	s := segment{parameter, inner}
	if name, found := strings.CutSuffix(inner, "..."); found {
		if s = (segment{rest, name}); !last {
			return segment{}, errRest
		}
	}
	for i := range len(s.text) {
		if c := s.text[i]; !letterOrDigit(c) && c != '_' || i == 0 && c >= '0' && c <= '9' {
			return segment{}, errName
		}
	}
	if s.text == "" {
		return segment{}, errName
	}
	return s, nil
}

// Shape is what two patterns have in common that take the same paths: the pattern without the names of its parameters.
func (p Pattern) Shape() string {
	var shape strings.Builder
	for _, s := range p.segments {
		switch s.kind {
		case literal:
			shape.WriteString("/" + s.text)
		case parameter:
			shape.WriteString("/{}")
		case rest:
			shape.WriteString("/{...}")
		}
	}
	return shape.String()
}

// Compare orders patterns from the more to the less specific: what counts is the first segment in which they differ, and
// there a name comes before a parameter and a parameter before a rest. Of two patterns that take the same path and are
// not of one shape, one always comes before the other. Between patterns that have no path in common the order is
// arbitrary.
func (p Pattern) Compare(other Pattern) int {
	return slices.CompareFunc(p.segments, other.segments, func(a, b segment) int {
		switch {
		case a.kind != b.kind:
			return int(a.kind) - int(b.kind)
		case a.kind == literal:
			return strings.Compare(a.text, b.text)
		default:
			return 0
		}
	})
}
