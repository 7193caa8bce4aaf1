package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The page is one file with everything in it, and page.html says how it is put together.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string

	pages = template.Must(template.New("page.html").Parse(pageHTML))

	// pageID names this version of the page: one that finds another in an answer loads itself anew.
	pageID = hex.EncodeToString(hashed(pageHTML + pageStyle + pageScript)[:8])

	// policy lets the page run its own style and script, ask this server, and do nothing else.
	policy = strings.Join([]string{
		"default-src 'none'", "style-src " + source(pageStyle), "script-src " + source(pageScript), "connect-src 'self'",
		"img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
)

func hashed(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// source is how a content security policy names an inline text.
func source(text string) string {
	return "'sha256-" + base64.StdEncoding.EncodeToString(hashed(text)) + "'"
}

// strict puts the headers on every answer that keep a browser from doing more with it than show it.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", policy)
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

// page answers with the status page, or with that part of it that changes.
func (a *Admin) page(w http.ResponseWriter, r *http.Request) {
	part := "page"
	if r.URL.Query().Get("part") == "body" {
		part = "body"
	}
	var text bytes.Buffer
	view := view{Status: a.status(r.Context()), Style: template.CSS(pageStyle), Script: template.JS(pageScript), ID: pageID}
	if err := pages.ExecuteTemplate(&text, part, &view); err != nil {
		a.log.Error().Err(err).Msg("the status page cannot be rendered")
		http.Error(w, "the status page cannot be rendered, see the log; /status has the same as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Page", pageID)
	if _, err := text.WriteTo(w); err != nil {
		a.log.Debug().Err(err).Msg("the client of the status page has gone")
	}
}

// view is the status as the page needs it.
type view struct {
	Status
	Style  template.CSS
	Script template.JS
	ID     string
}

// maxRows is how many servers the page lists. A browser that redraws thousands of rows every second is of no help.
const maxRows = 200

// Rows are the slots that the page lists: all, or of very many those first that take no traffic.
func (v *view) Rows() []Slot {
	if len(v.Slots) <= maxRows {
		return v.Slots
	}
	rows := slices.Clone(v.Slots)
	slices.SortStableFunc(rows, func(a, b Slot) int { return rank(a) - rank(b) })
	return rows[:maxRows]
}

func rank(s Slot) int {
	if s.TakesTraffic {
		return 1
	}
	return 0
}

// Hidden is the number of slots in use that the page does not list.
func (v *view) Hidden() int { return max(0, len(v.Slots)-maxRows) }

// Total is the number of slots.
func (v *view) Total() int { return len(v.Slots) + v.Free }

// Supervised says whether this controller runs HAProxy.
func (v *view) Supervised() bool { return v.DataPlane.Kind == Embedded }

// Silent says whether nothing is known of HAProxy.
func (v *view) Silent() bool { return v.DataPlane.silent() }

// Since is the time from then to now.
func (v *view) Since(t time.Time) string { return span(v.Now.Sub(t)) }

// Ago is how long ago that was.
func (v *view) Ago(t time.Time) string {
	if v.Now.Sub(t) < time.Second {
		return "just now"
	}
	return span(v.Now.Sub(t)) + " ago"
}

// Seconds is a number of seconds as people say it.
func (v *view) Seconds(n int64) string { return span(time.Duration(n) * time.Second) }

// Grouped is a number in groups of three digits, with a narrow space between them.
func (v *view) Grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202F" + digits[i:]
	}
	return digits
}

// FreeFor is the forecast as people say it, or "" without one.
func (v *view) FreeFor() string {
	if v.FreeForS == nil {
		return ""
	}
	return span(time.Duration(*v.FreeForS * float64(time.Second)))
}

// Mark is the class of a slot's row, which gives its sign and colour.
func (s Slot) Mark() string {
	switch {
	case s.TakesTraffic:
		return "up"
	case s.failing():
		return "down"
	default:
		return "out"
	}
}
