package front

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pieces make texts of which about a half is JSON.
var pieces = []string{
	"{", "}", "[", "]", ":", ",", `"`, `"a"`, `"a":1`, "true", "false", "null", "tru", "0", "-0", "01", "-", "1.5", "1.", ".5", "1e9",
	"1E+2", "1e", "\\", `\"`, `\u00e9`, `\u00g0`, `\x`, " ", "\n", "\t", "\r", "\v", "\x00", "\x1f", "é", "\xff", "\u2028",
}

func TestValidJSONIsWhatEncodingJSONTakes(t *testing.T) {
	for _, nested := range []int{9_999, 10_000, 10_001} {
		text := strings.Repeat("[", nested) + strings.Repeat("]", nested)
		if got, want := validJSON([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("%d lists in each other: %t, want %t", nested, got, want)
		}
	}
	valid := 0
	check := func(t *rapid.T, text []byte) {
		want := json.Valid(text)
		if want {
			valid++
		}
		if got := validJSON(text); got != want {
			t.Fatalf("%q: %t, want %t", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 8).Draw(t, "pieces"), "")))
		value := anything(3).Draw(t, "value")
		text, err := json.MarshalIndent(value, rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "prefix"), " ")
		if err != nil {
			t.Fatal(err)
		}
		check(t, text)
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		check(t, append(text[:at:at], text[at+1:]...)) // a byte less
		text[at] = rapid.Byte().Draw(t, "byte")
		check(t, text)
	})
	if valid == 0 {
		t.Error("nothing valid was tried")
	}
}

func anything(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.String().AsAny(), rapid.Float64().AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
	}
	if depth > 0 {
		leaves = append(leaves, rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return anything(depth - 1) }), 0, 4).AsAny(),
			rapid.MapOfN(rapid.String(), rapid.Deferred(func() *rapid.Generator[any] { return anything(depth - 1) }), 0, 4).AsAny())
	}
	return rapid.OneOf(leaves...)
}

func FuzzValidJSON(f *testing.F) {
	for _, piece := range pieces {
		f.Add([]byte(piece))
	}
	for _, text := range []string{orderBody, `[{"a": [1, -2.5e+3, "\u00e9\n", {}]}, [], null]`, `{"a" : "b" , "c":[true,false]} x`, "[1,]", `{"a":1,}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := validJSON(text), json.Valid(text); got != want {
			t.Errorf("%t, want %t", got, want)
		}
	})
}

func BenchmarkValidJSON(b *testing.B) {
	for name, valid := range map[string]func([]byte) bool{"ours": validJSON, "encoding-json": json.Valid} {
		b.Run(name, func(b *testing.B) {
			text := []byte(orderBody)
			for b.Loop() {
				valid(text)
			}
		})
	}
}
