package state

import "testing"

func TestAnAddressOfNoMachineIsRefused(t *testing.T) {
	for address, taken := range map[string]bool{"0.0.0.0": false, "::": false, "::ffff:0.0.0.0": false, "0.0.0.1": true, "::1": true} {
		members, refusals := Desire(Catalog{Instances: []Instance{{Key: "a", ID: "a", Address: address, Port: 80, Status: Passing}}})
		if (len(members) == 1) != taken || (len(refusals) == 0) != taken {
			t.Errorf("%s: %v, %v", address, members, refusals)
		}
	}
}
