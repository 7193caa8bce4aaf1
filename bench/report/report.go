// Package report writes what was measured as a Markdown file, with plots as SVG files beside it.
//
// One case:
//
//	page := report.New("Propagation", "2 cores, HAProxy 2.6.12")
//	page.Table([]string{"servers", "p50"}, [][]string{{"3", "2.1 ms"}})
//	page.Plot(report.Chart{Title: "Registration", X: report.Axis{Label: "ms"}, Y: report.Axis{Label: "share"}, Series: …})
//	path, err := page.Write("bin/reports", "propagation")
//
// writes propagation.md and propagation-1.svg into bin/reports and returns the path of the first.
package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Page is a report in the making. It is not safe for concurrent use.
type Page struct {
	text  strings.Builder
	plots []Chart
}

// New is a page with a title and a line below it that says where and when the figures were taken.
func New(title, circumstances string) *Page {
	p := &Page{}
	fmt.Fprintf(&p.text, "# %s\n\n%s\n", title, circumstances)
	return p
}

// Section begins a section.
func (p *Page) Section(title string) { fmt.Fprintf(&p.text, "\n## %s\n", title) }

// Paragraph adds a paragraph of Markdown.
func (p *Page) Paragraph(text string) { fmt.Fprintf(&p.text, "\n%s\n", text) }

// Table adds a table. Rows have a cell for each column; bars and line ends in them are harmless.
func (p *Page) Table(columns []string, rows [][]string) {
	p.text.WriteString("\n")
	p.row(columns)
	p.row(strings.Split(strings.Repeat("---,", len(columns)-1)+"---", ","))
	for _, row := range rows {
		p.row(row)
	}
}

func (p *Page) row(cells []string) {
	for _, cell := range cells {
		p.text.WriteString("| " + strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell) + " ")
	}
	p.text.WriteString("|\n")
}

// plotMark stands for a plot until the page's name, and so the plot's, is known.
func plotMark(n int) string { return fmt.Sprintf("\x00plot-%d\x00", n) }

// Plot adds a plot.
func (p *Page) Plot(chart Chart) {
	p.plots = append(p.plots, chart)
	fmt.Fprintf(&p.text, "\n![%s](%s)\n", chart.Title, plotMark(len(p.plots)))
}

// Write writes <name>.md and its plots into the folder, which is made if need be, and returns the page's path.
func (p *Page) Write(folder, name string) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("write the report: %w", err)
	}
	text := p.text.String()
	for i, chart := range p.plots {
		file := fmt.Sprintf("%s-%d.svg", name, i+1)
		text = strings.ReplaceAll(text, plotMark(i+1), file)
		if err := os.WriteFile(filepath.Join(folder, file), []byte(chart.SVG()), 0o644); err != nil {
			return "", fmt.Errorf("write the report: %w", err)
		}
	}
	path := filepath.Join(folder, name+".md")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("write the report: %w", err)
	}
	return path, nil
}
