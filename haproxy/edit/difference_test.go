package edit

import (
	"fmt"
	"strings"
	"testing"
)

func TestWhatSomebodyMadeOfOurLinesIsSaid(t *testing.T) {
	before := `global # zatoha
    stats timeout 1m # zatoha

backend b from zatoha # zatoha
    timeout queue 5s # zatoha then 503
    timeout server 30s # zatoha
    balance roundrobin # zatoha
    server slot-001 127.0.0.1:17010 weight 1 # zatoha zato-server-1
    server slot-002 127.0.0.1:17011 weight 1 # zatoha zato-server-2
`
	for name, c := range map[string]struct {
		replace []string
		want    string
	}{
		"nothing":             {nil, ""},
		"something of theirs": {[]string{"backend b", "# mine\nbackend b", "    balance", "    retries 7\n    balance"}, ""},
		"a section moved":     {[]string{"global # zatoha\n    stats timeout 1m # zatoha\n", "", "zato-server-2\n", "zato-server-2\nglobal # zatoha\n    stats timeout 1m # zatoha\n"}, ""},
		"a line changed":      {[]string{"roundrobin", "leastconn"}, `backend b: "balance leastconn # zatoha" in place of "balance roundrobin # zatoha"`},
		"a time-out":          {[]string{"server 30s", "server 40s"}, `backend b: "timeout server 40s # zatoha" in place of "timeout server 30s # zatoha"`},
		"a note":              {[]string{"then 503", "then"}, `backend b: "timeout queue 5s # zatoha then" in place of "timeout queue 5s # zatoha then 503"`},
		"a line gone":         {[]string{"    balance roundrobin # zatoha\n", ""}, `backend b: "balance roundrobin # zatoha" is gone`},
		"a mark gone":         {[]string{"roundrobin # zatoha", "roundrobin"}, `backend b: "balance roundrobin # zatoha" is gone`},
		"a line twice":        {[]string{"    stats timeout 1m # zatoha\n", "    stats timeout 1m # zatoha\n    stats timeout 1m # zatoha\n"}, `global: "stats timeout 1m # zatoha" is new`},
		"a line new":          {[]string{"    balance", "    retries 7 # zatoha\n    balance"}, `backend b: "retries 7 # zatoha" is new`},
		"a header":            {[]string{"b from zatoha", "b from mine"}, `backend b: "backend b from mine # zatoha" in place of "backend b from zatoha # zatoha"`},
		"another order": {
			[]string{"queue 5s # zatoha then 503\n    timeout server 30s # zatoha", "server 30s # zatoha\n    timeout queue 5s # zatoha then 503"},
			"the lines stand in another order",
		},
		"a server and a section": {[]string{"global # zatoha\n    stats timeout 1m # zatoha\n", "", "17011", "9"}, `global: "global # zatoha" is gone; global: "stats timeout 1m # zatoha" is gone; backend b: "server slot-002 127.0.0.1:9 weight 1 # zatoha zato-server-2" in place of "server slot-002 127.0.0.1:17011 weight 1 # zatoha zato-server-2"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := Difference(sectionsOf(t, before), sectionsOf(t, strings.NewReplacer(c.replace...).Replace(before)))
			if got != c.want {
				t.Errorf("it says %s\nnot     %s", got, c.want)
			}
		})
	}
}

func TestHoweverMuchChangedLittleIsSaid(t *testing.T) {
	long := Section{Header: "global"}
	for i := range 1000 {
		long.Lines = append(long.Lines, Line{Text: fmt.Sprintf("setenv A%d \"%s\x1b\"", i, strings.Repeat("ä", 1000))})
	}
	said := Difference(nil, []Section{long})
	if len(said) > 2000 || !strings.HasSuffix(said, "; and 997 more") || strings.ContainsRune(said, 0x1b) {
		t.Errorf("%d bytes: %s", len(said), said)
	}
}

func sectionsOf(t *testing.T, text string) []Section {
	t.Helper()
	sections, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return sections
}
