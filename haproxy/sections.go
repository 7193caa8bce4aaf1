package haproxy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"zatoha/haproxy/edit"
)

// Sections are our part of haproxy.cfg: process settings, defaults, the front and the backend with its servers. Each
// line that does not speak for itself has a note, so that the file explains itself. With a relay socket there are also a
// backend and a frontend by which a worker that a reload has replaced hands requests over to the one that knows today's
// servers.
func (o Options) Sections(servers []Server) []edit.Section {
	sections := []edit.Section{o.global(), o.defaults(), o.frontend(), o.backend(servers)}
	if o.RelaySocket != "" {
		sections = append(sections, o.relayBackend(), o.relayFrontend())
	}
	return sections
}

func (o Options) global() edit.Section {
	var s lines
	if o.StatsSocket != "" {
		s.add("stats socket " + quote(o.StatsSocket) + " mode 600 level admin expose-fd listeners")
		s.add("stats timeout 1m")
	}
	if buffer := fmt.Sprintf("tune.bufsize %d", o.BufferSize); o.sendsAgain() {
		s.note(buffer, "a request that fits can be sent again if its server dies")
	} else {
		s.note(buffer, "headers have to fit")
	}
	s.note("hard-stop-after "+duration(o.HardStop), "what is still open this long after a reload is closed")
	if o.Yields {
		s.note("set-var "+YieldVariable+" str()", "the address that is being moved to another load balancer; none")
	}
	return s.section("global")
}

func (o Options) defaults() edit.Section {
	var s lines
	s.add("mode http")
	s.note("timeout http-request "+duration(o.RequestTimeout), "for the headers, and the body as far as it is buffered")
	s.note("timeout http-keep-alive "+duration(o.KeepAliveTimeout), "of a client between two requests")
	s.note("timeout client "+duration(o.ClientTimeout), "of a client in the middle of one")
	s.note("timeout client-fin "+duration(finTimeout), "of a client that is gone without a word")
	s.note("timeout connect "+duration(o.ConnectTimeout), "to a server; also the pause before the same one is tried again")
	s.note("timeout queue "+duration(o.QueueTimeout), "then 503")
	if server := "timeout server " + duration(o.ServerTimeout); o.Retries > 0 && slices.Contains(o.RetryOn, responseTimeout) {
		s.note(server, "then another server if that is harmless, else 504")
	} else {
		s.note(server, "then 504")
	}
	s.note("timeout tunnel "+duration(o.TunnelTimeout), "of a silent WebSocket")
	s.note("timeout check "+duration(o.CheckTimeout), "a hung server is out after "+inWords(o.CheckFall)+" of these")
	s = append(s, o.errorPages()...)
	return s.section("defaults " + Defaults)
}

// inWords writes a small number.
func inWords(n int) string {
	words := []string{"none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
	if n < len(words) {
		return words[n]
	}
	return strconv.Itoa(n)
}

// finTimeout is how long a connection that one side has closed may wait for the other. It is no option: nobody is served
// by a longer one, and who is just slow has the client's time-out.
const finTimeout = 30 * time.Second

// lines are the lines of a section as they come.
type lines []edit.Line

func (s *lines) add(text string) { *s = append(*s, edit.Line{Text: text}) }

func (s *lines) note(text, note string) { *s = append(*s, edit.Line{Text: text, Note: note}) }

func (s lines) section(header string) edit.Section { return edit.Section{Header: header, Lines: s} }

// duration writes a duration as HAProxy reads it: in hours or minutes if it has only whole ones, else in milliseconds.
func duration(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
}

// quote protects a path's spaces and special characters from HAProxy's word splitting.
func quote(path string) string {
	return strings.NewReplacer(`\`, `\\`, " ", `\ `, "#", `\#`, `"`, `\"`, "'", `\'`).Replace(path)
}
