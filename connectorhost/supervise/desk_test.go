package supervise

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the conversations in testdata")

var dawn = time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC)

// TestConversations replays testdata/*.txt. A conversation is a list of blocks: what happens to the desk, and behind
// "----" what it wants done. What happens is one of
//
//	define NAME=HASH[+] …    + for a kind that can be prepared beside the one it replaces
//	started CHILD PID
//	said CHILD STATE [WHY]
//	ended CHILD HOW
//	wait DURATION
//	stop
//	show
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
				t.Errorf("%s says otherwise; if the new answer is right, run go test ./connectorhost/supervise -update\n%s", file, got)
			}
		})
	}
}

func replay(t *testing.T, text string) string {
	t.Helper()
	policy := DefaultPolicy()
	policy.AtOnce = 3 // on whatever machine
	desk, now := NewDesk(policy, func() float64 { return 1 }), dawn
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		said, _, _ := strings.Cut(block+"\n", "----\n")
		fmt.Fprintf(&out, "%s----\n", said)
		lines := strings.Split(strings.TrimSpace(said), "\n")
		words := strings.Fields(lines[len(lines)-1])
		var actions []Action
		switch words[0] {
		case "define":
			actions = desk.Define(now, parseDefinitions(words[1:]))
		case "started":
			desk.Started(now, number(t, words[1]), number(t, words[2]))
		case "said":
			state, why := words[2], strings.Join(words[3:], " ")
			actions = desk.Said(now, number(t, words[1]), Report{State: State(state), Why: why})
		case "ended":
			actions = desk.Ended(now, number(t, words[1]), strings.Join(words[2:], " "))
		case "wait":
			d, err := time.ParseDuration(words[1])
			if err != nil {
				t.Fatal(err)
			}
			if next := desk.Next(now); !next.IsZero() {
				fmt.Fprintf(&out, "(would look again in %v)\n", next.Sub(now))
			}
			now = now.Add(d)
			actions = desk.Look(now)
		case "stop":
			actions = desk.Stop(now)
		case "show":
			for _, s := range desk.Status(now) {
				fmt.Fprintln(&out, show(s))
			}
		default:
			t.Fatalf("unknown word %q", words[0])
		}
		for _, action := range actions {
			fmt.Fprintln(&out, action)
		}
		out.WriteString("\n")
	}
	return strings.TrimSpace(out.String()) + "\n"
}

func show(s Status) string {
	text := fmt.Sprintf("%s=%s %s pid %d restarts %d", s.Name, s.Hash, s.State, s.PID, s.Restarts)
	if !s.Until.IsZero() {
		text += fmt.Sprintf(" until %v", s.Until.Sub(dawn))
	}
	if s.Why != "" {
		text += ": " + s.Why
	}
	if s.Replacement != "" {
		text += ", replacement: " + s.Replacement
	}
	return text
}

func parseDefinitions(words []string) (definitions []Definition) {
	for _, word := range words {
		name, hash, _ := strings.Cut(word, "=")
		bare, beside := strings.CutSuffix(hash, "+")
		definitions = append(definitions, Definition{Name: name, Kind: "test", Hash: bare, Beside: beside})
	}
	return definitions
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// world does what a desk wants, as children would: late, and not always well.
type world struct {
	r         *rapid.T
	desk      *Desk
	now       time.Time
	alive     map[int]string // child → its connector
	receiving map[int]bool
	draining  map[int]bool
	hash      map[int]string
	wanted    map[string]string // connector → its definition
	fenced    map[string]string // connector → the definition that was refused for its epoch
}

func (w *world) do(actions []Action) {
	for _, a := range actions {
		name := a.Definition.Name
		switch a.Verb {
		case DoStart:
			if w.fenced[name] == a.Definition.Hash {
				w.r.Fatalf("%v, which was fenced", a)
			}
			w.alive[a.Child], w.hash[a.Child] = name, a.Definition.Hash
			w.desk.Started(w.now, a.Child, 1000+a.Child)
		case DoGo:
			for other := range w.receiving {
				if w.alive[other] == name {
					w.r.Fatalf("%v while %s#%d receives", a, name, other)
				}
			}
			w.receiving[a.Child] = true
		case DoDrain:
			if !w.receiving[a.Child] {
				w.r.Fatalf("%v, which receives nothing", a)
			}
			w.draining[a.Child] = true
		case DoKill:
			w.end(a.Child, "signal: killed")
		}
		if n := w.count(name); n > 2 {
			w.r.Fatalf("%d children of %s after %v", n, name, a)
		}
	}
}

func (w *world) count(name string) (n int) {
	for _, its := range w.alive {
		if its == name {
			n++
		}
	}
	return n
}

func (w *world) end(id int, how string) {
	if _, alive := w.alive[id]; !alive {
		return
	}
	delete(w.alive, id)
	delete(w.receiving, id)
	delete(w.draining, id)
	w.do(w.desk.Ended(w.now, id, how))
}

// finish has a child say that nothing is left to it but the end of its process, which nobody waits for.
func (w *world) finish(id int) {
	delete(w.alive, id)
	delete(w.receiving, id)
	delete(w.draining, id)
	w.do(w.desk.Said(w.now, id, Report{State: Finished}))
	w.do(w.desk.Ended(w.now, id, "exit status 0"))
}

// fence has a child that receives end because a server knows a later epoch.
func (w *world) fence(id int) {
	if !w.receiving[id] {
		return
	}
	if name := w.alive[id]; w.wanted[name] == w.hash[id] {
		w.fenced[name] = w.hash[id]
	}
	w.do(w.desk.Said(w.now, id, Report{State: Fenced, Why: "there is a later epoch"}))
	w.end(id, "exit status 0")
}

// Whatever happens, no two children of a connector receive at once, what was fenced is not started as it was, and in the
// end exactly what else is defined runs.
func TestOneChildOfAConnectorReceivesAtATime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		policy := DefaultPolicy()
		policy.AtOnce = rapid.IntRange(1, 3).Draw(r, "at once")
		w := &world{
			r: r, now: dawn, desk: NewDesk(policy, func() float64 { return 0.5 }),
			alive: map[int]string{}, receiving: map[int]bool{}, draining: map[int]bool{}, hash: map[int]string{},
			fenced: map[string]string{}, wanted: map[string]string{},
		}
		var defined []Definition
		for range rapid.IntRange(0, 60).Draw(r, "steps") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(r, "ms")) * time.Millisecond)
			var id int
			if len(w.alive) > 0 {
				id = rapid.SampledFrom(keys(w.alive)).Draw(r, "child")
			}
			switch rapid.SampledFrom([]string{"define", "prepared", "running", "failed", "crash", "fence", "finish", "look"}).Draw(r, "what") {
			case "define":
				defined = nil
				for _, name := range []string{"a", "b"} {
					hash := rapid.SampledFrom([]string{"", "1", "2"}).Draw(r, name)
					if hash != "" {
						defined = append(defined, Definition{Name: name, Hash: hash, Beside: rapid.Bool().Draw(r, "beside")})
					}
					w.wanted[name] = hash
					if w.fenced[name] != hash {
						delete(w.fenced, name)
					}
				}
				w.do(w.desk.Define(w.now, defined))
			case "prepared":
				w.do(w.desk.Said(w.now, id, Report{State: Prepared}))
			case "running":
				w.do(w.desk.Said(w.now, id, Report{State: Running}))
			case "failed":
				w.do(w.desk.Said(w.now, id, Report{State: Failed, Why: "no such queue"}))
			case "crash":
				w.end(id, "exit status 2")
			case "fence":
				w.fence(id)
			case "finish":
				if w.draining[id] && rapid.Bool().Draw(r, "the process ends later") {
					w.finish(id)
				} else if w.draining[id] {
					w.end(id, "exit status 0")
				}
			case "look":
				w.do(w.desk.Look(w.now))
			}
		}
		w.comeToRest()
		expected := slices.DeleteFunc(slices.Clone(defined), func(d Definition) bool { return w.fenced[d.Name] == d.Hash })
		for _, definition := range expected {
			found := false
			for id, name := range w.alive {
				found = found || name == definition.Name && w.hash[id] == definition.Hash && w.receiving[id]
			}
			if !found || w.count(definition.Name) != 1 {
				r.Fatalf("%+v does not run alone: %v, receiving %v", definition, w.alive, w.receiving)
			}
		}
		if len(w.alive) != len(expected) {
			r.Fatalf("children %v of %v", w.alive, expected)
		}
		w.do(w.desk.Stop(w.now))
		w.comeToRest()
		if len(w.alive) != 0 || !w.desk.Idle() {
			r.Fatalf("left over: %v", w.alive)
		}
	})
}

// comeToRest lets every child do what it is told, until nothing more is to be done.
func (w *world) comeToRest() {
	for range 20 {
		for _, id := range keys(w.alive) {
			if w.draining[id] {
				w.end(id, "exit status 0")
			} else if !w.receiving[id] {
				w.do(w.desk.Said(w.now, id, Report{State: Prepared}))
			}
		}
		if next := w.desk.Next(w.now); !next.IsZero() {
			w.now = next
		}
		w.do(w.desk.Look(w.now))
	}
}

func keys(m map[int]string) (all []int) {
	for id := range 10_000 {
		if _, ok := m[id]; ok {
			all = append(all, id)
		}
		if len(all) == len(m) {
			break
		}
	}
	return all
}
