package consul

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// entries decodes the answers of one watch. Consul always answers with all instances of the service, 2 KB for each,
// though mostly one of them has changed: an entry that stands in the last answer byte for byte is not decoded again.
// With thousands of instances that is most of the time between a change and its being known.
type entries struct {
	seed  maphash.Seed
	known map[uint64]*Instance // those of the last answer, by the hash of the entry
}

func newEntries() *entries { return &entries{seed: maphash.MakeSeed()} }

// decode reads a whole answer, as it arrives. The order is ours, so that equal states compare equal.
func (e *entries) decode(answer io.Reader) ([]Instance, error) {
	known := make(map[uint64]*Instance, len(e.known))
	instances := make([]Instance, 0, len(e.known))
	err := splitArray(answer, func(text []byte) error {
		hash := maphash.Bytes(e.seed, text)
		instance, unchanged := e.known[hash]
		if !unchanged {
			var err error
			if instance, err = decodeEntry(text); err != nil {
				return err
			}
		}
		known[hash] = instance
		instances = append(instances, *instance)
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.known = known
	if !slices.IsSortedFunc(instances, byNode) {
		slices.SortStableFunc(instances, byNode)
	}
	return instances, nil
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

// splitArray calls each with the text of every element of a JSON array of objects, as soon as that has arrived. The text
// is good until each returns. Whether an element is valid JSON is for whoever decodes it to find.
func splitArray(r io.Reader, each func(text []byte) error) error {
	s := &splitter{r: r}
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
		text, err := s.object()
		if err != nil {
			return err
		}
		if err := each(text); err != nil {
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

// object takes the rest of the object whose brace was taken last, and returns the whole of it.
func (s *splitter) object() ([]byte, error) {
	s.at-- // the brace
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
