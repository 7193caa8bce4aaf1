package channel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naive is the table as the documentation has it: all patterns that take the path, the most specific of them.
type naive []struct {
	pattern Pattern
	text    string
	method  string
}

func (n naive) match(method, path string) (text string, values []string, allow []string) {
	best := -1
	for i, entry := range n {
		_, ok := takes(entry.text, path)
		if ok && !slices.Contains(allow, entry.method) {
			allow = append(allow, entry.method)
		}
		if ok && entry.method == method && (best < 0 || entry.pattern.Compare(n[best].pattern) < 0) {
			best = i
		}
	}
	slices.Sort(allow)
	if best >= 0 {
		values, _ = takes(n[best].text, path)
		return n[best].text, values, nil
	}
	if method == "HEAD" {
		if text, values, _ := n.match("GET", path); text != "" {
			return text, values, nil
		}
	}
	return "", nil, allow
}

// takes compares a pattern with a path, text with text.
func takes(pattern, path string) (values []string, ok bool) {
	wanted, got := strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/")
	for i, segment := range wanted {
		switch {
		case i >= len(got):
			return nil, false
		case strings.HasSuffix(segment, "...}"):
			return append(values, strings.Join(got[i:], "/")), true
		case strings.HasPrefix(segment, "{") && got[i] != "":
			values = append(values, got[i])
		case segment != got[i]:
			return nil, false
		}
	}
	return values, len(wanted) == len(got)
}

var (
	segments = rapid.SampledFrom([]string{"a", "b", "c", "{x}", "{y}", ""})
	lasts    = rapid.SampledFrom([]string{"a", "b", "{z}", "{z...}", ""})
	methods  = rapid.SampledFrom([]string{"GET", "POST", "HEAD"})
)

func drawPattern(t *rapid.T) string {
	names := rapid.SliceOfN(segments, 0, 4).Draw(t, "segments")
	return "/" + strings.Join(append(names, lasts.Draw(t, "last")), "/")
}

func TestTableAgreesWithTheNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table[string]
		var all naive
		taken := map[string]bool{}
		for i := range rapid.IntRange(0, 12).Draw(t, "patterns") {
			text, method := drawPattern(t), methods.Draw(t, "method")
			pattern, err := ParsePattern(text)
			if err != nil {
				continue
			}
			err = table.Add(fmt.Sprint(i), pattern, []string{method}, text)
			if claim := method + pattern.Shape(); taken[claim] != (err != nil) {
				t.Fatalf("%s %s: error %v, taken %t", method, text, err, taken[claim])
			} else if err == nil {
				taken[claim] = true
				all = append(all, struct {
					pattern Pattern
					text    string
					method  string
				}{pattern, text, method})
			}
		}
		for range 10 {
			path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", ""}), 1, 6).Draw(t, "path"), "/")
			method := methods.Draw(t, "asked")
			got := table.Match(method, path)
			text, values, allow := all.match(method, path)
			if got.Found != (text != "") || got.Target != text || !slices.Equal(got.Values, values) || !slices.Equal(got.Allow, allow) {
				t.Fatalf("%s %s: got %+v, want %q %q %q", method, path, got, text, values, allow)
			}
			if len(got.Values) != len(got.Parameters) {
				t.Fatalf("%s %s: %+v", method, path, got)
			}
		}
	})
}

// Of two patterns that take the same path and are not of one shape, one is always the more specific.
func TestSpecificityIsDecided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, err := ParsePattern(drawPattern(t))
		b, err2 := ParsePattern(drawPattern(t))
		if err != nil || err2 != nil {
			t.Skip()
		}
		if a.Compare(b) != 0 && (a.Compare(b) < 0) == (b.Compare(a) < 0) {
			t.Fatalf("%v and %v are each before the other", a, b)
		}
		if (a.Compare(b) == 0) != (a.Shape() == b.Shape()) {
			t.Fatalf("%v and %v: compare %d, shapes %s and %s", a, b, a.Compare(b), a.Shape(), b.Shape())
		}
	})
}

func TestMostSpecificWins(t *testing.T) {
	var table Table[string]
	for _, line := range []string{
		"GET /orders", "GET /orders/{id}", "POST /orders/new", "GET /orders/special", "GET /orders/{id}/lines", "GET /{any...}",
		"GET /orders/{id}/{what...}", "DELETE /orders/{id}", "GET /orders/", "GET /files/{name...}",
	} {
		method, path, _ := strings.Cut(line, " ")
		pattern, err := ParsePattern(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Add(line, pattern, []string{method}, line); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ request, want string }{
		{"GET /orders", "GET /orders []"},
		{"HEAD /orders", "GET /orders []"},
		{"GET /orders/", "GET /orders/ []"},
		{"GET /orders/7", "GET /orders/{id} [7]"},
		{"GET /orders/new", "GET /orders/{id} [new]"}, // among those that take the method
		{"POST /orders/new", "POST /orders/new []"},
		{"GET /orders/special", "GET /orders/special []"},
		{"GET /orders/special/lines", "GET /orders/{id}/lines [special]"},
		{"GET /orders/7/a/b", "GET /orders/{id}/{what...} [7 a/b]"},
		{"GET /orders/7/", "GET /orders/{id}/{what...} [7 ]"},
		{"GET /files", "GET /{any...} [files]"},
		{"GET /files/", "GET /files/{name...} []"},
		{"GET /", "GET /{any...} []"},
		{"PUT /orders/new", " [] DELETE, GET, POST"},
		{"POST /nowhere", " [] GET"},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		m := table.Match(method, path)
		got := strings.TrimSpace(fmt.Sprintf("%s %v %s", m.Target, m.Values, strings.Join(m.Allow, ", ")))
		if got != strings.TrimSpace(c.want) {
			t.Errorf("%s: %q, want %q", c.request, got, c.want)
		}
	}
	if m := table.Match("GET", "*"); m.Found || m.Allow != nil {
		t.Errorf("OPTIONS * is led to %+v", m)
	}
}

func TestConflictsNameBoth(t *testing.T) {
	var table Table[int]
	one, _ := ParsePattern("/a/{x}")
	two, _ := ParsePattern("/a/{y}")
	if err := table.Add("first", one, []string{"GET", "PUT"}, 1); err != nil {
		t.Fatal(err)
	}
	err := table.Add("second", two, []string{"POST", "PUT"}, 2)
	if err == nil || err.Error() != `PUT /a/{}: channel "first" has it already, and "second" cannot have it too` {
		t.Errorf("%v", err)
	}
	if table.Match("POST", "/a/1").Found {
		t.Error("the refused one has a part of its methods")
	}
}

func TestMatchAllocatesNothingForFixedPaths(t *testing.T) {
	var table Table[int]
	for i, path := range []string{"/a/b/c", "/a/{x}", "/{y...}"} {
		pattern, err := ParsePattern(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Add("c", pattern, []string{"GET"}, i); err != nil {
			t.Fatal(err)
		}
	}
	if got := testing.AllocsPerRun(1000, func() { table.Match("GET", "/a/b/c") }); got != 0 {
		t.Errorf("%v allocations for a fixed path, want 0", got)
	}
	if got := testing.AllocsPerRun(1000, func() { table.Match("GET", "/a/7") }); got > 1 {
		t.Errorf("%v allocations for a path with a parameter, want 1", got)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("/orders/{id}\n/orders/new\n/{rest...}", "/orders/7")
	f.Add("/{a}/{b}\n/a/{b...}", "/a//")
	f.Fuzz(func(t *testing.T, patterns, path string) {
		var table Table[string]
		var all naive
		for text := range strings.SplitSeq(patterns, "\n") {
			pattern, err := ParsePattern(text)
			if err != nil {
				continue
			}
			if table.Add(text, pattern, []string{"GET"}, text) == nil {
				all = append(all, struct {
					pattern Pattern
					text    string
					method  string
				}{pattern, text, "GET"})
			}
		}
		got := table.Match("GET", path)
		if !strings.HasPrefix(path, "/") {
			if got.Found {
				t.Fatalf("%q is led to %+v", path, got)
			}
			return
		}
		if text, values, _ := all.match("GET", path); got.Target != text || !slices.Equal(got.Values, values) {
			t.Fatalf("%q in %q: got %+v, want %q %q", path, patterns, got, text, values)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	var table Table[int]
	for i := range 1000 {
		pattern, _ := ParsePattern(fmt.Sprintf("/api/group%d/{id}/lines", i))
		if err := table.Add("c", pattern, []string{"GET"}, i); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		table.Match("GET", "/api/group777/7/lines")
	}
}
