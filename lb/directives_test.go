package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var code = regexp.MustCompile("`([^`]+)`")

// documented is the table of directives for operators, row by row: what it is about, and the option.
func documented(t *testing.T) (rows [][2]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## What HAProxy is told\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, " | "); found && len(cells) >= 3 && strings.HasPrefix(line, "| `") {
			rows = append(rows, [2]string{cells[0], cells[1]})
		}
	}
	return rows
}

// is says whether a line of haproxy.cfg has the directive: its first word, and the other ones in that order.
func is(line []string, directive string) bool {
	words := strings.Fields(directive)
	if line[0] != words[0] {
		return false
	}
	for _, word := range line {
		if len(words) > 0 && word == words[0] {
			words = words[1:]
		}
	}
	return len(words) == 0
}

// directives are the lines of those of our configurations that have every directive.
func directives(t *testing.T) (lines [][]string) {
	t.Helper()
	for _, name := range []string{"all.cfg", "other.cfg"} {
		text, err := os.ReadFile(filepath.Join("..", "haproxy", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if text, _, _ := strings.Cut(line, "# zatoha"); strings.HasPrefix(text, " ") {
				lines = append(lines, strings.Fields(text))
			}
		}
	}
	return lines
}

func TestEveryDirectiveIsInTheTableForOperators(t *testing.T) {
	var known []string
	for _, row := range documented(t) {
		for _, found := range code.FindAllStringSubmatch(row[0], -1) {
			known = append(known, found[1])
		}
	}
	lines := directives(t)
	for _, line := range lines {
		if !slices.ContainsFunc(known, func(directive string) bool { return is(line, directive) }) {
			t.Errorf("%q is missing", strings.Join(line, " "))
		}
	}
	for _, directive := range known {
		if !slices.ContainsFunc(lines, func(line []string) bool { return is(line, directive) }) {
			t.Errorf("%q is in the table, and not in a configuration of ours", directive)
		}
	}
}

func TestEveryOptionOfTheFrontIsInTheTableForOperators(t *testing.T) {
	var grammar struct{ frontFlags }
	parser, err := kong.New(&grammar)
	if err != nil {
		t.Fatal(err)
	}
	var options []string
	for _, row := range documented(t) {
		options = append(options, row[1])
	}
	for _, flag := range parser.Model.Flags {
		option := "`--" + flag.Name + "`"
		if flag.HasDefault && flag.Default != "off" {
			option += ": " + flag.Default
		}
		if flag.Name != "help" && !slices.ContainsFunc(options, func(cell string) bool { return strings.Contains(cell, option) }) {
			t.Errorf("%s is missing", option)
		}
	}
}
