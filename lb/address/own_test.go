package address

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"zatoha/deploy/program"
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

func TestFrontsAreWhereTheVirtualAddressMayCome(t *testing.T) {
	for _, c := range []struct {
		listen, tls program.HostPort
		virtual     string
		want        string // "" for all well
	}{
		{"0.0.0.0:80", "", "10.0.0.100", ""},
		{":80", ":443", "10.0.0.100", ""},
		{"[::]:80", "0.0.0.0:443", "10.0.0.100", ""},
		{"[::]:80", "[::]:443", "fd00::100", ""},
		{"10.0.0.1:80", "", "", ""},
		{"10.0.0.1:80", "", "10.0.0.100", "--listen: 10.0.0.1:80 does not go with --virtual-address 10.0.0.100, which comes and goes: listen at all addresses, by 0.0.0.0:80"},
		{"10.0.0.100:80", "", "10.0.0.100", "by 0.0.0.0:80"},
		{"lb-1.example:80", "", "10.0.0.100", "by 0.0.0.0:80"},
		{"0.0.0.0:80", "10.0.0.1:443", "10.0.0.100", "--tls-listen: 10.0.0.1:443 does not go with"},
		{"[fd00::1]:80", "", "fd00::100", "by [::]:80"},
		{"0.0.0.0:80", "", "fd00::100", "by [::]:80"},
		{":80", "", "fd00::100", "by [::]:80"},
		{"0.0.0.0:80", "", "0.0.0.0", "--virtual-address: 0.0.0.0 is no address that machines can share"},
		{"[::]:80", "", "::", "--virtual-address: :: is no"},
		{"[::]:80", "", "fe80::1%eth0", "--virtual-address: fe80::1%eth0 is no"},
		{"[::]:80", "", "::ffff:10.0.0.100", "--virtual-address: ::ffff:10.0.0.100 is no"},
	} {
		var virtual netip.Addr // none for ""
		if c.virtual != "" {
			virtual = netip.MustParseAddr(c.virtual)
		}
		err := Fronts{Listen: c.listen, TLSListen: c.tls}.CheckVirtual(virtual)
		_, bad := errors.AsType[*program.ConfigError](err)
		if bad != (c.want != "") || bad && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s and %q at %q: %v, want %q", c.listen, c.tls, c.virtual, err, c.want)
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
