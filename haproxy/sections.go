package haproxy

import (
	"fmt"
	"strings"
	"time"

	"zatoha/haproxy/edit"
)

// Options are what an operator can choose about our sections. Use [DefaultOptions] and change what differs.
type Options struct {
	Bind            string        // address:port of the plain HTTP front
	StatsSocket     string        // path of the runtime API's Unix socket
	CheckURI        string        // what health checks ask of a server
	BufferSize      int           // bytes; a request that fits can be sent again if its server dies
	ConnectTimeout  time.Duration // for a connection to a server, and the pause before a second try at the same one
	ServerTimeout   time.Duration // the longest a server may think
	CheckTimeout    time.Duration // the longest a health check may take
	HardStop        time.Duration // how long an old worker may live after a reload
	RequestDeadline time.Duration // how long a client may take to send its headers
}

// DefaultOptions are the measured defaults: with them, a server that is killed or stopped under load costs an
// idempotent client no error.
func DefaultOptions() Options {
	return Options{
		Bind:            "0.0.0.0:11223",
		CheckURI:        "/zato/ping",
		BufferSize:      64 << 10,
		ConnectTimeout:  250 * time.Millisecond,
		ServerTimeout:   30 * time.Second,
		CheckTimeout:    300 * time.Millisecond,
		HardStop:        5 * time.Minute,
		RequestDeadline: 5 * time.Second,
	}
}

// Sections are our part of haproxy.cfg: process settings, defaults, the front and the backend with its servers.
func (o Options) Sections(servers []Server) []edit.Section {
	return []edit.Section{o.global(), o.defaults(), o.frontend(), o.backend(servers)}
}

func (o Options) global() edit.Section {
	return section("global",
		"stats socket "+quote(o.StatsSocket)+" mode 600 level admin expose-fd listeners",
		"stats timeout 1m",
		fmt.Sprintf("tune.bufsize %d", o.BufferSize),
		"hard-stop-after "+duration(o.HardStop),
	)
}

func (o Options) defaults() edit.Section {
	return section("defaults "+Defaults,
		"mode http",
		"timeout http-request "+duration(o.RequestDeadline),
		"timeout http-keep-alive 60s",
		"timeout client 60s",
		"timeout connect "+duration(o.ConnectTimeout),
		"timeout queue 5s",
		"timeout server "+duration(o.ServerTimeout),
		"timeout tunnel 1h",
		"timeout check "+duration(o.CheckTimeout),
	)
}

func (o Options) frontend() edit.Section {
	return section("frontend "+Frontend+" from "+Defaults,
		"bind "+o.Bind,
		"monitor-uri "+AliveURI,
		"monitor fail if { nbsrv("+Backend+") lt 1 }",
		// An idle connection is closed behind an answer, never under a request that is on its way.
		"option idle-close-on-response",
		"option http-restrict-req-hdr-names reject",
		"http-request set-header X-Forwarded-For %[src]",
		"http-request set-header X-Forwarded-Proto http",
		"default_backend "+Backend,
	)
}

func (o Options) backend(servers []Server) edit.Section {
	backend := section("backend "+Backend+" from "+Defaults,
		"balance roundrobin",
		// The whole body is read first, so that it can be sent again.
		"option http-buffer-request",
		"option redispatch 1",
		"retries 3",
		"retry-on conn-failure empty-response response-timeout",
		// What may have been executed is repeated only if that is harmless.
		"http-request disable-l7-retry unless { method GET HEAD OPTIONS TRACE PUT DELETE } || { req.hdr(Idempotency-Key) -m found }",
		"option httpchk",
		"http-check send meth GET uri "+o.CheckURI+" ver HTTP/1.1 hdr Host "+Backend,
		// Any answer but a server error is a sign of life: programs that know nothing of the URI can join.
		"http-check expect ! rstatus ^5",
		"default-server check inter 250ms fastinter 100ms downinter 500ms fall 2 rise 2 on-marked-down shutdown-sessions",
	)
	for _, server := range servers {
		backend.Lines = append(backend.Lines, server.line())
	}
	return backend
}

// freeEndpoint stands in a free slot's line, where HAProxy wants an address. Nothing is ever sent to it.
const freeEndpoint = "127.0.0.1:1"

// line is the server's line in the file. What must take no traffic is written disabled, so that an HAProxy that starts
// from the file alone sends it none; the running HAProxy is told the finer state by its socket.
func (s Server) line() edit.Line {
	if s.Free() {
		return edit.Line{Text: "server " + s.Name + " " + freeEndpoint + " disabled"}
	}
	text := fmt.Sprintf("server %s %s weight %d", s.Name, s.Endpoint(), s.Weight)
	if s.Admin != Ready {
		text += " disabled"
	}
	return edit.Line{Text: text, Note: s.Note}
}

// ReadServers finds the servers of our backend among our sections of a file. There are none if it has no such backend.
func ReadServers(sections []edit.Section) ([]Server, error) {
	for _, section := range sections {
		if words := strings.Fields(section.Header); words[0] != "backend" || words[1] != Backend {
			continue
		}
		lines, err := edit.Servers(section)
		if err != nil {
			return nil, err
		}
		servers := make([]Server, 0, len(lines))
		for _, line := range lines {
			servers = append(servers, fromLine(line))
		}
		return servers, nil
	}
	return nil, nil
}

// fromLine is the inverse of [Server.line], as far as a line tells: what was draining reads as [Maint].
func fromLine(line edit.Server) Server {
	server := Server{Name: line.Name, Address: line.Address, Port: line.Port, Weight: 1, Admin: Ready, Note: line.Note}
	if line.Weight != nil {
		server.Weight = *line.Weight
	}
	if line.Disabled {
		server.Admin = Maint
	}
	if line.Disabled && line.Note == "" {
		return Server{Name: line.Name, Admin: Maint}
	}
	return server
}

func section(header string, lines ...string) edit.Section {
	s := edit.Section{Header: header}
	for _, line := range lines {
		s.Lines = append(s.Lines, edit.Line{Text: line})
	}
	return s
}

// duration writes a duration as HAProxy reads it: whole milliseconds.
func duration(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// quote protects a path's spaces and special characters from HAProxy's word splitting.
func quote(path string) string {
	return strings.NewReplacer(`\`, `\\`, " ", `\ `, "#", `\#`, `"`, `\"`, "'", `\'`).Replace(path)
}
