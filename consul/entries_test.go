package consul

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// An array falls into the elements that it was made of, however it arrives and is laid out.
func TestAnArrayFallsIntoItsElements(t *testing.T) {
	element := rapid.Custom(func(r *rapid.T) map[string]any {
		return rapid.MapOfN(rapid.String(), rapid.OneOf(
			rapid.Map(rapid.StringMatching(`[\[\]{}",: \\x]{0,9}`), func(s string) any { return s }),
			rapid.Map(rapid.SliceOfN(rapid.String(), 0, 3), func(s []string) any { return s }),
			rapid.Map(rapid.Int(), func(n int) any { return map[string]any{"n": n} }),
		), 0, 4).Draw(r, "object")
	})
	rapid.Check(t, func(r *rapid.T) {
		space := rapid.StringMatching(`[ \t\r\n]{0,2}`)
		var want []string
		var array strings.Builder
		array.WriteString(space.Draw(r, "before") + "[")
		for i, e := range rapid.SliceOfN(element, 0, 5).Draw(r, "elements") {
			text, err := json.Marshal(e)
			if err != nil {
				r.Fatal(err)
			}
			if i > 0 {
				array.WriteString(space.Draw(r, "space") + ",")
			}
			array.WriteString(space.Draw(r, "space") + string(text))
			want = append(want, string(text))
		}
		array.WriteString(space.Draw(r, "space") + "]" + space.Draw(r, "after"))
		var reader io.Reader = strings.NewReader(array.String())
		if rapid.Bool().Draw(r, "byte by byte") {
			reader = iotest.OneByteReader(reader)
		}
		var got []string
		s := &splitter{r: reader}
		err := s.array(func() error {
			text, err := s.object()
			got = append(got, string(text))
			return err
		})
		if err != nil || !slices.Equal(got, want) {
			r.Fatalf("%q falls into %q, %v", array.String(), got, err)
		}
	})
}

func TestWhatIsNoArrayOfObjectsIsRefused(t *testing.T) {
	for text, want := range map[string]error{
		"": io.ErrUnexpectedEOF, "[": io.ErrUnexpectedEOF, `[{"a`: io.ErrUnexpectedEOF, "[{}": io.ErrUnexpectedEOF, "[{},": io.ErrUnexpectedEOF,
		"null": errNoArray, "{}": errNoArray, "[1]": errNoArray, "[{} {}]": errNoArray, "[,]": errNoArray, "[{},]": errNoArray, "[] []": errNoArray,
	} {
		if err := readArray(strings.NewReader(text)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
	endless := io.MultiReader(strings.NewReader(`[{"a":"`), repeating('x'))
	if err := readArray(endless); !errors.Is(err, errTooLarge) {
		t.Errorf("an endless element: %v", err)
	}
	broken := io.MultiReader(strings.NewReader("[{}"), iotest.ErrReader(io.ErrClosedPipe))
	if err := readArray(broken); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a connection that breaks: %v", err)
	}
}

func readArray(r io.Reader) error {
	s := &splitter{r: r}
	return s.array(func() error {
		_, err := s.object()
		return err
	})
}

// repeating is a reader of one byte for ever.
type repeating byte

func (r repeating) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

// manyInstances is an answer with n instances, of which the first has a weight.
func manyInstances(n, weight int) []byte {
	var answer bytes.Buffer
	for i := range n {
		fmt.Fprintf(&answer, `,{"Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"consul-version": "1.20.1"}}, "Service": {"ID": "w%05d", "Service": "web",
			"Port": 80, "Meta": {"version": "1"}, "Weights": {"Passing": %d, "Warning": 1}}, "Checks": [{"CheckID": "c", "Status": "passing"}]}`, i, weight)
		weight = 1
	}
	answer.WriteByte(']')
	answer.Bytes()[0] = '['
	return answer.Bytes()
}

func TestOnlyWhatHasChangedIsDecoded(t *testing.T) {
	const n = 1000
	entries, answers := new(entries), [][]byte{manyInstances(n, 1), manyInstances(n, 2)}
	decode := func(weight int) []Instance {
		instances, err := entries.decode(bytes.NewReader(answers[weight-1]))
		if err != nil || len(instances) != n || instances[0].WeightPassing != weight {
			t.Fatalf("%d instances, %v, want the first of %d with weight %d", len(instances), err, n, weight)
		}
		return instances
	}
	first := decode(1)
	perEntry := testing.AllocsPerRun(20, func() { decode(2); decode(1) }) / (2 * n)
	if perEntry > 0.5 {
		t.Errorf("%.1f allocations for each entry that has not changed", perEntry)
	}
	if again := decode(1); !slices.EqualFunc(first, again, Instance.equal) {
		t.Error("the same answer gives other instances")
	}
}

// Whatever was in the answers before, and however they arrive, an answer decodes as if it were the first.
func TestAnAnswerDecodesAsIfItWereTheFirst(t *testing.T) {
	var pieces [][]byte
	for weight := range 3 {
		pieces = append(pieces, bytes.SplitAfter(bytes.Trim(manyInstances(4, weight), "[]"), []byte("}]},"))...)
	}
	rapid.Check(t, func(r *rapid.T) {
		var after, alone entries
		for range rapid.IntRange(1, 5).Draw(r, "answers") {
			chosen := rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 9).Draw(r, "entries")
			for i, piece := range chosen {
				chosen[i] = bytes.TrimSuffix(piece, []byte(","))
			}
			answer := "[" + string(bytes.Join(chosen, []byte(","))) + "]"
			var reader io.Reader = strings.NewReader(answer)
			if rapid.Bool().Draw(r, "byte by byte") {
				reader = iotest.OneByteReader(reader)
			}
			alone = entries{}
			got, err := after.decode(reader)
			want, wantErr := alone.decode(strings.NewReader(answer))
			if err != nil || wantErr != nil || !slices.EqualFunc(got, want, Instance.equal) {
				r.Fatalf("%s\ndecodes into %+v, %v, and alone into %+v, %v", answer, got, err, want, wantErr)
			}
		}
	})
}

func BenchmarkDecodeOneChangeOf5000(b *testing.B) {
	entries, answers := new(entries), [][]byte{manyInstances(5000, 1), manyInstances(5000, 2)}
	b.SetBytes(int64(len(answers[0])))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := entries.decode(bytes.NewReader(answers[i%2])); err != nil {
			b.Fatal(err)
		}
	}
}
