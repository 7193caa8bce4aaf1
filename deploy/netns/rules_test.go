package netns

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPartitionsAsRules(t *testing.T) {
	const empty = "table bridge partition\ndelete table bridge partition\ntable bridge partition {\n" +
		"\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n\t}\n}\n"
	if got := rules(nil, nil, nil); got != empty {
		t.Errorf("without groups:\n%s", got)
	}
	want := strings.Replace(empty, "\t}\n", "\t\tiifname { \"a\" } oifname != { \"a\" } drop\n\t\tiifname != { \"a\" } oifname { \"a\" } drop\n"+
		"\t\tiifname { \"b\", \"c\" } oifname != { \"b\", \"c\" } drop\n\t\tiifname != { \"b\", \"c\" } oifname { \"b\", \"c\" } drop\n\t}\n", 1)
	if got := rules([][]string{{"a"}, nil, {"b", "c"}}, nil, nil); got != want {
		t.Errorf("with two groups:\n%s", got)
	}
}

func TestLossAsRules(t *testing.T) {
	const want = "accept;\n\t\tiifname \"a\" numgen random mod 1000 < 20 drop\n\t\toifname \"a\" numgen random mod 1000 < 20 drop\n\t}\n}\n"
	if got := rules(nil, nil, []loss{{"a", 20}}); !strings.HasSuffix(got, want) {
		t.Errorf("rules:\n%s", got)
	}
}

// TestWhoCanReachWhomIsMutual reads the rules as the kernel does: two hosts reach each other if no group and no cut parts
// them.
func TestWhoCanReachWhomIsMutual(t *testing.T) {
	hosts := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.SliceOfN(rapid.SliceOfDistinct(rapid.SampledFrom(hosts), rapid.ID[string]), 0, 3).Draw(t, "groups")
		some := rapid.SliceOfDistinct(rapid.SampledFrom(hosts), rapid.ID[string])
		cuts := []cut{{some.Draw(t, "some"), some.Draw(t, "others")}}
		text := rules(groups, cuts, nil)
		for _, from := range hosts {
			for _, to := range hosts {
				parted := slices.ContainsFunc(groups, func(g []string) bool { return slices.Contains(g, from) != slices.Contains(g, to) }) ||
					slices.Contains(cuts[0].some, from) && slices.Contains(cuts[0].others, to) ||
					slices.Contains(cuts[0].some, to) && slices.Contains(cuts[0].others, from)
				if got := drops(text, from, to); got != parted {
					t.Fatalf("from %s to %s dropped: %v\n%s", from, to, got, text)
				}
			}
		}
	})
}

// drops says what the rules make of a frame.
func drops(text, from, to string) bool {
	for line := range strings.Lines(text) {
		words, isDrop := strings.CutSuffix(strings.TrimSpace(line), " drop")
		if !isDrop {
			continue
		}
		first, second, _ := strings.Cut(words, " oifname ")
		if matches(strings.TrimPrefix(first, "iifname "), from) && matches(second, to) {
			return true
		}
	}
	return false
}

func matches(set, port string) bool {
	inverse := strings.HasPrefix(set, "!= ")
	return strings.Contains(set, `"`+port+`"`) != inverse
}

func TestNamesOfHosts(t *testing.T) {
	for text, good := range map[string]bool{
		"a": true, "lb-1": true, "abcdefghijklmno": true,
		"": false, "abcdefghijklmnop": false, "A": false, "1a": false, "a b": false, `a"`: false, "bridge": false, "lo": false,
	} {
		if got := properName(text); got != good {
			t.Errorf("%q: %v", text, got)
		}
	}
}
