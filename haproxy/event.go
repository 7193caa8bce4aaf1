package haproxy

import "strings"

// Event is a change of a server's health, as HAProxy reports it to [Options.EventSocket] when its checks find it. Whoever
// listens there has to end the sessions of a server that stays down for a moment ("shutdown sessions server"), so that
// requests that wait for it are tried elsewhere. Without a listener HAProxy is told to end them itself, at the very
// moment; but that also breaks off what is just connecting, which is then not tried again: under load, a client in ten
// thousand sees its connection closed.
type Event struct {
	Server string // its name
	Up     bool
	Reason string // in HAProxy's words, such as "Layer4 connection problem (Connection refused)"
}

// ParseEvent reads HAProxy's message of a change. It is not ok if the message is about something else: another backend,
// or a change of somebody's will.
func ParseEvent(message string) (event Event, ok bool) {
	rest, ours := strings.CutPrefix(message, "Server "+Backend+"/")
	name, rest, found := strings.Cut(rest, " is ")
	if !ours || !found {
		return Event{}, false
	}
	state, rest, found := strings.Cut(rest, ", reason: ")
	if !found || state != "UP" && state != "DOWN" {
		return Event{}, false
	}
	reason, _, _ := strings.Cut(rest, ", check duration: ")
	if what, info, has := strings.Cut(reason, ", info: "); has {
		reason = what + " (" + strings.Trim(info, `"`) + ")"
	}
	return Event{Server: name, Up: state == "UP", Reason: strings.TrimSpace(reason)}, true
}
