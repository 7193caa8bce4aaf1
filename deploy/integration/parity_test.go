package integration

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"zatoha/deploy/cluster"
)

func TestAServerWithOtherServicesIsHeldOutOfRotation(t *testing.T) {
	config := newConfig(t, 3)
	config.LBArgs = []string{"--parity", "hold"}
	c := started(t, config)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(other.Close)
	registration := cluster.Registration{
		ID: "other", Service: "zato-server", Address: strings.TrimPrefix(other.URL, "http://"), Meta: map[string]string{"services_hash": "0123456789abcdef"},
	}
	if err := c.Register(t.Context(), registration); err != nil {
		t.Fatal(err)
	}
	t.Logf("held %s after it registered", await(t, c, func(s cluster.Status) bool {
		return len(s.Slots) == 4 && s.Slots[3].Mode == "out" && strings.Contains(s.Summary, "1 server is held for other services")
	}))
	if s := status(t, c); len(s.Rotation) != 3 || slices.Contains(s.Rotation, "other") {
		t.Errorf("in rotation: %v", s.Rotation)
	}
	registration.Meta = nil // it is somebody else's program after all
	if err := c.Register(t.Context(), registration); err != nil {
		t.Fatal(err)
	}
	t.Logf("in rotation %s after that", await(t, c, inRotation(4)))
}
