package netns

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoDelay is wrapped by the error of [Host.Impair] on a machine whose kernel cannot delay packets.
var ErrNoDelay = errors.New("this kernel has no netem, which delays packets (modprobe sch_netem)")

// perMille is the whole of a host's packets.
const perMille = 1000

// Impair makes the link of a host a bad one: a round trip takes longer by delay, and of a thousand packets, either way,
// so many are lost. Zeros, and [Net.Heal], mend it. Loss works wherever networks do; delay takes the kernel's netem.
func (h *Host) Impair(ctx context.Context, delay time.Duration, lost int) error {
	if delay < 0 || lost < 0 || lost > perMille {
		return fmt.Errorf("impair %s: delay %v, %d of %d packets lost: out of range", h.Name, delay, lost, perMille)
	}
	if err := h.delay(ctx, delay); err != nil {
		return fmt.Errorf("impair %s: %w", h.Name, err)
	}
	h.lost = lost
	return h.net.filter(ctx)
}

// delay delays what the bridge sends to the host.
func (h *Host) delay(ctx context.Context, by time.Duration) error {
	if by == h.delayed {
		return nil
	}
	command := fmt.Sprintf("qdisc replace dev %s root netem delay %dus", h.Name, by.Microseconds())
	if by == 0 {
		command = fmt.Sprintf("qdisc del dev %s root", h.Name)
	}
	hub := h.net.hub
	tc := filepath.Join(filepath.Dir(h.net.ip), "tc") // they are of one package
	_, err := hub.run(ctx, hub.enterNet, command+"\n", tc, "-batch", "-")
	switch {
	case err == nil:
		h.delayed = by
	case strings.Contains(err.Error(), "qdisc kind is unknown"):
		err = ErrNoDelay
	}
	return err
}
