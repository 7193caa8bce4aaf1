package edit

import "strings"

// scanned is one line as HAProxy's parse_line (src/tools.c) takes it apart.
type scanned struct {
	text    string   // the directive as it stands, from its first to its last word
	words   []string // its words without quotes; variables, \t, \n, \r and \xNN stay as they stand
	comment string   // from "#" to the last character that is no space; "" where there is no comment
}

// scan takes a line without its line feed apart. The words are appended to the given slice.
//
// A line that HAProxy refuses, for an open quote say, has no comment.
func scan(line string, words []string) scanned {
	i := skipSpace(line, 0)
	start, end := i, i
	for i < len(line) && line[i] != '#' && !endsLine(line[i]) {
		end = wordEnd(line, i)
		words = append(words, unquote(line[i:end]))
		if i = end; i < len(line) && !endsLine(line[i]) {
			i = skipSpace(line, i)
		}
	}
	s := scanned{text: line[start:end], words: words}
	if i < len(line) && line[i] == '#' {
		s.comment = trimSpace(line[i:])
	}
	return s
}

// wordEnd returns where the word ends that starts at line[i].
func wordEnd(line string, i int) int {
	var quote byte
	for i < len(line) && !endsLine(line[i]) {
		if line[i] >= '-' && line[i] != '\\' { // nearly all are, and none of these means anything
			i++
			continue
		}
		if quote == 0 && (line[i] == '#' || isSpace(line[i])) {
			break
		}
		var n int
		n, _, quote = next(line[i:], quote)
		i += n
	}
	return i
}

func unquote(word string) string {
	if !strings.ContainsAny(word, `"'\`) {
		return word
	}
	var b strings.Builder
	var quote byte
	for i := 0; i < len(word); {
		n, literal, after := next(word[i:], quote)
		b.WriteString(literal)
		i, quote = i+n, after
	}
	return b.String()
}

// next reads the first character or escape of s, while quote is open (0 for none): how many bytes it takes, what it
// stands for, and the quote that is open behind it.
func next(s string, quote byte) (n int, literal string, after byte) {
	switch c := s[0]; {
	case c == quote:
		return 1, "", 0
	case quote == 0 && (c == '"' || c == '\''):
		return 1, "", c
	case c == '\\' && quote != '\'' && len(s) > 1 && escapable(s[1], quote):
		return 2, s[1:2], quote
	case quote == '"' && strings.HasPrefix(s, "${"):
		// Quotes mean nothing in the default of a variable: "${NAME-it's}".
		n = strings.IndexByte(s, '}') + 1
		if n == 0 {
			n = len(s)
		}
		return n, s[:n], quote
	}
	return 1, s[:1], quote
}

// escapable says whether a backslash before c makes c an ordinary character. Before any other it is one itself.
func escapable(c, quote byte) bool {
	return strings.IndexByte(` \#'"`, c) >= 0 || c == '$' && quote == '"'
}

// endsLine says whether HAProxy reads no further than c, even inside quotes. Among other spaces a carriage return is one.
func endsLine(c byte) bool { return c == '\r' || c == 0 }

const spaces = " \t\n\v\f\r"

func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }

func trimSpace(s string) string { return strings.Trim(s, spaces) }

func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}
