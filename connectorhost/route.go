package main

import (
	"fmt"
	"net/http"

	"zatoha/connectorhost/relay"
	"zatoha/connectorhost/supervise"
)

// whyNot says why nothing can be sent by a connector just now; nil if it can.
func (o *outgoing) whyNot(name, kind string) *reply {
	_, away := o.find(name, kind)
	return away
}

// find finds the link to the process of a connector, or says why there is none.
func (o *outgoing) find(name, kind string) (l *relay.Caller, away *reply) {
	h := o.host
	h.mu.Lock()
	defer h.mu.Unlock()
	later := func(format string, args ...any) (*relay.Caller, *reply) {
		a := refused(fmt.Sprintf(format, args...))
		return nil, &a
	}
	if h.tenure == nil || h.tenure.Context().Err() != nil {
		if holder := h.lease.Status.Holder; h.lease.Status.Held && holder.Host != h.ID {
			return later("%s is standing by, ask the active host: %s at %s", h.ID, holder.Host, holder.Address)
		}
		return later("%s is standing by, and no host is active", h.ID)
	}
	definition, known := h.catalog.good[name]
	switch {
	case !known && !h.catalog.read:
		return later("the definitions have not been read yet")
	case !known:
		for _, r := range h.catalog.refused {
			if r.Name == name {
				return later("the definition of %q is refused: %s", name, r.Reason)
			}
		}
		return nil, &reply{status: http.StatusNotFound, notSent: true, details: fmt.Sprintf("there is no connector %q", shortened(name))}
	case kind != "" && kind != definition.Kind, !definition.about.Outgoing:
		return nil, &reply{status: http.StatusNotFound, notSent: true, details: fmt.Sprintf("connector %q is no outgoing one of kind %q", name, shortened(kind))}
	case definition.about.InServers:
		return nil, &reply{status: http.StatusBadRequest, notSent: true, details: fmt.Sprintf("connector %q is run by the servers: send by your own", name)}
	case !definition.active:
		return later("connector %q is not active", name)
	}
	for _, c := range h.connectors {
		if c.Name != name {
			continue
		}
		if l := h.links[c.PID]; l != nil && c.State == supervise.Running {
			return l, nil
		}
		return later("connector %q is %s: %s", name, c.State, c.Why)
	}
	return later("connector %q is being started", name)
}
