package edit

import (
	"fmt"
	"slices"
	"strings"
)

// Difference says in words what has become of sections of ours: which lines are others, gone or new. It is "" if they are
// the same, and one line of text, however much has changed:
//
//	backend b: "balance leastconn # zatoha" in place of "balance roundrobin # zatoha"; global: "stats timeout 1m # zatoha" is gone
func Difference(before, after []Section) string {
	if slices.EqualFunc(sorted(before), sorted(after), same) {
		return ""
	}
	was, is := entries(before), entries(after)
	gone, come := without(was, is), without(is, was)
	var told []string
	for _, old := range gone {
		i := slices.IndexFunc(come, old.becomes)
		if i < 0 {
			told = append(told, fmt.Sprintf("%s: %s is gone", old.section, old.quoted()))
			continue
		}
		told = append(told, fmt.Sprintf("%s: %s in place of %s", old.section, come[i].quoted(), old.quoted()))
		come = slices.Delete(come, i, i+1)
	}
	for _, line := range come {
		told = append(told, fmt.Sprintf("%s: %s is new", line.section, line.quoted()))
	}
	return summary(told)
}

// sorted are the sections in an order of their own: an operator may move them in the file.
func sorted(sections []Section) []Section {
	return slices.SortedFunc(slices.Values(sections), func(a, b Section) int { return strings.Compare(a.Header, b.Header) })
}

func same(a, b Section) bool { return a.Header == b.Header && slices.Equal(a.Lines, b.Lines) }

// toldAtMost is how many differences are told one by one, and quotedAtMost how much of a line.
const (
	toldAtMost   = 4
	quotedAtMost = 120
)

func summary(told []string) string {
	if len(told) == 0 {
		return "the lines stand in another order"
	}
	text := strings.Join(told[:min(toldAtMost, len(told))], "; ")
	if more := len(told) - toldAtMost; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// entry is a line of ours, or a header, and where it stands.
type entry struct {
	section identity
	text    string
}

func entries(sections []Section) (all []entry) {
	for _, section := range sections {
		id, _ := identify(strings.Fields(section.Header))
		all = append(all, entry{id, Line{Text: section.Header}.String()})
		for _, line := range section.Lines {
			all = append(all, entry{id, line.String()})
		}
	}
	return all
}

// without are the lines that the others lack, each as often as they lack it.
func without(lines, others []entry) (left []entry) {
	there := make(map[entry]int, len(others))
	for _, line := range others {
		there[line]++
	}
	for _, line := range lines {
		if there[line]--; there[line] < 0 {
			left = append(left, line)
		}
	}
	return left
}

// becomes says whether the other line is about the same thing: the same directive, or the same server.
func (e entry) becomes(other entry) bool {
	return e.section == other.section && e.subject() == other.subject()
}

func (e entry) subject() string {
	words := strings.Fields(e.text)
	n := 1
	if words[0] == "server" || words[0] == "timeout" || words[0] == "option" {
		n = 2
	}
	return strings.Join(words[:min(n, len(words))], " ")
}

// quoted is the line with its mark, which may have been what somebody changed behind.
func (e entry) quoted() string {
	text := []rune(e.text)
	if len(text) > quotedAtMost {
		text = append(text[:quotedAtMost], '…')
	}
	return fmt.Sprintf("%q", string(text))
}
