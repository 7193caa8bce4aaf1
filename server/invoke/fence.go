// Package invoke decides what becomes of a call that a connector makes: whether the connector host that sends it still
// may, and whether the message was here before. It is pure: it waits for nobody and knows no clock, network or log.
//
// One case from start to end. Connector host A, of epoch 7, sends message m1. The [Fence] lets it in, and the [Window]
// has not seen m1, so the service runs. A is cut off before it has the answer, and host B takes over with epoch 8. B is
// handed m1 again by the broker and sends it, marked as one that comes again, while the service still runs: the window
// makes B wait, and both get the one outcome. Once it has succeeded, m1 coming again is answered from the window; had it
// failed, m1 would be run again. A message that is not marked is another one, though its publisher called it m1 too, and
// is run. What A still sends, of epoch 7, the fence refuses from the moment on that it has seen epoch 8, be it in a
// request or in the key that the connector hosts compete for.
package invoke

import (
	"encoding/json"
	"strconv"
	"sync/atomic"
)

// Fence knows the highest epoch that there has been, and keeps out who comes with a lower one. The zero value knows
// none. It is safe for concurrent use.
type Fence struct {
	highest atomic.Uint64
}

// Learn takes note of an epoch.
func (f *Fence) Learn(epoch uint64) {
	for {
		highest := f.highest.Load()
		if epoch <= highest || f.highest.CompareAndSwap(highest, epoch) {
			return
		}
	}
}

// Admit takes note of an epoch and says whether it is the highest.
func (f *Fence) Admit(epoch uint64) bool {
	f.Learn(epoch)
	return epoch >= f.highest.Load()
}

// Highest is the highest epoch so far, 0 if there was none.
func (f *Fence) Highest() uint64 { return f.highest.Load() }

// ParseEpoch reads an epoch as a header has it: a decimal number that is not 0.
func ParseEpoch(text string) (epoch uint64, ok bool) {
	epoch, err := strconv.ParseUint(text, 10, 64)
	return epoch, err == nil && epoch > 0 && text[0] != '+'
}

// EpochOf reads the epoch that the holder of the connector hosts' lock has written into its value, as the JSON field
// "epoch". A value without one is none, whatever it is.
func EpochOf(lock []byte) (epoch uint64, ok bool) {
	var value struct{ Epoch json.RawMessage }
	if json.Unmarshal(lock, &value) != nil || len(value.Epoch) == 0 {
		return 0, false
	}
	text := string(value.Epoch)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	if text == "" {
		return 0, false
	}
	return ParseEpoch(text)
}
