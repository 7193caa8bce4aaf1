package edit

import (
	"errors"
	"slices"
	"strings"
)

const indent = "    "

// String is the line as it is written: directive, mark and note, without indentation and line ending.
func (l Line) String() string {
	if l.Note == "" {
		return l.Text + " " + Mark
	}
	return l.Text + " " + Mark + " " + l.Note
}

// Apply returns the text with our part of it changed to the wanted sections: those that it has get the wanted lines,
// those that it lacks are appended, and sections of ours that are not wanted are removed. A line that already says what
// it should is not touched, so that Apply changes nothing the second time. It takes time in proportion to the text.
//
// Without an error, no byte of the operator's has changed, but that a last line without a line ending (HAProxy refuses
// it, as truncated) is given one where something of ours comes behind it. The errors are [WantError], [ClashError] and
// [HeldError], all of a run joined.
func Apply(text string, want []Section) (string, error) {
	f := parse(text)
	ids, errs := identities(want)
	errs = slices.Concat(errs, f.repeated(), f.clashes(ids))
	wanted := make(map[identity]Section, len(want))
	for i, id := range ids {
		wanted[id] = want[i]
	}

	e, present := newEditor(f), map[identity]bool{}
	for _, s := range f.sections {
		if !s.ours {
			continue
		}
		if w, ok := wanted[s.identity]; ok {
			e.rewrite(s, w)
			present[s.identity] = true
		} else if err := e.remove(s); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	for i, id := range ids {
		if !present[id] {
			e.append(want[i])
		}
	}
	return strings.Join(e.out, ""), nil
}

// editor changes a file line by line: out[i] is what stands in the place of the i-th line, and behind them is what was
// appended.
type editor struct {
	*file
	out []string
}

func newEditor(f *file) *editor {
	e := &editor{file: f, out: make([]string, len(f.lines))}
	for i, l := range f.lines {
		e.out[i] = l.raw
	}
	return e
}

// rewrite gives a section of ours its wanted header and lines. Old and new lines are matched by position: the ends that
// they have in common stay, what is between is paired one to one in place.
func (e *editor) rewrite(s section, want Section) {
	if header := e.lines[s.header].Line; header.Text != want.Header {
		header.Text = want.Header
		e.out[s.header] = header.String() + e.eol
	}
	old, lines := s.owned, want.Lines
	last := s.header
	for len(old) > 0 && len(lines) > 0 && e.lines[old[0]].Line == lines[0] {
		last, old, lines = old[0], old[1:], lines[1:]
	}
	for len(old) > 0 && len(lines) > 0 && e.lines[old[len(old)-1]].Line == lines[len(lines)-1] {
		old, lines = old[:len(old)-1], lines[:len(lines)-1]
	}
	paired := min(len(old), len(lines))
	for i, at := range old[:paired] {
		if e.lines[at].Line != lines[i] {
			e.out[at] = e.render(lines[i])
		}
		last = at
	}
	for _, at := range old[paired:] {
		e.out[at] = ""
	}
	e.insert(last, lines[paired:])
}

// insert puts new lines of ours right behind a line.
func (e *editor) insert(behind int, lines []Line) {
	if len(lines) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString(e.terminated(e.out[behind]))
	for _, l := range lines {
		b.WriteString(e.render(l))
	}
	e.out[behind] = b.String()
}

// remove takes a section of ours away, with the blank line above it. Comments and blank lines in it stay.
func (e *editor) remove(s section) error {
	if len(s.held) > 0 {
		return &HeldError{Line: s.held[0] + 1, Section: s.String()}
	}
	e.out[s.header] = ""
	for _, at := range s.owned {
		e.out[at] = ""
	}
	if above := s.header - 1; above >= 0 && strings.TrimRight(e.lines[above].raw, "\r\n") == "" {
		e.out[above] = ""
	}
	return nil
}

// append puts a new section at the end, a blank line above it unless it is the first thing in the file.
func (e *editor) append(w Section) {
	if last := e.lastLine(); last >= 0 {
		e.out[last] = e.terminated(e.out[last])
		e.out = append(e.out, e.eol)
	}
	e.out = append(e.out, Line{Text: w.Header}.String()+e.eol)
	e.insert(len(e.out)-1, w.Lines)
}

// lastLine is the index of the last line that is not removed, or -1.
func (e *editor) lastLine() int {
	last := len(e.out) - 1
	for last >= 0 && e.out[last] == "" {
		last--
	}
	return last
}

func (e *editor) render(l Line) string { return indent + l.String() + e.eol }

func (e *editor) terminated(s string) string {
	if strings.HasSuffix(s, "\n") {
		return s
	}
	return s + e.eol
}
