package service

import (
	"math/bits"
	"math/rand/v2"
)

const (
	cidDigits = 39 // of 2^128-1
	chunk     = 19 // digits; the largest power of ten in 64 bits is 10^19
)

// NewCID makes a correlation ID, which names one call in every log and answer: K and 39 decimal digits, 128 random bits
// padded with zeros. It is unique, not secret.
func NewCID() string { return formatCID(rand.Uint64(), rand.Uint64()) }

// formatCID writes high·2^64 + low by long division, 19 digits at a time.
func formatCID(high, low uint64) string {
	const divisor = 1e19
	quotientLow, last := bits.Div64(high%divisor, low, divisor)
	first, middle := bits.Div64(high/divisor, quotientLow, divisor)
	var cid [1 + cidDigits]byte
	cid[0] = 'K'
	cid[1] = '0' + byte(first) // at most 3
	putDigits(cid[2:2+chunk], middle)
	putDigits(cid[2+chunk:], last)
	return string(cid[:])
}

// putDigits fills the whole of to, with zeros before the number.
func putDigits(to []byte, number uint64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = '0' + byte(number%10)
		number /= 10
	}
}
