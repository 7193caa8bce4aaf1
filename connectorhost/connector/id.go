package connector

import (
	"crypto/rand"
	"encoding/hex"
)

// RandomID makes a message ID for a message that came without one: "zatoha-" and 128 random bits.
func RandomID() string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails
	return "zatoha-" + hex.EncodeToString(bits[:])
}
