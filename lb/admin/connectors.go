package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/lb/connectors"
)

// leaderless says whether there are connector hosts, or were, and none is active.
func (s *Status) leaderless() bool {
	c := s.Connectors
	return c != nil && c.Lease.Known && c.Lease.Error == "" && !c.Lease.Held
}

// toldConnectors is how many connectors' troubles are told one by one.
const toldConnectors = 5

// connectorRisks looks through what is known of the connector hosts.
func (s *Status) connectorRisks() (found []Risk) {
	c := s.Connectors
	if c == nil {
		return nil
	}
	risk := func(is bool, what, means string) {
		if is {
			found = append(found, Risk{What: what, Means: means})
		}
	}
	risk(s.leaderless(), "No connector host is active",
		"No connector receives or sends. After a failure another host takes over in a second or two; if it lasts, see below who is away, and start one.")
	risk(c.Lease.Error != "" && s.Consul.Reachable, "The connector hosts' lease cannot be read: "+c.Lease.Error,
		"What stands below about the connectors may be out of date.")
	active, is := c.Active()
	risk(is && c.Error != "", "Connector host "+active.ID+" does not answer: "+c.Error,
		"Its connectors may work: below stands what Consul knows of them. If the host hangs, its lease ends by itself.")
	risk(c.Lease.Held && c.Standing(connectors.Standby) == 0, "No connector host stands by",
		"If the active one fails, no connector receives or sends. Start another.")
	troubled := slices.DeleteFunc(slices.Clone(c.Connectors), func(c connectors.Connector) bool { return c.Why == "" && !c.Failing() })
	for _, t := range troubled[:min(len(troubled), toldConnectors)] {
		means := "Its messages wait, or are not sent. The host tries again by itself; a fault of the definition or at the broker needs somebody."
		if t.Fenced() {
			means = "Its messages wait until a host takes the lease anew, with a later epoch: connectorhost move. Nothing is to be done if that has just happened."
		}
		risk(true, trouble(t), means)
	}
	if more := len(troubled) - toldConnectors; more > 0 {
		risk(true, plural(more, "more connector is", "more connectors are")+" in trouble", "See below for the reasons.")
	}
	risk(len(c.Refused) > 0, plural(len(c.Refused), "connector's definition is", "connectors' definitions are")+" refused",
		"The last good ones stay in force, where there were any: see below for the reasons.")
	return found
}

func trouble(c connectors.Connector) string {
	does := "is held up"
	switch {
	case c.Fenced():
		does = "is fenced"
	case c.Failing():
		does = "is failing"
	case c.State == "connecting" || c.State == "starting":
		does = "is not connected"
	}
	if c.Why == "" {
		return fmt.Sprintf("Connector %s %s", c.Name, does)
	}
	return fmt.Sprintf("Connector %s %s: %s", c.Name, does, c.Why)
}

// connectorRow is a connector as the page shows it.
type connectorRow struct {
	connectors.Connector
	Handled string   // messages, as far as they are counted here
	Told    []string // counts that are worth a word
}

// Connected are the connectors that the page lists: all, or of very many those first that are not well.
func (v *view) Connected() (rows []connectorRow) {
	all := v.Connectors.Connectors
	if len(all) > maxRows {
		all = slices.Clone(all)
		slices.SortStableFunc(all, func(a, b connectors.Connector) int { return int(truth(a.Well()) - truth(b.Well())) })
		all = all[:maxRows]
	}
	for _, c := range all {
		row := connectorRow{Connector: c, Handled: "–"}
		if c.Counts != nil {
			row.Handled = v.Grouped(uint64(max(0, c.Messages())))
		}
		for _, name := range []string{"failed", "unavailable", "interrupted", "redelivered", "duplicates", "given_back", "parked", "dropped", "unsettled", "send_failures"} {
			if n := c.Counts[name]; n > 0 {
				row.Told = append(row.Told, strings.ReplaceAll(name, "_", " ")+" "+v.Grouped(uint64(n)))
			}
		}
		if c.Restarts > 0 {
			row.Told = append(row.Told, fmt.Sprintf("restarts %d", c.Restarts))
		}
		rows = append(rows, row)
	}
	return rows
}

// Unlisted is the number of connectors that the page does not list.
func (v *view) Unlisted() int { return max(0, len(v.Connectors.Connectors)-maxRows) }

// Mark is the class of a connector's row, which gives its sign and colour.
func (r connectorRow) Mark() string {
	switch {
	case r.Well():
		return "up"
	case r.Failing() || r.Why != "":
		return "down"
	default:
		return "out"
	}
}

var (
	descHosts     = desc("connectorhosts", "Number of registered connector hosts, by what they do.", "role")
	descActive    = desc("connectorhost_active", "1 while a connector host is active, or was when the lease could be read last; absent if it never could.")
	descLease     = desc("connectorhost_lease_known", "1 while the lease that connector hosts compete for can be read.")
	descEpoch     = desc("connectorhost_epoch", "Epoch of the connector host that is active, or was last.")
	descAnswers   = desc("connectorhost_answers", "1 while the active connector host answers.")
	descConnector = desc("connector_up", "1 while the connector runs, and nothing holds it up.", "connector", "kind", "role")
	descInFlight  = desc("connector_in_flight", "Messages that the connector has in hand.", "connector", "kind", "role")
	descUnwanted  = desc("connector_definitions_refused", "Definitions of connectors that are not accepted.")
)

func exportConnectors(gauge func(*prometheus.Desc, float64, ...string), s Status) {
	c := s.Connectors
	for _, role := range []connectors.Role{connectors.Active, connectors.Standby, connectors.Away} {
		gauge(descHosts, float64(c.Standing(role)), string(role))
	}
	_, active := c.Active()
	if c.Lease.Known {
		gauge(descActive, truth(c.Lease.Held))
	}
	gauge(descLease, truth(c.Lease.Known && c.Lease.Error == ""))
	gauge(descEpoch, float64(c.Lease.Epoch))
	gauge(descAnswers, truth(active && c.Error == ""))
	gauge(descUnwanted, float64(len(c.Refused)))
	for _, one := range c.Connectors {
		gauge(descConnector, truth(one.Well()), one.Name, one.Kind, one.Role)
		gauge(descInFlight, float64(one.InFlight), one.Name, one.Kind, one.Role)
	}
}
