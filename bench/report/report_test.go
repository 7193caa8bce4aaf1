package report

import (
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestAPageReads(t *testing.T) {
	page := New("Made up", "On no machine.")
	page.Section("First")
	page.Paragraph("A word before.")
	page.Table([]string{"what", "n"}, [][]string{{"a|b", "1"}, {"two\nlines", "2"}})
	page.Plot(Chart{
		Title: "Latency & <load>", X: Axis{Label: "servers", Log: true}, Y: Axis{Label: "ms"},
		Series: []Series{
			{Name: "ours", Line: true, Points: []Point{{10, 1}, {100, 2}, {1000, 8}}},
			Cumulative("theirs", []float64{3, 40, 400}),
			{Name: "dots", Points: []Point{{20, 5}, {0, 5}}},
		},
	})
	folder := t.TempDir()
	if *update {
		folder = "testdata"
	}
	path, err := page.Write(folder, "page")
	if err != nil {
		t.Fatal(err)
	}
	if path != filepath.Join(folder, "page.md") {
		t.Errorf("path %s", path)
	}
	for _, name := range []string{"page.md", "page-1.svg"} {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is:\n%s\nwant:\n%s\n(rewrite with -update)", name, got, want)
		}
	}
}

func TestAFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New("t", "c").Write(filepath.Join(file, "in"), "page"); err == nil {
		t.Error("no error")
	}
}

// TestAnyChartIsDrawn: whatever the values, the file is XML, has no numbers that are none, and draws within its frame.
func TestAnyChartIsDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Float64Range(-1e3, 1e6), rapid.SampledFrom([]float64{0, 1, 10, 1e6}))
		point := rapid.Custom(func(t *rapid.T) Point { return Point{number.Draw(t, "x"), number.Draw(t, "y")} })
		chart := Chart{
			Title:  rapid.StringMatching(`[a-z<>&" ]*`).Draw(t, "title"),
			X:      Axis{Log: rapid.Bool().Draw(t, "log x")},
			Y:      Axis{Log: rapid.Bool().Draw(t, "log y")},
			Series: []Series{{Line: rapid.Bool().Draw(t, "line"), Points: rapid.SliceOfN(point, 0, 20).Draw(t, "points")}},
		}
		svg := chart.SVG()
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Fatalf("no numbers: %s", svg)
		}
		decoder := xml.NewDecoder(strings.NewReader(svg))
		for {
			_, err := decoder.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("no XML: %v: %s", err, svg)
			}
		}
		for _, log := range []bool{false, true} {
			values := make([]float64, 0, 20)
			for _, p := range chart.Series[0].Points {
				values = append(values, p.X)
			}
			s := newScale(Axis{Log: log}, values, left, 600)
			if n := len(s.ticks()); n < 2 || n > 11 {
				t.Fatalf("%d ticks from %v to %v", n, s.from, s.to)
			}
			for _, value := range values {
				if at := s.pixel(value); (!log || value > 0) && (at < left-1e-6 || at > left+600+1e-6 || math.IsNaN(at)) {
					t.Fatalf("%v is drawn at %v", value, at)
				}
			}
		}
	})
}
