package state

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the conversations in testdata")

// TestConversations replays testdata/*.txt. A conversation is a list of blocks: a first line that says what is done
// (pool SLOTS headroom=N guard=SHARE [parity=POLICY], catalog or show), the catalog's instances (ID ADDRESS:PORT STATUS
// [weight=N] [warning=N] [maxconn=N] [services=HASH] [drain]), and behind "----" what came of it: the plan, or the pool.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s says otherwise; if the new answer is right, run go test ./lb/state -update\n%s", file, got)
			}
		})
	}
}

func replay(t *testing.T, text string) string {
	t.Helper()
	var pool Pool
	var policy Policy
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		said, _, _ := strings.Cut(block+"\n", "----\n")
		fmt.Fprintf(&out, "%s----\n", said)
		lines := strings.Split(strings.TrimSpace(said), "\n")
		for len(lines) > 1 && strings.HasPrefix(lines[0], "#") {
			lines = lines[1:]
		}
		words := strings.Fields(lines[0])
		switch words[0] {
		case "pool":
			pool, policy = parsePool(t, words[1:])
			fmt.Fprintf(&out, "%d free slots\n\n", len(pool.Slots))
		case "catalog":
			catalog := parseCatalog(t, lines[1:])
			members, refusals := Desire(catalog)
			members, parity := Compare(pool, catalog, members, policy.Parity)
			plan := Diff(pool, members, policy)
			pool = plan.ApplyTo(pool)
			for _, refusal := range refusals {
				fmt.Fprintf(&out, "refused: %s: %s\n", refusal.ID, refusal.Reason)
			}
			out.WriteString(parityText(parity))
			if plan.String() == "" {
				out.WriteString("nothing to do\n")
			}
			fmt.Fprintf(&out, "%s\n", plan)
		case "show":
			for _, slot := range pool.Slots {
				fmt.Fprintf(&out, "%s %s\n", slot.Name, slot.Member)
			}
			out.WriteString("\n")
		default:
			t.Fatalf("unknown word %q", words[0])
		}
	}
	return strings.TrimSpace(out.String()) + "\n"
}

func parsePool(t *testing.T, words []string) (Pool, Policy) {
	t.Helper()
	slots := number(t, words[0])
	guard, err := strconv.ParseFloat(strings.TrimPrefix(words[2], "guard="), 64)
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{Headroom: number(t, strings.TrimPrefix(words[1], "headroom=")), Guard: guard, Parity: ReportParity}
	if len(words) > 3 {
		policy.Parity = ParityPolicy(strings.TrimPrefix(words[3], "parity="))
	}
	return NewPool(slots), policy
}

func parityText(parity Parity) string {
	var out strings.Builder
	if parity.Split() {
		fmt.Fprintf(&out, "no majority: %v\n", parity.Groups)
	}
	for _, d := range parity.Differing {
		fmt.Fprintf(&out, "differs: %s has services %s, most have %s", d.ID, d.Services, parity.Majority)
		if d.Held {
			out.WriteString("; held")
		}
		out.WriteString("\n")
	}
	return out.String()
}

func parseCatalog(t *testing.T, lines []string) Catalog {
	t.Helper()
	var catalog Catalog
	for _, line := range lines {
		words := strings.Fields(line)
		address, port, _ := strings.Cut(words[1], ":")
		instance := Instance{
			Key: "node/" + words[0], ID: words[0], Address: address, Port: number(t, port),
			WeightPassing: 1, WeightWarning: 1, Status: Status(words[2]),
		}
		for _, word := range words[3:] {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "weight":
				instance.WeightPassing = number(t, value)
			case "warning":
				instance.WeightWarning = number(t, value)
			case "maxconn":
				instance.MaxConn = number(t, value)
			case "services":
				instance.Services = value
			case "drain":
				instance.Drain = true
			default:
				t.Fatalf("unknown word %q in %q", word, line)
			}
		}
		catalog.Instances = append(catalog.Instances, instance)
	}
	return catalog
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
