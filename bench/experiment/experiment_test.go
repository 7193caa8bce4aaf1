package experiment

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestScenariosAreChosenByTheirNames(t *testing.T) {
	all := []Scenario[string, *prop]{playing("pause", "small", 2), playing("consul-pause", "small", 2), playing("kill", "small", 2)}
	for only, want := range map[string][]string{"": {"pause", "consul-pause", "kill"}, "pause": {"pause"}, "kill,pause,kill": {"pause", "kill"}} {
		p := newProps(t, Options{Trials: 5})
		if only != "" {
			p.Only = strings.Split(only, ",")
		}
		outcome, err := p.Run(t.Context(), all)
		var got []string
		for _, result := range outcome.Results {
			got = append(got, result.Name)
			if len(result.Trials) != 5 || result.PassLine != "0 errors" {
				t.Errorf("%+v", result)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", only, got, err)
		}
	}
	for _, only := range []Only{{"paus"}, {"kill", "paus"}, {"paus", "", "kill"}} {
		p := newProps(t, Options{Only: only})
		outcome, err := p.Run(t.Context(), all)
		if err == nil || err.Error() != `no scenario is called "paus"; there are pause, consul-pause, kill` || len(outcome.Results) > 0 || p.built != nil {
			t.Errorf("%q: %v, %+v", only, err, outcome)
		}
	}
}

func TestNamesArePartedByWhoseTheyAre(t *testing.T) {
	for _, c := range []struct {
		only, names, want string
		wanted            bool
	}{
		{"", "a b", "", true}, {"a", "a b", "a", true}, {"c b d", "a b", "b", true}, {"c", "a b", "", false},
	} {
		got, wanted := Only(strings.Fields(c.only)).Among(strings.Fields(c.names))
		if strings.Join(got, " ") != c.want || wanted != c.wanted {
			t.Errorf("%+v: %q, %v", c, got, wanted)
		}
	}
}

func TestARunSaysWhatComesAndWhatCame(t *testing.T) {
	var said strings.Builder
	p := newProps(t, Options{Progress: &said, Slack: 3})
	kill := playing("kill", "small", 2, well, short)
	kill.Peers = []PeerTurn[*prop]{
		{"a rival", Turn[*prop]{Trials: 1, Takes: 10 * time.Second, Does: "break it twice", Play: kill.Play}},
		{"another", Turn[*prop]{Trials: 3, Takes: 10 * time.Second, Play: playing("kill", "small", 3).Play}},
	}
	nobodyKnows := playing("in-no-time", "small", 1, func(t *Trial) error { t.Note("the address stayed"); return nil })
	nobodyKnows.Takes = 0
	outcome, err := p.Run(t.Context(), []Scenario[string, *prop]{kill, nobodyKnows})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 scenarios, 7 trials, about 1m40s in all:\n  kill       2 trials and 1 on a rival and 3 on another, about 1m40s: break it\n  in-no-time 1 trials: break it\n",
		"\n[1/7 0s] kill 1/2    ok\n[2/7 0s] kill 1/1 on a rival    ok\n[3/7 0s] kill 1/3 on another    ok\n[4/7 0s] kill 2/2    FELL SHORT: 3 errors\nkill 2/2  the logs are kept in " + p.built[0].dir + "\n",
		"\n[5/7 0s] kill 2/3 on another    ok\n[6/7 0s] kill 3/3 on another    ok\n",
		"\n[7/7 0s] in-no-time 1/1  the address stayed  ok\n",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it did not say %q:\n%s", want, said.String())
		}
	}
	r := outcome.Results[0]
	if len(r.Trials) != 2 || len(r.Peers) != 2 || len(r.Peers[0].Trials) != 1 || len(r.Peers[1].Trials) != 3 ||
		r.Peers[0].On != "a rival" || r.Peers[0].Does != "break it twice" || r.PassLine != "0 errors, times up to 3-fold" {
		t.Errorf("%+v", r)
	}
}

func TestTrialsAreHeldAgainstThePassLineTogether(t *testing.T) {
	p := newProps(t, Options{})
	s := playing("a", "small", 2)
	s.Together = func(trials []Trial) []string {
		if len(trials) == 2 {
			return []string{"both are slow"}
		}
		return nil
	}
	outcome, err := p.Run(t.Context(), []Scenario[string, *prop]{s})
	if passed, _ := outcome.Summary(); err != nil || passed || !slices.Equal(outcome.Shortfalls(), []string{"a: both are slow"}) {
		t.Errorf("%+v, %v", outcome, err)
	}
}
