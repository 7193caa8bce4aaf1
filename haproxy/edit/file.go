package edit

import (
	"errors"
	"strings"
)

// Mark ends the lines that are ours. A space and a note may follow it.
const Mark = "# zatoha"

// Line is one line of ours within a section.
type Line struct {
	Text string // the directive, e.g. "server slot-001 127.0.0.1:17010 weight 1"
	Note string // what follows the mark, e.g. "zato-server-1", or ""
}

// Section is one section of ours.
type Section struct {
	Header string // e.g. "backend bck_http_plain from zatoha"
	Lines  []Line
}

// Read returns our sections with our lines in them, in the order of the file. A section that is there twice is a
// [ClashError].
func Read(text string) ([]Section, error) {
	f := parse(text)
	if err := errors.Join(f.repeated()...); err != nil {
		return nil, err
	}
	var sections []Section
	for _, s := range f.sections {
		if !s.ours {
			continue
		}
		section := Section{Header: f.lines[s.header].Text}
		for _, i := range s.owned {
			section.Lines = append(section.Lines, f.lines[i].Line)
		}
		sections = append(sections, section)
	}
	return sections, nil
}

// file is a haproxy.cfg, taken apart no further than ownership needs.
type file struct {
	lines    []line
	sections []section
	eol      string // the line ending of the first line
}

// line is any line of the file. Joined together, the raws are the file.
type line struct {
	Line        // the note only where the line is marked
	raw  string // line ending included
}

// section is a section of the file, ours or not. What stands before the first header is in none. Lines are given by
// their index in file.lines.
type section struct {
	identity
	header int
	ours   bool
	owned  []int // the marked lines
	held   []int // the directives without a mark
}

// identity is what makes two sections the same for HAProxy.
type identity struct{ kind, name string }

func (id identity) String() string { return strings.TrimSpace(id.kind + " " + id.name) }

func parse(text string) *file {
	f := &file{eol: "\n", lines: make([]line, 0, strings.Count(text, "\n")+1)}
	if first, _, _ := strings.Cut(text, "\n"); strings.HasSuffix(first, "\r") {
		f.eol = "\r\n"
	}
	var words []string
	for raw := range strings.Lines(text) {
		s := scan(strings.TrimSuffix(raw, "\n"), words[:0])
		words = s.words
		f.add(raw, s)
	}
	return f
}

func (f *file) add(raw string, s scanned) {
	note, marked := s.note()
	i := len(f.lines)
	f.lines = append(f.lines, line{Line: Line{Text: s.text, Note: note}, raw: raw})

	if id, ok := identify(s.words); ok {
		f.sections = append(f.sections, section{identity: id, header: i, ours: marked})
		return
	}
	if len(f.sections) == 0 {
		return
	}
	current := &f.sections[len(f.sections)-1]
	switch {
	case marked:
		current.owned = append(current.owned, i)
	case s.text != "" && s.text[0] != '.': // .if and its like belong to the file, not to the section above them
		current.held = append(current.held, i)
	}
}

// note returns what follows the mark, and whether the line is marked at all.
func (s scanned) note() (string, bool) {
	rest, marked := strings.CutPrefix(s.comment, Mark)
	if !marked || s.text == "" || rest != "" && !isSpace(rest[0]) {
		return "", false
	}
	return trimSpace(rest), true
}

// kinds are the words that start a section, up to HAProxy 3.2. A kind that is missing here is taken for a directive of
// the section above it, which costs nothing unless that section is ours and is to be removed; then it is a HeldError.
var kinds = map[string]bool{
	"acme": true, "backend": true, "cache": true, "crt-store": true, "defaults": true, "fcgi-app": true,
	"frontend": true, "global": true, "http-errors": true, "listen": true, "log-forward": true, "log-profile": true,
	"mailers": true, "namespace_list": true, "peers": true, "program": true, "resolvers": true, "ring": true,
	"traces": true, "userlist": true,
}

// identify tells whether a line's words start a section, and which.
func identify(words []string) (id identity, ok bool) {
	if len(words) == 0 || !kinds[words[0]] {
		return identity{}, false
	}
	id.kind = words[0]
	switch {
	case len(words) == 1, id.kind == "global", id.kind == "defaults" && words[1] == "from":
	default:
		id.name = words[1]
	}
	return id, true
}
