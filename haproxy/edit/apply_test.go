package edit

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// typical is what a cluster of n instances wants, in a pool of the given number of slots.
func typical(slots, n int) []Section {
	backend := sectionOf("backend bck_http_plain from zatoha", "balance roundrobin")
	for i := range slots {
		line := Line{Text: fmt.Sprintf("server slot-%03d 127.0.0.1:1 disabled", i+1)}
		if i < n {
			line = Line{
				Text: fmt.Sprintf("server slot-%03d 127.0.0.1:%d weight 1", i+1, 17010+i),
				Note: fmt.Sprintf("zato-server-%d", i+1),
			}
		}
		backend.Lines = append(backend.Lines, line)
	}
	return []Section{
		sectionOf("global", "stats socket /run/zatoha.sock mode 600 level admin expose-fd listeners", "tune.bufsize 65536"),
		sectionOf("defaults zatoha", "mode http", "timeout connect 1s", "timeout client 60s", "timeout server 30s"),
		sectionOf("frontend front_http_plain from zatoha",
			"bind 0.0.0.0:11223", "monitor-uri /zato-lb-alive", "default_backend bck_http_plain"),
		backend,
	}
}

func sectionOf(header string, lines ...string) Section {
	s := Section{Header: header}
	for _, text := range lines {
		s.Lines = append(s.Lines, Line{Text: text})
	}
	return s
}

func corpus(t testing.TB) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/corpus/*.cfg")
	if err != nil || len(paths) < 25 {
		t.Fatalf("corpus: %d files, %v", len(paths), err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		texts[filepath.Base(path)] = read(t, path)
	}
	return texts
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestApplyGolden(t *testing.T) {
	moved := typical(3, 2)
	moved[3].Lines[2] = Line{Text: "server slot-002 10.0.0.7:17011 weight 5", Note: "zato-server-9"}
	renamed := typical(3, 2)
	renamed[2].Header = "frontend front_http_plain from base"

	tests := map[string]struct {
		before string // in the corpus
		want   []Section
	}{
		"fresh":           {"empty.cfg", typical(3, 2)},
		"debian":          {"debian-default.cfg", typical(3, 2)},
		"changed-address": {"ours-mixed.cfg", moved},
		"grown-pool":      {"ours-mixed.cfg", typical(6, 4)},
		"shrunk-pool":     {"ours-mixed.cfg", typical(1, 1)},
		"other-defaults":  {"ours.cfg", renamed},
		"replaced":        {"ours-old.cfg", typical(2, 1)},
		"uninstalled":     {"ours.cfg", nil},
		"crlf":            {"crlf-ours.cfg", typical(3, 3)},
		"no-newline":      {"no-final-newline.cfg", typical(1, 1)},
		"no-newline-ours": {"no-final-newline-ours.cfg", typical(2, 2)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Apply(read(t, filepath.Join("testdata/corpus", test.before)), test.want)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata/golden", name+".cfg")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); got != want {
				t.Errorf("%s differs (rewrite it with -update):\n%s", golden, got)
			}
		})
	}
}

// TestApplyInPlace shows which lines move, by the old and new lines of one section; "o" lines are the operator's.
func TestApplyInPlace(t *testing.T) {
	tests := map[string]struct{ before, want, after string }{
		"same":                  {"a o1 b", "a b", "a o1 b"},
		"one changed":           {"a o1 b o2 c", "a x c", "a o1 x o2 c"},
		"grown at the end":      {"a b o1", "a b x y", "a b x y o1"},
		"grown at the start":    {"o1 a b", "x a b", "x o1 a b"},
		"grown in the middle":   {"a o1 b", "a x b", "a x o1 b"},
		"changed and grown":     {"a o1 b o2", "x y z", "x o1 y z o2"},
		"shrunk at the end":     {"a b o1 c", "a", "a o1"},
		"shrunk at the start":   {"a o1 b c", "c", "o1 c"},
		"changed and shrunk":    {"a o1 b o2 c", "x", "x o1 o2"},
		"all gone":              {"a o1 b", "", "o1"},
		"all new":               {"o1", "a b", "a b o1"},
		"repeated":              {"a a a", "a a", "a a"},
		"swapped":               {"a o1 b", "b a", "b o1 a"},
		"paired, some the same": {"a o1 b o2 c", "x b y", "x o1 b o2 y"},
	}
	build := func(lines string) string {
		var b strings.Builder
		b.WriteString("backend b # zatoha\n")
		for _, word := range strings.Fields(lines) {
			b.WriteString("    " + word)
			if !strings.HasPrefix(word, "o") {
				b.WriteString(" " + Mark)
			}
			b.WriteString("\n")
		}
		return b.String()
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Apply(build(test.before), []Section{sectionOf("backend b", strings.Fields(test.want)...)})
			if err != nil || got != build(test.after) {
				t.Errorf("got %v\n%swant\n%s", err, got, build(test.after))
			}
		})
	}
}

func TestApplyKeepsWhatAlreadySaysIt(t *testing.T) {
	const text = "\tbackend b from d# zatoha by hand\n\n\tserver\ta 1:1 # zatoha\tx \n"
	want := []Section{{Header: "backend b from d", Lines: []Line{{Text: "server\ta 1:1", Note: "x"}}}}
	if got, err := Apply(text, want); err != nil || got != text {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestApplyErrors(t *testing.T) {
	plain := sectionOf("frontend front_http_plain from zatoha", "bind :1")
	tests := map[string]struct {
		text string
		want []Section
		errs []string
	}{
		"unmarked": {
			"global\n\nfrontend front_http_plain\n    bind :1 # zatoha\n",
			[]Section{plain},
			[]string{`line 3: section "frontend front_http_plain" exists and is not marked "# zatoha"; rename it, or put the mark at the end of that line to hand it over`},
		},
		"listen in the way of two": {
			"listen x\n",
			[]Section{sectionOf("frontend x"), sectionOf("backend x")},
			[]string{`line 1: section "listen x" exists and HAProxy allows no "frontend x" beside it; rename it`},
		},
		"in the way of listen": {
			"frontend x\nbackend x # zatoha?\n",
			[]Section{sectionOf("listen x")},
			[]string{
				`line 1: section "frontend x" exists and HAProxy allows no "listen x" beside it; rename it`,
				`line 2: section "backend x" exists and HAProxy allows no "listen x" beside it; rename it`,
			},
		},
		"a name shared as HAProxy allows": {
			"frontend x\nglobal\ndefaults\npeers x\n",
			[]Section{sectionOf("backend x"), sectionOf("global"), sectionOf("defaults"), sectionOf("resolvers x")},
			nil,
		},
		"named defaults": {
			"defaults zatoha from base\n",
			[]Section{sectionOf("defaults zatoha")},
			[]string{`line 1: section "defaults zatoha" exists and is not marked "# zatoha"; rename it, or put the mark at the end of that line to hand it over`},
		},
		"marked twice": {
			"global # zatoha\nbackend b # zatoha\nglobal\nglobal # zatoha\n",
			[]Section{sectionOf("global")},
			[]string{`line 4: section "global" is marked "# zatoha" a second time, after line 1; remove one of the two`},
		},
		"held": {
			"backend b # zatoha\n    # note\n\n    mode tcp # zatoha\n    retries 3\n",
			nil,
			[]string{`line 5: section "backend b" is no longer wanted, but this line in it is not marked "# zatoha"; move it to a section of your own or delete it`},
		},
		"held by nothing but comments and conditions": {
			"backend b # zatoha\n    # note\n\n    mode tcp # zatoha\n.if 1\nfrontend f\n.endif\n",
			nil, nil,
		},
		"no section":     {"", []Section{sectionOf("server a")}, []string{`wanted section "server a": no such kind of section; use one that HAProxy has`}},
		"section twice":  {"", []Section{sectionOf("backend a"), sectionOf("backend a from d")}, []string{`wanted section "backend a from d": wanted twice; give all its lines in one section`}},
		"header in line": {"", []Section{sectionOf("backend a", "backend b")}, []string{`wanted section "backend a": line "backend b # zatoha": starts a section of its own; make it one`}},
		"bad header":     {"", []Section{sectionOf("backend a # b")}, []string{`wanted section "backend a # b": ` + unwritable}},
		"bad lines": {
			"",
			[]Section{sectionOf("backend a", "ok", "a # b", `a "`, `a \`, " a", "a\nb", "a\r", "a\x00b", "")},
			slices.Repeat([]string{`wanted section "backend a": line `}, 8),
		},
		"bad notes": {
			"",
			[]Section{{Header: "backend a", Lines: []Line{{Text: "a", Note: " a"}, {Text: "a", Note: "a\n b"}, {Text: "a", Note: `# " \`}}}},
			slices.Repeat([]string{`wanted section "backend a": line "a # zatoha `}, 2),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Apply(test.text, test.want)
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if !slices.EqualFunc(got, test.errs, strings.HasPrefix) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.errs, "\n"))
			}
		})
	}
}

func TestErrorsAreTyped(t *testing.T) {
	_, err := Apply("backend gone # zatoha\n    mode tcp\nlisten x\n", []Section{sectionOf("backend x", "#")})
	var clash *ClashError
	var held *HeldError
	var want *WantError
	if !errors.As(err, &clash) || !errors.As(err, &held) || !errors.As(err, &want) {
		t.Fatalf("want one of each, got %v", err)
	}
	if *clash != (ClashError{Line: 3, Section: "listen x", Wanted: "backend x"}) {
		t.Errorf("clash: %+v", *clash)
	}
	if *held != (HeldError{Line: 2, Section: "backend gone"}) {
		t.Errorf("held: %+v", *held)
	}
	if want.Section != "backend x" || want.Text != "# # zatoha" {
		t.Errorf("want: %+v", *want)
	}
}

func TestReadRefusesTwins(t *testing.T) {
	_, err := Read(read(t, "testdata/corpus/clash-twice.cfg"))
	var clash *ClashError
	if !errors.As(err, &clash) || clash.Line != 7 || clash.First != 4 {
		t.Errorf("got %v", err)
	}
}

func BenchmarkApply(b *testing.B) {
	for _, slots := range []int{500, 5000} {
		text, err := Apply(read(b, "testdata/corpus/tls-front.cfg"), typical(slots, slots))
		if err != nil {
			b.Fatal(err)
		}
		moved := typical(slots, slots)
		for i := range moved[3].Lines {
			moved[3].Lines[i].Text += " check"
		}
		for name, want := range map[string][]Section{
			"nothing": typical(slots, slots), "all": moved, "half-gone": typical(slots/2, slots/2),
		} {
			b.Run(fmt.Sprintf("servers=%d/changed=%s", slots, name), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Apply(text, want); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
