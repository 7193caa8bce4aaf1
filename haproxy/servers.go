package haproxy

import (
	"fmt"

	"zatoha/haproxy/edit"
)

// FreeEndpoint stands in a free slot's line, where HAProxy wants an address. Nothing is ever sent to it.
const FreeEndpoint = "127.0.0.1:1"

// line is the server's line in the file. What must take no traffic is written disabled, so that an HAProxy that starts
// from the file alone sends it none; the running HAProxy is told the finer state by its socket.
func (s Server) line() edit.Line {
	if s.Free() {
		return edit.Line{Text: "server " + s.Name + " " + FreeEndpoint + " disabled"}
	}
	text := fmt.Sprintf("server %s %s weight %d", s.Name, s.Endpoint(), s.Weight)
	if s.MaxConn > 0 {
		text += fmt.Sprintf(" maxconn %d", s.MaxConn)
	}
	if s.Admin != Ready {
		text += " disabled"
	}
	return edit.Line{Text: text, Note: s.Note}
}

// ReadServers finds the servers of our backend among our sections of a file. There are none if it has no such backend.
func ReadServers(sections []edit.Section) ([]Server, error) {
	for _, section := range sections {
		if !isBackend(section) {
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
	server := Server{Name: line.Name, Address: line.Address, Port: line.Port, Weight: 1, MaxConn: line.MaxConn, Admin: Ready, Note: line.Note}
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
