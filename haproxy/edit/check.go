package edit

import "strings"

// claims are the names that no other section may have beside this one. A frontend and a backend can share a name; a
// listen section is both. The "global" sections and those "defaults" that nobody can name claim nothing.
func (id identity) claims() []identity {
	switch {
	case id.kind == "global", id.name == "":
		return nil
	case id.kind == "listen":
		return []identity{{"frontend", id.name}, {"backend", id.name}}
	}
	return []identity{id}
}

// clashes finds the operator's sections that stand where wanted ones must go.
func (f *file) clashes(want []identity) []error {
	claimed := map[identity]identity{}
	for _, id := range want {
		for _, claim := range id.claims() {
			claimed[claim] = id
		}
	}
	var errs []error
	for _, s := range f.sections {
		if s.ours {
			continue
		}
		for _, claim := range s.claims() {
			if id, ok := claimed[claim]; ok {
				errs = append(errs, &ClashError{Line: s.header + 1, Section: s.String(), Wanted: id.String()})
				break
			}
		}
	}
	return errs
}

// repeated finds the sections of ours that the file has more than once.
func (f *file) repeated() []error {
	first := map[identity]int{}
	var errs []error
	for _, s := range f.sections {
		if !s.ours {
			continue
		}
		if line, ok := first[s.identity]; ok {
			errs = append(errs, &ClashError{
				Line: s.header + 1, Section: s.String(), Wanted: s.String(), First: line,
			})
			continue
		}
		first[s.identity] = s.header + 1
	}
	return errs
}

// identities checks that what is wanted can be written, and tells which sections it is, one for one.
func identities(want []Section) ([]identity, []error) {
	var errs []error
	ids := make([]identity, len(want))
	taken := map[identity]bool{}
	for i, w := range want {
		header, same := reread(Line{Text: w.Header}, nil)
		id, ok := identify(header.words)
		ids[i] = id
		switch {
		case !ok:
			errs = append(errs, &WantError{Section: w.Header, Problem: "no such kind of section; use one that HAProxy has"})
		case !same:
			errs = append(errs, &WantError{Section: w.Header, Problem: unwritable})
		case taken[id]:
			errs = append(errs, &WantError{Section: w.Header, Problem: "wanted twice; give all its lines in one section"})
		}
		taken[id] = true
		errs = append(errs, checkLines(w)...)
	}
	return ids, errs
}

const unwritable = `would not be read as it was given; quote or escape "#", close the quotes, escape a last backslash, ` +
	`and leave out control characters and spaces at the ends`

func checkLines(w Section) []error {
	var errs []error
	var words []string
	for _, l := range w.Lines {
		s, same := reread(l, words[:0])
		words = s.words
		if _, header := identify(words); header {
			errs = append(errs, &WantError{Section: w.Header, Text: l.String(), Problem: "starts a section of its own; make it one"})
		} else if !same {
			errs = append(errs, &WantError{Section: w.Header, Text: l.String(), Problem: unwritable})
		}
	}
	return errs
}

// reread takes a line apart as it will be read from the file, and says whether it is ours there and says the same.
func reread(l Line, words []string) (s scanned, same bool) {
	const endOfLine = "\r\n\x00"
	s = scan(l.String(), words)
	note, marked := s.note()
	return s, marked && s.text == l.Text && note == l.Note && !strings.ContainsAny(l.Text, endOfLine) && !strings.ContainsAny(l.Note, endOfLine)
}
