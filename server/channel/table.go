package channel

import (
	"fmt"
	"slices"
	"strings"
)

// Table leads requests to targets of the caller's: by method and path, the most specific pattern first (see
// [Pattern.Compare]), among those that take the method. A HEAD is led as a GET where nothing takes HEAD itself. Make it
// by adding to an empty one; after that it is safe for concurrent use.
//
// Inside it is a tree with a level for each segment. A search tries names before parameters before rests, so what it
// finds first is the most specific; it visits a node at most once, so no path costs more than there are patterns.
type Table[T any] struct {
	root node[T]
}

type node[T any] struct {
	names     map[string]*node[T]
	parameter *node[T]
	rest      *node[T]
	targets   map[string]*target[T] // by method; of patterns that end here
}

type target[T any] struct {
	value      T
	owner      string
	parameters []string // their names, in the order of the path
}

// Conflict says that two channels claim the same requests.
type Conflict struct {
	Channel, Other string // the one that was refused, and the one that was there
	Method, Shape  string
}

// Error implements error.
func (c *Conflict) Error() string {
	return fmt.Sprintf("%s %s: channel %q has it already, and %q cannot have it too", c.Method, c.Shape, c.Other, c.Channel)
}

// Add leads the methods of a pattern to a target, in the name of a channel. It returns a [Conflict], and changes nothing,
// if another has one of them in a pattern of the same shape.
func (t *Table[T]) Add(channel string, pattern Pattern, methods []string, value T) error {
	at := &t.root
	added := target[T]{value: value, owner: channel}
	for _, s := range pattern.segments {
		if s.kind != literal {
			added.parameters = append(added.parameters, s.text)
		}
		at = at.child(s)
	}
	for _, method := range methods {
		if other, taken := at.targets[method]; taken {
			return &Conflict{Channel: channel, Other: other.owner, Method: method, Shape: pattern.Shape()}
		}
	}
	if at.targets == nil {
		at.targets = map[string]*target[T]{}
	}
	for _, method := range methods {
		at.targets[method] = &added
	}
	return nil
}

// child is the node below for a segment, made if there is none.
func (n *node[T]) child(s segment) *node[T] {
	switch s.kind {
	case parameter:
		if n.parameter == nil {
			n.parameter = &node[T]{}
		}
		return n.parameter
	case rest:
		if n.rest == nil {
			n.rest = &node[T]{}
		}
		return n.rest
	}
	if n.names == nil {
		n.names = map[string]*node[T]{}
	}
	if n.names[s.text] == nil {
		n.names[s.text] = &node[T]{}
	}
	return n.names[s.text]
}

// Match is where a request is led to.
type Match[T any] struct {
	Found      bool
	Target     T
	Parameters []string // names of the path's parameters
	Values     []string // their values, parts of the path that was asked for
	// Allow are the methods that the path takes, in order, where none was found; empty if it takes none.
	Allow []string
}

// Match looks a request up. The path must be decoded and cleaned. Without parameters it allocates nothing.
func (t *Table[T]) Match(method, path string) Match[T] {
	if !strings.HasPrefix(path, "/") {
		return Match[T]{}
	}
	s := search[T]{method: method}
	found := s.in(&t.root, path[1:])
	if found == nil && method == "HEAD" {
		s = search[T]{method: "GET"}
		found = s.in(&t.root, path[1:])
	}
	if found == nil {
		return Match[T]{Allow: t.allow(path)}
	}
	return Match[T]{Found: true, Target: found.value, Parameters: found.parameters, Values: s.values}
}

// search goes down the tree for one method, or for all of them.
type search[T any] struct {
	method string
	values []string // of the parameters on the way down
	allow  []string // every method met, of a search that is to find nothing
	all    bool     // that it is one
}

// in looks for what takes the path below a node. The path is without the slash before it.
func (s *search[T]) in(n *node[T], path string) *target[T] {
	segment, below, more := strings.Cut(path, "/")
	next := func(child *node[T], value bool) *target[T] {
		if child == nil {
			return nil
		}
		if value {
			s.push(segment)
		}
		var found *target[T]
		if more {
			found = s.in(child, below)
		} else {
			found = s.at(child)
		}
		if found == nil && value {
			s.values = s.values[:len(s.values)-1]
		}
		return found
	}
	if found := next(n.names[segment], false); found != nil {
		return found
	}
	if segment != "" {
		if found := next(n.parameter, true); found != nil {
			return found
		}
	}
	if n.rest == nil {
		return nil
	}
	found := s.at(n.rest)
	if found != nil {
		s.push(path)
	}
	return found
}

func (s *search[T]) push(value string) {
	if s.values == nil {
		s.values = make([]string, 0, 4) // few paths have more
	}
	s.values = append(s.values, value)
}

func (s *search[T]) at(n *node[T]) *target[T] {
	if !s.all {
		return n.targets[s.method]
	}
	for method := range n.targets {
		if !slices.Contains(s.allow, method) {
			s.allow = append(s.allow, method)
		}
	}
	return nil
}

// allow is every method that some pattern with this path takes.
func (t *Table[T]) allow(path string) []string {
	s := search[T]{all: true}
	s.in(&t.root, path[1:])
	slices.Sort(s.allow)
	return s.allow
}
