package embedded_test

import (
	"testing"
	"time"

	"zatoha/deploy/freeport"
	"zatoha/haproxy/conformance"
	"zatoha/haproxy/embedded"
)

// subject is an embedded data plane, and the HAProxy that it drives.
type subject struct {
	*embedded.DataPlane
	*conformance.HAProxy
}

func (s *subject) Redesign(_ *testing.T, seconds int) {
	s.Options.ServerTimeout = time.Duration(seconds) * time.Second
	s.DataPlane = embedded.New("haproxy", s.Paths, s.Options, s.Process)
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T, operators string, slots int) conformance.Subject {
		h := conformance.NewHAProxy(t, freeport.For(t), operators)
		plane := embedded.New("haproxy", h.Paths, h.Options, h.Process)
		if _, err := plane.Prepare(t.Context(), conformance.Free(slots)); err != nil {
			t.Fatal(err)
		}
		h.Start(t)
		return &subject{plane, h}
	}, nil)
}
