package edit

import "fmt"

// ClashError says that a section of ours cannot be in the file, because another one is in its place. Nothing was
// changed.
type ClashError struct {
	Line    int    // of the header that is in the way, counted from 1
	Section string // its kind and name, e.g. "listen front_http_plain"
	Wanted  string // kind and name of ours, e.g. "frontend front_http_plain"
	First   int    // where Section is ours, but there twice, the line of the first one; else 0
}

func (e *ClashError) Error() string {
	switch {
	case e.First != 0:
		return fmt.Sprintf("line %d: section %q is marked %q a second time, after line %d; remove one of the two",
			e.Line, e.Section, Mark, e.First)
	case e.Section != e.Wanted:
		return fmt.Sprintf("line %d: section %q exists and HAProxy allows no %q beside it; rename it",
			e.Line, e.Section, e.Wanted)
	}
	return fmt.Sprintf("line %d: section %q exists and is not marked %q; rename it, or put the mark at the end of that line to hand it over",
		e.Line, e.Section, Mark)
}

// HeldError says that a section of ours is no longer wanted but cannot be removed, because the operator added a
// directive to it. Nothing was changed.
type HeldError struct {
	Line    int    // of the operator's first directive, counted from 1
	Section string // kind and name, e.g. "backend bck_http_plain"
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("line %d: section %q is no longer wanted, but this line in it is not marked %q; move it to a section of your own or delete it",
		e.Line, e.Section, Mark)
}

// WantError says that a wanted section cannot be written, whatever the file. Nothing was changed.
type WantError struct {
	Section string // the header as it was given
	Text    string // the line that cannot be written, with its note behind the mark; "" if it is the section itself
	Problem string // what is wrong, and the remedy
}

func (e *WantError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("wanted section %q: %s", e.Section, e.Problem)
	}
	return fmt.Sprintf("wanted section %q: line %q: %s", e.Section, e.Text, e.Problem)
}
