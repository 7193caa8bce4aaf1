package program

import (
	"testing"
	"time"
)

func TestATokenIsAcceptedForAWhileBehindItsExchange(t *testing.T) {
	now := time.Unix(1e9, 0)
	var token Token
	if token.Known() || token.Accepts(nil, now) {
		t.Error("something is accepted where there is no token")
	}
	for range 2 {
		if token.Renew("first", now) || !token.Known() {
			t.Error("the first one is another one")
		}
	}
	if !token.Renew("second", now) {
		t.Error("the second one is not")
	}
	for _, test := range []struct {
		shown string
		later time.Duration
		want  bool
	}{
		{"second", 0, true}, {"first", TokenGrace - 1, true}, {"first", TokenGrace, false}, {"second", time.Hour, true}, {"", 0, false}, {"third", 0, false},
	} {
		if got := token.Accepts([]byte(test.shown), now.Add(test.later)); got != test.want {
			t.Errorf("%q, %v behind the exchange: %t", test.shown, test.later, got)
		}
	}
}
