package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"zatoha/deploy/program"
	"zatoha/lb/admin"
	"zatoha/lb/connectors"
)

// connectorText is what a person reads of the connector hosts: who is active, who else there is, and the connectors.
func connectorText(s admin.Status, paint func(escape, text string) string) string {
	c := s.Connectors
	var text strings.Builder
	switch {
	case c.Lease.Held:
		fmt.Fprintf(&text, "connectors: on %s, epoch %d, for %s", program.Printable(c.Lease.Host), c.Lease.Epoch, s.Now.Sub(c.Lease.Since).Truncate(time.Second))
	case c.Lease.Known:
		text.WriteString("connectors: " + paint(red, "no host is active"))
	default:
		text.WriteString("connectors: the lease has not been read yet")
	}
	for _, role := range []connectors.Role{connectors.Standby, connectors.Away} {
		var names []string
		for _, h := range c.Hosts {
			if h.Role == role {
				names = append(names, program.Printable(h.ID))
			}
		}
		if names != nil {
			fmt.Fprintf(&text, "; %s: %s", role, strings.Join(names, ", "))
		}
	}
	text.WriteString("\n")
	if len(c.Connectors) > 0 {
		text.WriteString(connectorTable(s, paint))
	}
	for _, r := range c.Refused {
		kept := ""
		if r.Kept {
			kept = " (the last good one stays)"
		}
		fmt.Fprintf(&text, "refused: %s: %s%s\n", program.Printable(r.Name), program.Printable(r.Reason), kept)
	}
	return text.String()
}

func connectorTable(s admin.Status, paint func(escape, text string) string) string {
	rows := [][]string{{"CONNECTOR", "KIND", "ROLE", "STATE", "MESSAGES", "IN FLIGHT", "LAST MESSAGE", "WHY"}}
	for _, c := range s.Connectors.Connectors {
		last := "-"
		if !c.LastMessage.IsZero() {
			last = max(0, s.Now.Sub(c.LastMessage)).Truncate(time.Second).String() + " ago"
		}
		rows = append(rows, []string{
			c.Name, c.Kind, c.Role, c.State, strconv.FormatInt(c.Messages(), 10), strconv.Itoa(c.InFlight), last, c.Why,
		})
	}
	lines := table(rows)
	for i, c := range s.Connectors.Connectors {
		if !c.Well() {
			lines[i+1] = paint(red, lines[i+1])
		}
	}
	return strings.Join(lines, "\n") + "\n"
}
