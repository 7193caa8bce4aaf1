package address

import (
	"slices"
	"testing"
)

func TestWhereTheFrontsAre(t *testing.T) {
	for _, test := range []struct {
		fronts  Fronts
		monitor string
		ports   []uint16
	}{
		{Fronts{Listen: "0.0.0.0:11223"}, "http://127.0.0.1:11223/zato-lb-alive", []uint16{11223}},
		{Fronts{Listen: ":80", TLSListen: ":443"}, "http://127.0.0.1:80/zato-lb-alive", []uint16{80, 443}},
		{Fronts{Listen: "10.0.0.1:80"}, "http://10.0.0.1:80/zato-lb-alive", []uint16{80}},
	} {
		if got := test.fronts.Monitor(); got != test.monitor {
			t.Errorf("%+v: %s, want %s", test.fronts, got, test.monitor)
		}
		if got := test.fronts.ports(); !slices.Equal(got, test.ports) {
			t.Errorf("%+v: %d, want %d", test.fronts, got, test.ports)
		}
	}
}

func TestTheFlagsOfAYieldAreItsLimits(t *testing.T) {
	want := DefaultLimits()
	want.Force = true
	if got := (Wishes{Turnover: want.Turnover, Gate: want.Gate, Move: want.Move, Force: true}).limits(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
