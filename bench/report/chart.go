package report

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Chart is a plot of points, joined by lines or not, over two axes.
type Chart struct {
	Title  string
	X, Y   Axis
	Series []Series
}

// Axis is one of a chart's. It spans the points; a linear one begins at 0.
type Axis struct {
	Label string
	Log   bool // logarithmic, which leaves out what is not positive
}

// Series is points with a name.
type Series struct {
	Name   string
	Line   bool // joins the points, which are in order
	Points []Point
}

// Point is one of a series.
type Point struct{ X, Y float64 }

// Cumulative is the share of the values that are not above each of them.
func Cumulative(name string, sorted []float64) Series {
	s := Series{Name: name, Line: true}
	for i, value := range sorted {
		s.Points = append(s.Points, Point{value, float64(i+1) / float64(len(sorted))})
	}
	return s
}

// The drawing's measures, in pixels.
const (
	width, height = 720, 380
	left, right   = 70, 20
	top, bottom   = 40, 80
)

// colours tell series apart, also for those who confuse red and green, on light and on dark.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// scale maps an axis' values to pixels.
type scale struct {
	log      bool
	from, to float64 // in the axis' own terms: logarithms if it is logarithmic
	at, span float64 // pixels
}

// negligible is a span of values that no drawing can show.
const negligible = 1e-200

func newScale(axis Axis, values []float64, at, span float64) scale {
	s := scale{log: axis.Log, from: 0, to: 0, at: at, span: span}
	if axis.Log {
		s.from, s.to = math.Inf(1), math.Inf(-1)
	}
	for _, value := range values {
		if axis.Log && value <= 0 {
			continue
		}
		s.from, s.to = min(s.from, s.term(value)), max(s.to, s.term(value))
	}
	if axis.Log {
		s.from, s.to = math.Floor(s.from), math.Ceil(s.to)
	}
	switch {
	case s.to-s.from > negligible:
	case math.IsInf(s.from, 0): // nothing to show
		s.from, s.to = 0, 1
	default: // always the same
		s.to = s.from + 1
	}
	return s
}

func (s scale) term(value float64) float64 {
	if s.log {
		return math.Log10(value)
	}
	return value
}

func (s scale) pixel(value float64) float64 {
	return s.at + (s.term(value)-s.from)/(s.to-s.from)*s.span
}

// ticks are round values within the scale, between 2 and 11.
func (s scale) ticks() (values []float64) {
	if s.log {
		for exponent := s.from; exponent <= s.to; exponent += math.Ceil((s.to - s.from) / 10) {
			values = append(values, math.Pow(10, exponent))
		}
		return values
	}
	step := math.Pow(10, math.Floor(math.Log10(s.to-s.from)))
	for _, finer := range []float64{1, 2, 5} {
		if (s.to-s.from)/(step/finer) >= 4 {
			step /= finer
			break
		}
	}
	for i := math.Ceil(s.from / step); i*step <= s.to*(1+1e-9); i++ {
		values = append(values, i*step)
	}
	return values
}

// SVG is the chart as a file.
func (c Chart) SVG() string {
	var xs, ys []float64
	for _, series := range c.Series {
		for _, point := range series.Points {
			xs, ys = append(xs, point.X), append(ys, point.Y)
		}
	}
	x := newScale(c.X, xs, left, width-left-right)
	y := newScale(c.Y, ys, height-bottom, -(height - top - bottom))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	write(&b, width/2, 22, "middle", c.Title)
	grid(&b, x, y)
	write(&b, (left+width-right)/2, height-bottom+36, "middle", c.X.Label)
	fmt.Fprintf(&b, `<text x="16" y="%d" text-anchor="middle" transform="rotate(-90 16 %[1]d)">%s</text>`+"\n",
		(top+height-bottom)/2, html.EscapeString(c.Y.Label))
	for i, series := range c.Series {
		series.draw(&b, x, y, colours[i%len(colours)])
		legend(&b, i, len(c.Series), series.Name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func grid(b *strings.Builder, x, y scale) {
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ccc"/>`+"\n", x1, y1, x2, y2)
	}
	for _, value := range x.ticks() {
		line(x.pixel(value), top, x.pixel(value), height-bottom)
		write(b, x.pixel(value), height-bottom+17, "middle", short(value))
	}
	for _, value := range y.ticks() {
		line(left, y.pixel(value), width-right, y.pixel(value))
		write(b, left-6, y.pixel(value)+4, "end", short(value))
	}
}

func (s Series) draw(b *strings.Builder, x, y scale, colour string) {
	var line []string
	for _, p := range s.Points {
		if x.log && p.X <= 0 || y.log && p.Y <= 0 {
			continue
		}
		if s.Line {
			line = append(line, fmt.Sprintf("%.1f,%.1f", x.pixel(p.X), y.pixel(p.Y)))
			continue
		}
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.pixel(p.X), y.pixel(p.Y), colour)
	}
	if len(line) > 0 {
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), colour)
	}
}

// legend names the series below the chart, side by side.
func legend(b *strings.Builder, i, n int, name string) {
	at := left + float64(i)*float64(width-left-right)/float64(n)
	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="10" height="10" fill="%s"/>`+"\n", at, height-23, colours[i%len(colours)])
	write(b, at+15, height-14, "start", name)
}

func write(b *strings.Builder, x, y float64, anchor, text string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(text))
}

// short is a number without the digits that rounding left.
func short(value float64) string { return strconv.FormatFloat(value, 'g', 6, 64) }
