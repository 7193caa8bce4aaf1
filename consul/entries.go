package consul

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// entries decodes the answers of one watch. Consul always answers with all instances of the service, 2 KB for each,
// though mostly one of them has changed: an entry that stands in the last answer byte for byte is not decoded again, and
// one that stands where it stood then, or moved up by one because another is gone, is not even looked through for its
// end. That is most of the time between a change and its being known.
type entries struct {
	known  []knownEntry // those of the last answer, in its order
	buffer []byte       // that it was read into
}

type knownEntry struct {
	text     []byte
	instance *Instance
}

// decode reads a whole answer, as it arrives. The order is ours, so that equal states compare equal.
func (e *entries) decode(answer io.Reader) ([]Instance, error) {
	seen := make([]knownEntry, 0, len(e.known)+1)
	place := 0 // in known, of the entry that comes next if nothing has changed
	s := &splitter{r: answer, held: e.buffer[:0]}
	err := s.array(func() error {
		next, i, err := e.take(s, place)
		if i >= 0 {
			place = i + 1
		}
		seen = append(seen, next)
		return err
	})
	if err != nil {
		return nil, err
	}
	e.known, e.buffer = seen, s.held
	instances := make([]Instance, len(seen))
	for i, entry := range seen {
		instances[i] = *entry.instance
	}
	if !slices.IsSortedFunc(instances, byNode) {
		slices.SortStableFunc(instances, byNode)
	}
	return instances, nil
}

// take takes the next entry. It also tells where in the last answer that was, -1 if it was not there.
func (e *entries) take(s *splitter, place int) (knownEntry, int, error) {
	for i := place; i < min(place+2, len(e.known)); i++ {
		if s.skip(e.known[i].text) {
			return e.known[i], i, nil
		}
	}
	text, err := s.object()
	if err != nil {
		return knownEntry{}, -1, err
	}
	for n := range e.known {
		if i := (place + n) % len(e.known); bytes.Equal(e.known[i].text, text) {
			return e.known[i], i, nil
		}
	}
	instance, err := decodeEntry(text)
	return knownEntry{bytes.Clone(text), instance}, -1, err
}

// decodeEntry decodes one instance. The library panics on some malformed checks, which is an error here.
func decodeEntry(text []byte) (_ *Instance, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the answer is malformed: %v", cause)
		}
	}()
	var entry api.ServiceEntry
	if err := json.Unmarshal(text, &entry); err != nil {
		return nil, err
	}
	if entry.Node == nil || entry.Service == nil || slices.Contains(entry.Checks, nil) {
		return nil, errMalformed
	}
	instance := newInstance(&entry)
	return &instance, nil
}

var (
	errMalformed = errors.New("the answer has an instance without a node or a service, or an empty check")
	errNoArray   = errors.New("the answer is not a JSON array of objects")
	errTooLarge  = errors.New("the answer has an entry of more than 16 MiB")
)

const (
	readSize    = 64 << 10
	maxElement  = 16 << 20
	jsonSpaces  = " \t\r\n"
	unexpectEOF = "the answer ends in the middle: %w"
)

// array reads a JSON array of objects, and calls take at the beginning of each, which must take that object, and may
// before it has arrived whole. Whether an object is valid JSON is for whoever decodes it to find.
func (s *splitter) array(take func() error) error {
	switch c, err := s.next(); {
	case err != nil:
		return err
	case c != '[':
		return errNoArray
	}
	c, err := s.next()
	switch {
	case err != nil:
		return err
	case c == ']':
		return s.end()
	}
	for {
		if c != '{' {
			return errNoArray
		}
		s.at-- // the brace
		if err := take(); err != nil {
			return err
		}
		switch c, err = s.next(); {
		case err != nil:
			return err
		case c == ']':
			return s.end()
		case c != ',':
			return errNoArray
		}
		if c, err = s.next(); err != nil {
			return err
		}
	}
}

// splitter reads ahead, and keeps what it has read of the present element.
type splitter struct {
	r     io.Reader
	held  []byte // read and not yet given away
	at    int    // what is before it in held is done with
	ended error  // io.EOF, or why reading failed
}

// fill reads more behind what is held. It reports io.ErrUnexpectedEOF at the end.
func (s *splitter) fill() error {
	if s.ended != nil {
		if errors.Is(s.ended, io.EOF) {
			return fmt.Errorf(unexpectEOF, io.ErrUnexpectedEOF)
		}
		return s.ended
	}
	if s.at > 0 {
		s.held = s.held[:copy(s.held, s.held[s.at:])]
		s.at = 0
	}
	s.held = slices.Grow(s.held, readSize)
	n, err := s.r.Read(s.held[len(s.held):cap(s.held)])
	s.held, s.ended = s.held[:len(s.held)+n], err
	return nil
}

// next takes the next byte that is not space.
func (s *splitter) next() (byte, error) {
	for {
		for s.at < len(s.held) {
			c := s.held[s.at]
			s.at++
			if strings.IndexByte(jsonSpaces, c) < 0 {
				return c, nil
			}
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// skip takes the object that comes next if it is this one, byte for byte.
func (s *splitter) skip(object []byte) bool {
	for {
		arrived := s.held[s.at:min(s.at+len(object), len(s.held))]
		switch {
		case !bytes.Equal(arrived, object[:len(arrived)]):
			return false
		case len(arrived) == len(object):
			s.at += len(object)
			return true
		case s.fill() != nil:
			return false // as object will find, and say
		}
	}
}

// object takes the object that comes next, and returns it. It is good until more is taken.
func (s *splitter) object() ([]byte, error) {
	depth, quoted, escaped := 0, false, false
	for i := 0; ; i++ {
		for s.at+i == len(s.held) {
			if i > maxElement {
				return nil, errTooLarge
			}
			if err := s.fill(); err != nil {
				return nil, err
			}
		}
		switch c := s.held[s.at+i]; {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				text := s.held[s.at : s.at+i+1]
				s.at += i + 1
				return text, nil
			}
		}
	}
}

// end wants nothing but space to be left.
func (s *splitter) end() error {
	for {
		if len(bytes.Trim(s.held[s.at:], jsonSpaces)) > 0 {
			return errNoArray
		}
		s.at = len(s.held)
		switch {
		case errors.Is(s.ended, io.EOF):
			return nil
		case s.ended != nil:
			return s.ended
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}
