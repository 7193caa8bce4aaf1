package program

import "testing"

func TestAnInstancesIDIsOfCharactersThatConsulTakes(t *testing.T) {
	if got, want := instanceID("zato-server", "büro/pc 1.example", 17010), "zato-server-b-ro-pc-1.example-17010"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	first, err := InstanceID("zato-server", 17010)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := InstanceID("zato-server", 17010); again != first {
		t.Errorf("%q, then %q", first, again)
	}
}
