package edit

import (
	"slices"
	"testing"
)

func TestScan(t *testing.T) {
	tests := map[string]struct {
		line, text, comment string
		words               []string
	}{
		"nothing":             {line: ""},
		"spaces":              {line: " \t\v\f\r"},
		"comment alone":       {line: "  # zatoha", comment: "# zatoha"},
		"directive":           {line: "  mode  http ", text: "mode  http", words: []string{"mode", "http"}},
		"marked":              {line: "\tmode http # zatoha one\r", text: "mode http", comment: "# zatoha one", words: []string{"mode", "http"}},
		"glued":               {line: "mode http# zatoha", text: "mode http", comment: "# zatoha", words: []string{"mode", "http"}},
		"double quotes":       {line: `a "b # c" # d`, text: `a "b # c"`, comment: "# d", words: []string{"a", "b # c"}},
		"single quotes":       {line: `a 'b # "c' # d`, text: `a 'b # "c'`, comment: "# d", words: []string{"a", `b # "c`}},
		"quote within a word": {line: `a b"#"c`, text: `a b"#"c`, words: []string{"a", "b#c"}},
		"escaped #":           {line: `a \# zatoha`, text: `a \# zatoha`, words: []string{"a", "#", "zatoha"}},
		"escaped backslash":   {line: `a \\# zatoha`, text: `a \\`, comment: "# zatoha", words: []string{"a", `\`}},
		"escaped space":       {line: `a b\  # zatoha`, text: `a b\ `, comment: "# zatoha", words: []string{"a", "b "}},
		"escaped quotes":      {line: `a \" # \"`, text: `a \"`, comment: `# \"`, words: []string{"a", `"`}},
		"quote in quotes":     {line: `a "\" # x" # y`, text: `a "\" # x"`, comment: "# y", words: []string{"a", `" # x`}},
		"no escape in single": {line: `a '\' # x`, text: `a '\'`, comment: "# x", words: []string{"a", `\`}},
		"no escape at all":    {line: `a \1\ # x`, text: `a \1\ `, comment: "# x", words: []string{"a", `\1 `}},
		"variable's default":  {line: `a "${B-"#'}" # x`, text: `a "${B-"#'}"`, comment: "# x", words: []string{"a", `${B-"#'}`}},
		"variable unquoted":   {line: `a ${B-#}`, text: `a ${B-`, comment: "#}", words: []string{"a", "${B-"}},
		"variable left open":  {line: `a "${B # zatoha`, text: `a "${B # zatoha`, words: []string{"a", "${B # zatoha"}},
		"escaped dollar":      {line: `a "\${"#"}"`, text: `a "\${"`, comment: `#"}"`, words: []string{"a", "${"}},
		"open double quote":   {line: `a "b # zatoha`, text: `a "b # zatoha`, words: []string{"a", "b # zatoha"}},
		"open single quote":   {line: `a b' # zatoha`, text: `a b' # zatoha`, words: []string{"a", "b # zatoha"}},
		"carriage return":     {line: "a b\rc # zatoha", text: "a b", words: []string{"a", "b"}},
		"return behind space": {line: "a \r # zatoha", text: "a", comment: "# zatoha", words: []string{"a"}},
		"NUL":                 {line: "a\x00 # zatoha", text: "a", words: []string{"a"}},
		"no-break space":      {line: "a\xa0b # zatoha", text: "a\xa0b", comment: "# zatoha", words: []string{"a\xa0b"}},
		"empty word":          {line: `a "" b`, text: `a "" b`, words: []string{"a", "", "b"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := scan(test.line, nil)
			if s.text != test.text || s.comment != test.comment || !slices.Equal(s.words, test.words) {
				t.Errorf("scan(%q)\n got text %q comment %q words %q\nwant text %q comment %q words %q",
					test.line, s.text, s.comment, s.words, test.text, test.comment, test.words)
			}
		})
	}
}

func TestMark(t *testing.T) {
	tests := map[string]struct {
		note   string
		marked bool
	}{
		"mode http # zatoha":            {marked: true},
		"mode http# zatoha":             {marked: true},
		"mode http # zatoha\t a # b \r": {marked: true, note: "a # b"},
		"mode http":                     {},
		"# zatoha":                      {},
		`"" # zatoha`:                   {marked: true},
		"mode http #zatoha":             {},
		"mode http #  zatoha":           {},
		"mode http ## zatoha":           {},
		"mode http # zatohas":           {},
		"mode http # zatoha-like":       {},
		"mode http # Zatoha":            {},
		"mode http # was # zatoha":      {},
		`mode "http # zatoha"`:          {},
		`mode http\# zatoha`:            {},
	}
	for line, want := range tests {
		note, marked := scan(line, nil).note()
		if marked != want.marked || note != want.note {
			t.Errorf("%q: got note %q, marked %t, want %q, %t", line, note, marked, want.note, want.marked)
		}
	}
}

func TestIdentify(t *testing.T) {
	tests := map[string]identity{
		"global":                      {"global", ""},
		"global x":                    {"global", ""},
		"defaults":                    {"defaults", ""},
		"defaults from base":          {"defaults", ""},
		"defaults zatoha from base":   {"defaults", "zatoha"},
		"frontend f from zatoha":      {"frontend", "f"},
		`  "frontend" f\ f # comment`: {"frontend", "f f"},
		"no frontend f":               {},
		"use_backend b":               {},
		"# frontend f":                {},
		"Frontend f":                  {},
	}
	for line, want := range tests {
		if id, ok := identify(scan(line, nil).words); id != want || ok != (want.kind != "") {
			t.Errorf("%q: got %q, %t, want %q", line, id, ok, want)
		}
	}
}
