package embedded_test

import (
	"testing"

	"zatoha/haproxy/conformance"
	"zatoha/haproxy/embedded"
)

// subject is an embedded data plane, and the HAProxy that it drives.
type subject struct {
	*embedded.DataPlane
	*conformance.HAProxy
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T, operators string, slots int) conformance.Subject {
		h := conformance.NewHAProxy(t, operators)
		plane := embedded.New("haproxy", h.Paths, h.Options, h.Process)
		if err := plane.Prepare(t.Context(), conformance.Free(slots)); err != nil {
			t.Fatal(err)
		}
		h.Start(t)
		return subject{plane, h}
	}, nil)
}
