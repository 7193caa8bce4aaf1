package address

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAnswersCountWhenTheyHaveLasted(t *testing.T) {
	type step struct {
		after  time.Duration
		answer Answer
		value  int
	}
	for name, steps := range map[string][]step{
		"a start is proven first":             {{0, Serving, Fault}, {999 * time.Millisecond, Serving, Fault}, {time.Millisecond, Serving, Good}},
		"two refusals are a death":            {{0, Serving, Fault}, {time.Second, Serving, Good}, {50 * time.Millisecond, Silent, Good}, {50 * time.Millisecond, Silent, Fault}},
		"one lost answer is none":             {{0, Serving, Fault}, {time.Second, Serving, Good}, {50 * time.Millisecond, Silent, Good}, {50 * time.Millisecond, Serving, Good}, {50 * time.Millisecond, Silent, Good}},
		"servers away for a moment are there": {{0, Serving, Fault}, {time.Second, Serving, Good}, {0, NoServer, Good}, {900 * time.Millisecond, NoServer, Good}, {0, Serving, Good}},
		"servers away for longer are away":    {{0, Serving, Fault}, {time.Second, Serving, Good}, {0, NoServer, Good}, {time.Second, NoServer, Empty}, {0, Serving, Empty}, {time.Second, Serving, Good}},
		"a restart has to prove itself":       {{0, Serving, Fault}, {time.Second, Serving, Good}, {0, Silent, Good}, {50 * time.Millisecond, Silent, Fault}, {50 * time.Millisecond, Serving, Fault}, {time.Second, Serving, Good}},
		"a start without servers is no fault": {{0, NoServer, Fault}, {time.Second, NoServer, Empty}},
	} {
		t.Run(name, func(t *testing.T) {
			judge, now := &Judge{}, time.Unix(0, 0)
			for i, s := range steps {
				now = now.Add(s.after)
				judge.Hear(now, s.answer)
				if got := judge.Value(false, false); got != s.value {
					t.Fatalf("step %d: %d, want %d", i+1, got, s.value)
				}
			}
		})
	}
}

func TestAJudgeGoesOnWithWhatAnotherHasTold(t *testing.T) {
	for _, answer := range []Answer{Serving, NoServer, Silent} {
		for _, yielded := range []bool{false, true} {
			for _, alone := range []bool{false, true} {
				told := (&Judge{counts: answer}).Value(yielded, alone)
				judge, outlook := resumed(told), &Outlook{Peers: []string{"a peer"}}
				outlook.resume(told)
				if got := judge.Value(yielded, outlook.Alone()); got != told {
					t.Errorf("%s, yielded %v, alone %v: %d after %d", answer, yielded, alone, got, told)
				}
			}
		}
	}
	judge, now := resumed(Good), time.Unix(0, 0)
	judge.Hear(now, Silent)
	if judge.Hear(now.Add(askInterval), Silent); judge.Value(false, false) != Fault {
		t.Error("two refusals are no death to a judge that goes on")
	}
	outlook := &Outlook{}
	if outlook.resume(Alone); outlook.Alone() {
		t.Error("who looks for nobody is alone")
	}
}

// TestWhoServesIsBetterThanWhoDoesNot compares two load balancers with any pasts.
func TestWhoServesIsBetterThanWhoDoesNot(t *testing.T) {
	order := map[Answer]int{Serving: 2, NoServer: 1, Silent: 0}
	answers := rapid.SampledFrom([]Answer{Serving, NoServer, Silent})
	rapid.Check(t, func(t *rapid.T) {
		judge := func(label string) (j *Judge, yielded, alone bool) {
			now := time.Unix(0, 0)
			j = &Judge{}
			for range rapid.IntRange(0, 20).Draw(t, label+" answers") {
				now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, label+" ms")) * time.Millisecond)
				j.Hear(now, answers.Draw(t, label+" answer"))
			}
			return j, rapid.Bool().Draw(t, label+" yielded"), rapid.Bool().Draw(t, label+" alone")
		}
		a, aYielded, aAlone := judge("a")
		b, bYielded, bAlone := judge("b")
		better := a.Value(aYielded, aAlone) > b.Value(bYielded, bAlone)
		switch byAnswer := order[a.Counts()] - order[b.Counts()]; {
		case byAnswer > 0 && !better, byAnswer < 0 && better:
			t.Fatalf("a is %s and %d, b is %s and %d", a.Counts(), a.Value(aYielded, aAlone), b.Counts(), b.Value(bYielded, bAlone))
		case byAnswer == 0 && a.Counts() != Silent && better != (!aYielded && bYielded || aYielded == bYielded && !aAlone && bAlone):
			t.Fatalf("a yielded %v and is %d, b yielded %v and is %d", aYielded, a.Value(aYielded, aAlone), bYielded, b.Value(bYielded, bAlone))
		}
	})
}
