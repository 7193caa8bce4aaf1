package main

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

func TestTheOtherLoadBalancersAreToldOfTheSettings(t *testing.T) {
	told := func(args ...string) string {
		g, err := parsed(t, append([]string{"run"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		c := g.Run.controller(nil, g.StateDir, zerolog.Nop())
		c.plane = localPlane(t, "haproxy", "")
		c.loop = reconcile.New(state.NewPool(1), nil, nil, zerolog.Nop(), reconcile.Options{})
		return c.applied().Design
	}
	if a, b := told(), told("--listen=10.0.0.2:80"); a != b || a == "" {
		t.Errorf("%q at one address, %q at another", a, b)
	}
	if a, b := told(), told("--server-timeout=20s"); a == b {
		t.Errorf("both say %q, with different time-outs", a)
	}
}

func TestNamesThatConsulCannotHaveAreRefusedByFlag(t *testing.T) {
	for _, args := range []string{"--service=a/b", "--service=", "--cluster=a b", "--connectorhost-service=../x"} {
		_, err := parsed(t, args)
		flag, _, _ := strings.Cut(args, "=")
		if err == nil || !strings.Contains(err.Error(), flag+": ") || !strings.Contains(err.Error(), program.NameRule) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
