package admin

import (
	"fmt"
	"strings"
	"time"

	"zatoha/lb/state"
)

// Risk is something that would break the service, or hides that it is breaking.
type Risk struct {
	What  string `json:"what"`  // in a few words
	Means string `json:"means"` // what follows from it, and what to do
}

// nearlyFull is the share of free slots at which the next reload is worth a word.
const nearlyFull = 0.1

// soon is how far ahead the forecast of the free slots is a risk and not a curiosity.
const soon = time.Hour

// risks looks through everything that is known, the worst first.
func (s *Status) risks() []Risk {
	var found []Risk
	risk := func(is bool, what, means string) {
		if is {
			found = append(found, Risk{What: what, Means: means})
		}
	}
	embedded, silent := s.DataPlane.Kind == Embedded, s.DataPlane.silent()
	risk(silent, "HAProxy cannot be reached: "+s.HAProxy.Error,
		"HAProxy stays as it was, and may serve: that is not known here. Servers that come or go are not in effect.")
	risk(!s.HAProxy.Running && embedded, "HAProxy is not running",
		"Nobody listens at the front. The controller tries to start it; its log says why it cannot.")
	risk(!s.HAProxy.Running && !embedded && !silent, "HAProxy is not running",
		"Nobody listens at the front. Start it where it runs; this controller cannot.")
	risk(s.HAProxy.Running && s.HAProxy.Error != "", "HAProxy's counters cannot be read: "+s.HAProxy.Error,
		"What stands here about traffic may be missing; HAProxy itself may serve.")
	risk(s.closed(), "The front is stopped",
		"Nobody can connect; clients that are connected are served. Somebody has stopped it by HAProxy's socket. The controller opens it within --resync.")
	full := s.full()
	risk(full != "", full,
		"Others wait until one of them goes. Raise --maxconn, and the limit of open files with it, or see who keeps so many.")
	nobody := s.HAProxy.Running && s.HAProxy.Error == "" && s.serving() == 0
	risk(nobody && len(s.Slots) == 0, "No server is registered",
		"Every request is answered 503. Whoever registers in Consul under the service's name is balanced.")
	risk(nobody && len(s.Slots) > 0, "No server takes traffic",
		"Every request is answered 503. See below why each is out, and start one.")
	risk(s.serving() == 1, "One server is left",
		"If it fails too, every request is answered 503. Start another, or see below why the others are out.")
	risk(s.failing() > 0, plural(s.failing(), "server fails", "servers fail"),
		"Registered to serve, and out of rotation by HAProxy's or Consul's checks. The others carry the load.")
	risk(s.Sync.Error != "", "HAProxy does not follow: "+s.Sync.Error,
		"Servers that come or go are not in effect. The controller tries again twice a second, and reloads ever more slowly, in the end every 30 s.")
	risk(s.Sync.AckError != "", "Drained servers cannot be told that they may go: "+s.Sync.AckError,
		"Each waits for its --drain-timeout and then stops all the same. The controller tries again. A 403 says that its token may not write the key.")
	risk(!s.Consul.Reachable, s.consulAway(),
		"The servers stay as they are: HAProxy still takes out the dead, but new ones are not seen.")
	risk(len(s.Held) > 0, plural(len(s.Held), "removal is", "removals are")+" held back by the guard",
		"So many servers vanished at once that it is not believed. They get traffic while HAProxy's checks reach them; lb release lets them go.")
	risk(len(s.Refused) > 0, plural(len(s.Refused), "instance", "instances")+" cannot be balanced",
		"Registered, but with data that HAProxy cannot use: see below for the reasons.")
	held := s.heldForParity()
	risk(held > 0, plural(held, "server is", "servers are")+" held out of rotation for other services than most have",
		"It gets traffic when it has the services of most, or when as many have its own. --parity report lets it in at once.")
	in := len(s.Parity.Differing) - held
	risk(in > 0, plural(in, "server has", "servers have")+" other services than most, and "+map[bool]string{true: "takes", false: "take"}[in == 1]+" traffic",
		"What a request is answered depends on which server gets it. Bring all to the same version; in the middle of an upgrade this passes.")
	split := s.split()
	risk(split != "", split,
		"No hash is that of more than half, so nobody is held out of rotation. In the middle of an upgrade this passes.")
	risk(!s.RolledBack.IsZero(), "The settings of HAProxy are not in effect: they were rolled back", "At "+s.RolledBack.Format(time.RFC3339)+". "+capital(AfterRollback)+".")
	found = append(found, s.peerRisks()...)
	found = append(found, s.certificateRisks()...)
	found = append(found, s.connectorRisks()...)
	risk(s.HAProxy.Backend.Queue > 0, plural(s.HAProxy.Backend.Queue, "request waits", "requests wait")+" in the queue",
		"The servers are at their limit of connections. Add servers, or raise the limit.")
	what := s.slotsShort()
	risk(what != "", what, "The instance after the last free slot costs a reload. It closes no connection but those, WebSockets say, that are then still open after --hard-stop-after.")
	return found
}

// peerRisks looks through what is known of the other load balancers. That nothing is known of them without Consul is told
// elsewhere.
func (s *Status) peerRisks() (found []Risk) {
	risk := func(is bool, what, means string) {
		if is {
			found = append(found, Risk{What: what, Means: means})
		}
	}
	risk(s.Exchange.WriteError != "" && s.Consul.Reachable, "Other load balancers cannot be told what this one has applied: "+s.Exchange.WriteError,
		"They cannot notice that it sends traffic to other servers, and let servers go with which it has requests under way. A 403 says that its token may not write the key.")
	risk(s.Exchange.ReadError != "" && s.Consul.Reachable, "What other load balancers have applied cannot be read: "+s.Exchange.ReadError,
		"It cannot be noticed that one sends traffic to other servers. Servers that stop wait for their --drain-timeout. A 403 says that its token may not read the keys.")
	for _, peer := range s.Peers {
		risk(peer.Diverges, fmt.Sprintf("Load balancer %s sends traffic to other servers than this one", peer.ID),
			fmt.Sprintf("It follows Consul's index %d, this one %d. Compare their status pages: one is behind, or its guard holds.", peer.Index, s.Consul.Index))
		risk(peer.Differs, fmt.Sprintf("Load balancer %s has other settings than this one", peer.ID),
			"Time-outs, limits or TLS: clients are served differently by each. Start both with the same flags; in the middle of an upgrade this passes.")
	}
	return found
}

// AfterRollback is what there is to do about settings that were rolled back.
const AfterRollback = "the ones before stay until lb is started with other flags; lb rollback puts these in effect again"

// capital begins a sentence.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// failing is the number of servers that are out though nobody asked them to be.
func (s *Status) failing() int {
	n := 0
	for _, slot := range s.Slots {
		if slot.failing() {
			n++
		}
	}
	return n
}

// failing needs HAProxy's word: a slot of which nothing can be read is not known to fail.
func (s Slot) failing() bool {
	return s.Status != "" && !s.TakesTraffic && !s.Held && (s.Mode == state.Out || s.Mode == state.Ready && s.Weight > 0)
}

func (s *Status) consulAway() string {
	if s.Consul.Since.IsZero() {
		return "Consul has not answered yet"
	}
	return "Consul has not answered for " + span(s.Now.Sub(s.Consul.Since))
}

// slotsShort says how near the next growth of the backend is, if it is near.
func (s *Status) slotsShort() string {
	total := s.Free + len(s.Slots)
	switch {
	case total == 0:
		return ""
	case s.Free == 0:
		return "No slot is free"
	case s.FreeForS != nil && *s.FreeForS < soon.Seconds():
		return fmt.Sprintf("The free slots last for %s more", span(time.Duration(*s.FreeForS*float64(time.Second))))
	case float64(s.Free) <= nearlyFull*float64(total):
		return plural(s.Free, "slot is", "slots are") + " free"
	}
	return ""
}

// plural is a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// span is a duration as people say it: two units at most, and no more exact than is of use.
func span(d time.Duration) string {
	seconds := int64(d.Seconds())
	minutes, hours := seconds/60, seconds/3600
	switch {
	case seconds < 1:
		return "0 s"
	case minutes < 1:
		return fmt.Sprintf("%d s", seconds)
	case hours < 1 && minutes < 10:
		return fmt.Sprintf("%d min %d s", minutes, seconds%60)
	case hours < 1:
		return fmt.Sprintf("%d min", minutes)
	case hours < 24:
		return fmt.Sprintf("%d h %d min", hours, minutes%60)
	default:
		return fmt.Sprintf("%d d %d h", hours/24, hours%24)
	}
}
