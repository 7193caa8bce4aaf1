package edit

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// headers are the sections that the properties draw from. Some are in the corpus, as ours or as the operator's.
var headers = []string{
	"global", "defaults", "defaults zatoha", "defaults zatoha from base",
	"frontend front_http_plain from zatoha", "frontend front_http_plain", "frontend f",
	"backend bck_http_plain from zatoha", "backend bck_http_plain", "backend bck_gone", `backend "quoted"`,
	"listen bck_http_plain", "listen ours", "resolvers gone", "peers ours", "userlist admins", "program ours",
}

// texts are directives that are hard to tell from comments, and easy ones.
var texts = []string{
	"mode http", "balance roundrobin", ".if 1", "server a 127.0.0.1:1", `http-request set-header X "a # zatoha"`,
	`acl a path /\#\ b`, `acl b path 'it"s # so'`, `acl c path \\`, `acl d path "${E-"#}"`, `acl e path x\ `,
}

func lines() *rapid.Generator[Line] {
	return rapid.Custom(func(t *rapid.T) Line {
		text := rapid.OneOf(
			rapid.SampledFrom(texts),
			rapid.StringMatching(`server slot-00[1-3] 127\.0\.0\.1:1701[0-2]( weight [0-9])?`),
			rapid.StringMatching(`[a-z]{1,3}( [a-z\\"' #]{1,6})?`),
		).Filter(writable).Draw(t, "text")
		note := rapid.SampledFrom([]string{"", "", "zato-server-1", "zato-server-2", `a # "b`}).Draw(t, "note")
		return Line{Text: text, Note: note}
	})
}

func writable(text string) bool {
	s, same := reread(Line{Text: text}, nil)
	_, header := identify(s.words)
	return same && !header
}

// wanted draws sections that are all different.
func wanted() *rapid.Generator[[]Section] {
	return rapid.Custom(func(t *rapid.T) []Section {
		id := func(header string) identity {
			id, _ := identify(scan(header, nil).words)
			return id
		}
		var sections []Section
		for _, header := range rapid.SliceOfNDistinct(rapid.SampledFrom(headers), 0, 5, id).Draw(t, "headers") {
			sections = append(sections, Section{Header: header, Lines: rapid.SliceOfN(lines(), 0, 8).Draw(t, header)})
		}
		return sections
	})
}

func texture(t *testing.T) *rapid.Generator[string] {
	files := corpus(t)
	names := slices.Sorted(maps.Keys(files))
	return rapid.Custom(func(t *rapid.T) string { return files[rapid.SampledFrom(names).Draw(t, "file")] })
}

// foreign are all lines but ours, byte for byte.
func foreign(text string) []string {
	f := parse(text)
	for _, s := range f.ours() {
		f.blank(s)
	}
	return f.raws()
}

func (f *file) ours() []section {
	return slices.DeleteFunc(slices.Clone(f.sections), func(s section) bool { return !s.ours })
}

// blank takes what is ours in a section of ours out of the file.
func (f *file) blank(s section) {
	for _, i := range append(s.owned, s.header) {
		f.lines[i].raw = ""
	}
}

func (f *file) raws() []string {
	var raws []string
	for _, l := range f.lines {
		raws = append(raws, l.raw)
	}
	return raws
}

// predicted are the foreign bytes that Apply(text, want) must leave: those of the text, less the blank line above each
// section that goes, and one blank line more for each that comes.
func predicted(text string, want []Section) string {
	f := parse(text)
	coming := map[identity]bool{}
	for _, w := range want {
		id, _ := identify(scan(w.Header, nil).words)
		coming[id] = true
	}
	for _, s := range f.ours() {
		if coming[s.identity] {
			delete(coming, s.identity)
			continue
		}
		f.blank(s)
		if above := s.header - 1; above >= 0 && strings.Trim(f.lines[above].raw, "\r\n") == "" {
			f.lines[above].raw = ""
		}
	}
	remaining := strings.Join(f.raws(), "")
	left := strings.Join(foreign(remaining), "")
	if len(coming) == 0 {
		return left
	}
	if left != "" && !strings.HasSuffix(left, "\n") {
		left += f.eol
	}
	blanks := len(coming)
	if remaining == "" {
		blanks--
	}
	return left + strings.Repeat(f.eol, blanks)
}

// byIdentity makes sections comparable whatever their order, and no lines the same as none.
func byIdentity(sections []Section) []Section {
	sorted := slices.Clone(sections)
	slices.SortFunc(sorted, func(a, b Section) int { return cmp.Compare(a.Header, b.Header) })
	for i := range sorted {
		sorted[i].Lines = append([]Line{}, sorted[i].Lines...)
	}
	return sorted
}

func check(t *rapid.T, text string, want []Section) (string, bool) {
	got, err := Apply(text, want)
	if err != nil {
		return "", false
	}
	if left := strings.Join(foreign(got), ""); left != predicted(text, want) {
		t.Fatalf("foreign bytes changed:\n%q\nwant\n%q\nfile\n%s", left, predicted(text, want), got)
	}
	read, err := Read(got)
	if err != nil || !reflect.DeepEqual(byIdentity(read), byIdentity(want)) {
		t.Fatalf("read back %v\n%+v\nwant\n%+v\nfile\n%s", err, read, want, got)
	}
	if again, err := Apply(got, want); err != nil || again != got {
		t.Fatalf("not idempotent: %v\n%s\nthen\n%s", err, got, again)
	}
	return got, true
}

func TestApplyProperties(t *testing.T) {
	texts := texture(t)
	rapid.Check(t, func(t *rapid.T) {
		text, first, second := texts.Draw(t, "text"), wanted().Draw(t, "first"), wanted().Draw(t, "second")
		between, ok := check(t, text, first)
		if !ok {
			return
		}
		direct, directOK := check(t, text, second)
		detour, detourOK := check(t, between, second)
		if directOK != detourOK {
			t.Fatalf("applied directly: %t, after another edit: %t", directOK, detourOK)
		}
		if strings.TrimRight(substance(direct), "\r\n") != strings.TrimRight(substance(detour), "\r\n") {
			t.Fatalf("foreign bytes depend on the edit before:\n%q\n%q", foreign(direct), foreign(detour))
		}
	})
}

// substance is the foreign lines that are not blank. How many blank lines there are depends on which sections came and
// went; check holds every edit to the exact number.
func substance(text string) string {
	return strings.Join(slices.DeleteFunc(foreign(text), func(raw string) bool { return trimSpace(raw) == "" }), "")
}

func TestApplyAndTakeBack(t *testing.T) {
	for name, text := range corpus(t) {
		if len(parse(text).ours()) > 0 {
			continue
		}
		with, err := Apply(text, []Section{sectionOf("global", "a"), sectionOf("backend ours", "b", "c")})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		without, err := Apply(with, nil)
		if err != nil || without != text && without != text+"\n" {
			t.Errorf("%s: %v, got %q", name, err, without)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, text := range corpus(f) {
		f.Add(text)
	}
	want := typical(3, 2)
	f.Fuzz(func(t *testing.T, text string) {
		if sections, err := Read(text); err == nil {
			for _, s := range sections {
				_, _ = Servers(s)
			}
		}
		got, err := Apply(text, want)
		if err != nil {
			return
		}
		if left := strings.Join(foreign(got), ""); left != predicted(text, want) {
			t.Errorf("foreign bytes changed:\n%q\nwant\n%q", left, predicted(text, want))
		}
		if again, err := Apply(got, want); err != nil || again != got {
			t.Errorf("not idempotent: %v\n%q\nthen\n%q", err, got, again)
		}
	})
}
