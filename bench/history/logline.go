package history

import "time"

// LogLine is a line of a connector host's log in JSON, as far as it is about a child. A child acts from when it was told
// to go until it has finished or ended; hosts number children from 1 in each tenure.
type LogLine struct {
	Time      time.Time `json:"time"`
	Message   string    `json:"message"`
	Connector string    `json:"connector"`
	Child     int       `json:"child"`
	PID       int       `json:"pid"`
	Epoch     uint64    `json:"epoch"`
	Action    string    `json:"action"`
}

// Started says whether a child's process has begun, which tells of its PID and epoch.
func (l LogLine) Started() bool { return l.Message == "a child has started" }

// Went says whether a child was told to go.
func (l LogLine) Went() bool { return l.Message == "supervising" && l.Action == "go" }

// Ended says whether a child has finished, so that only the end of its process is left, or that is over too.
func (l LogLine) Ended() bool {
	return l.Message == "a child has finished" || l.Message == "a child has ended"
}
