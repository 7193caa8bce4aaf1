package program

import "testing"

func TestNoTextSteersTheTerminal(t *testing.T) {
	if got, want := Printable("grün\x1b[2J\r\nx\u202e"), "grün�[2J��x�"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
