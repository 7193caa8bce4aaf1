package remote

import (
	"slices"
	"strings"

	"zatoha/haproxy/edit"
)

// restore puts back the marks that the API drops: that of a section's header if there is a marked line below it, and,
// in such a section, that of a line which says just what we want there. The operator's global section is ours too when
// our global lines have been moved into it; lines without a mark in it stay the operator's. No line is added or
// removed, so that line numbers stay those of the file.
func restore(text string, want []edit.Section) string {
	lines := slices.Collect(strings.Lines(text))
	for start := 0; start < len(lines); {
		end := start + 1
		for end < len(lines) && !isHeader(lines[end]) {
			end++
		}
		for _, section := range want {
			if isHeader(lines[start]) && heads(lines[start], section.Header) && slices.ContainsFunc(lines[start+1:end], marked) {
				restoreSection(lines[start:end], section)
			}
		}
		start = end
	}
	return strings.Join(lines, "")
}

func restoreSection(lines []string, want edit.Section) {
	wanted := map[string]bool{}
	for _, line := range want.Lines {
		wanted[squeezed(line.Text)] = true
	}
	for i, line := range lines {
		if !marked(line) && (i == 0 || wanted[squeezed(line)]) {
			lines[i] = strings.TrimRight(line, " \t\r\n") + " " + edit.Mark + "\n"
		}
	}
}

// isHeader says whether a line starts a section: the API indents all others but comments.
func isHeader(line string) bool { return strings.TrimLeft(line[:1], " \t#\r\n") != "" }

// heads says whether a line is the header of the section with that header: of the same kind and, if it has one, name.
func heads(line, header string) bool {
	have, want := strings.Fields(line), strings.Fields(header)
	name := min(len(want), 2)
	return len(have) >= name && slices.Equal(have[:name], want[:name])
}

func marked(line string) bool {
	return !strings.HasPrefix(strings.TrimSpace(line), "#") && strings.Contains(line, " "+edit.Mark)
}

func squeezed(line string) string { return strings.Join(strings.Fields(line), " ") }
