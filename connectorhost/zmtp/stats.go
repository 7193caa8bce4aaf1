package zmtp

import (
	"maps"
	"sync/atomic"
)

type counts struct {
	sent, received, sentBytes, receivedBytes, dropped, unconfirmed, unheard atomic.Int64
	connected, refused                                                      atomic.Int64
}

// Stats are what happened since the socket was opened, and what is now.
type Stats struct {
	Peers       int   `json:"peers"`       // connected now
	Connected   int64 `json:"connected"`   // handshakes that succeeded
	Refused     int64 `json:"refused"`     // connections that came to nothing
	Received    int64 `json:"received"`    // messages
	Sent        int64 `json:"sent"`        // messages: to one peer, or queued for subscribers
	Unconfirmed int64 `json:"unconfirmed"` // messages given to a peer that did not confirm them
	Dropped     int64 `json:"dropped"`     // copies for subscribers that had no room
	Unheard     int64 `json:"unheard"`     // published messages that no peer had subscribed to

	ReceivedBytes int64             `json:"received_bytes"`
	SentBytes     int64             `json:"sent_bytes"`
	Waiting       int               `json:"waiting"`           // received and not taken
	Trouble       map[string]string `json:"trouble,omitempty"` // by address: why it is not connected
}

// Event is something that happened to a peer.
type Event struct {
	Peer  string // its address, or the one that was dialled
	Err   error  // nil: connected, and ready
	Cause Cause  // of Err
}

// Stats may be asked for at any time.
func (s *Socket) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Stats{
		Peers: len(s.peers), Connected: s.counts.connected.Load(), Refused: s.counts.refused.Load(),
		Received: s.counts.received.Load(), Sent: s.counts.sent.Load(), Unconfirmed: s.counts.unconfirmed.Load(),
		Dropped: s.counts.dropped.Load(), Unheard: s.counts.unheard.Load(),
		ReceivedBytes: s.counts.receivedBytes.Load(), SentBytes: s.counts.sentBytes.Load(),
		Waiting: s.inbox.len(), Trouble: maps.Clone(s.trouble),
	}
}
