package embedded

import (
	"time"

	"zatoha/haproxy"
)

// longRound is the number of turns from which on a newcomer's wait for its own is worth shortening.
const longRound = 16

// entranceTime is how long a newcomer has more than its weight. Longer would help those who serve some hundred requests a
// second, and burden a newcomer among thousands of them.
const entranceTime = 3 * time.Millisecond

// entrance parts changes in two, of which the second are to follow after [entranceTime]. HAProxy puts a server that comes
// up at the end of a round, so that with a hundred servers it may get its first request only after a hundred others.
// With as much weight as all of them together it gets the next request or the one after, and then it is given its own.
// Until then it gets every second request; so this is for one newcomer at a time.
//
// A round has as many turns as the servers that take traffic have weight together.
func entrance(changes []haproxy.Change, round int) (first, second []haproxy.Change) {
	newcomer := -1
	for i, change := range changes {
		if change.To.Admin != haproxy.Ready || change.From.Admin == haproxy.Ready || change.To.Weight == 0 {
			continue
		}
		if newcomer >= 0 {
			return changes, nil
		}
		newcomer = i
	}
	if newcomer < 0 || round < longRound || changes[newcomer].To.Weight >= round {
		return changes, nil
	}
	const mostWeight = 256
	raised := changes[newcomer].To
	raised.Weight = min(round, mostWeight)
	first = append(first, changes...)
	first[newcomer].To = raised
	return first, []haproxy.Change{{From: raised, To: changes[newcomer].To}}
}

// turns is the weight of all servers that take traffic.
func turns(servers []haproxy.Server) (sum int) {
	for _, server := range servers {
		if server.Admin == haproxy.Ready {
			sum += server.Weight
		}
	}
	return sum
}
