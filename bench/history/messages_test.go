package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// effect is the effect of a message at a second, under epoch 1, each time in another process.
func effect(message string, second int, redelivered bool) Effect {
	return Effect{
		Connector: "orders", Message: message, ID: message, Redelivered: redelivered, Server: fmt.Sprint("server-1/", second), Epoch: 1, At: at(second),
	}
}

func TestAProcessRunsAMessageThatIsMarkedOnce(t *testing.T) {
	in := func(e Effect, server string) Effect {
		e.Server = server
		return e
	}
	effects := []Effect{
		in(effect("a", 1, false), "server-1/10"), in(effect("a", 2, true), "server-2/20"), in(effect("a", 3, true), "server-1/11"),
		in(effect("b", 4, false), "server-1/10"), in(effect("b", 5, true), "server-2/20"), in(effect("b", 6, true), "server-1/10"),
		in(effect("c", 7, false), "server-1/10"), in(effect("c", 8, false), "server-1/10"), // whose mark is what is missed
		in(effect("twice", 9, false), "server-1/10"), in(effect("twice", 10, true), "server-1/10"),
	}
	slices.Reverse(effects)
	n, faults := CheckRepeated(effects, "orders", func(message string) bool { return message == "twice" })
	if n != 5 || len(faults) != 2 || Count(faults, Unmarked) != 1 || Count(faults, RanTwice) != 1 {
		t.Fatalf("%d, %v", n, faults)
	}
	if f := faults[0]; f.Kind != RanTwice || !strings.Contains(f.String(), "in server-1/10; message b of orders") {
		t.Error(f)
	}
}

func TestAMessageThatComesAgainHasToBeMarked(t *testing.T) {
	effects := []Effect{
		effect("a", 1, true), effect("a", 2, true), effect("b", 3, false), effect("b", 4, false), effect("c", 5, false),
		effect("twice", 6, false), effect("twice", 7, false),
		{Connector: "others", Message: "b", Epoch: 1, At: at(8)},
		{Connector: "others", Message: "b", Epoch: 1, At: at(9)},
	}
	slices.Reverse(effects) // in whatever order they are given
	n, faults := CheckRepeated(effects, "orders", func(message string) bool { return message == "twice" })
	if n != 2 || len(faults) != 1 || faults[0].Kind != Unmarked || !strings.Contains(faults[0].String(), "message b of orders") {
		t.Errorf("%d, %v", n, faults)
	}
	other := effect("a", 3, true)
	other.ID = "another"
	if _, faults := CheckRepeated([]Effect{effect("a", 1, false), other}, "orders", func(string) bool { return false }); len(faults) != 1 {
		t.Errorf("another ID is not found: %v", faults)
	}
}

func TestOrderIsTheNextOrTheLatestOnceMore(t *testing.T) {
	number := func(message string) (int, bool) {
		n, err := strconv.Atoi(message)
		return n, err == nil
	}
	for messages, faults := range map[string]int{
		"0 1 2 3": 0, "0 0 1 1 1 2": 0, "0 2 3": 1, "0 1 0 2": 1, "1 2": 1, "0 1 x 2": 1, "": 0, "0 2 1 3": 2,
	} {
		var effects []Effect
		for i, message := range strings.Fields(messages) {
			effects = append(effects, effect(message, i, false))
		}
		if got := CheckOrder(effects, "orders", number); len(got) != faults {
			t.Errorf("%s: %v, want %d", messages, got, faults)
		}
	}
}

func TestAnyOrderWithRepetitionsOfTheLatestIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var effects []Effect
		second := 0
		for n := range rapid.IntRange(0, 20).Draw(t, "messages") {
			for range rapid.IntRange(1, 3).Draw(t, "times") {
				effects = append(effects, effect(fmt.Sprint(n), second, false))
				second++
			}
		}
		number := func(message string) (int, bool) {
			n, err := strconv.Atoi(message)
			return n, err == nil
		}
		if faults := CheckOrder(effects, "orders", number); faults != nil {
			t.Fatal(faults)
		}
		if len(effects) < 2 {
			return
		}
		i := rapid.IntRange(1, len(effects)-1).Draw(t, "swapped")
		if effects[i].Message == effects[i-1].Message {
			return
		}
		effects[i].At, effects[i-1].At = effects[i-1].At, effects[i].At
		if CheckOrder(effects, "orders", number) == nil {
			t.Fatal("two that were swapped are not found")
		}
	})
}
