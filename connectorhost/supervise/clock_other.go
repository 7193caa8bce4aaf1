//go:build !linux

package supervise

import "time"

// bootClock is a clock that all processes of the machine share. Unlike the one used on Linux it can be set.
func bootClock() int64 { return time.Now().UnixNano() }
