package haproxy

import "time"

// Certificate is one of the HTTPS front's.
type Certificate struct {
	File      string    `json:"file"`
	Names     []string  `json:"names"`      // that it is for
	NotBefore time.Time `json:"not_before"` // when it began to be good
	NotAfter  time.Time `json:"not_after"`  // when it expires
	Refused   string    `json:"refused"`    // why what the file has now is not served, and the one before still is; or ""
}
