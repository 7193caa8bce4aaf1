package faults

import (
	"slices"
	"testing"

	"zatoha/deploy/cluster"
)

func TestHAProxyIsComparedWithTheCatalog(t *testing.T) {
	a, b := cluster.Registration{ID: "a", Address: "127.0.0.1:1", Weight: 1}, cluster.Registration{ID: "b", Address: "127.0.0.1:2", Weight: 3}
	s1, s2 := cluster.ServerState{Name: "s1", Address: "127.0.0.1:1", Weight: 1, Up: true}, cluster.ServerState{Name: "s2", Address: "127.0.0.1:2", Weight: 3}
	free := cluster.ServerState{Name: "s3", Address: "127.0.0.1:9", Weight: 1, Away: true}
	changed := func(change func(*cluster.ServerState)) []cluster.ServerState {
		other := s2
		change(&other)
		return []cluster.ServerState{s1, other, free}
	}
	for name, test := range map[string]struct {
		catalog []cluster.Registration
		running []cluster.ServerState
		want    []string
	}{
		"equal":          {[]cluster.Registration{b, a}, []cluster.ServerState{s1, s2, free}, nil},
		"another port":   {[]cluster.Registration{a, b}, changed(func(s *cluster.ServerState) { s.Address = "127.0.0.1:3" }), []string{"consul has 127.0.0.1:2 weight 3", "haproxy has 127.0.0.1:3 weight 3"}},
		"another weight": {[]cluster.Registration{a, b}, changed(func(s *cluster.ServerState) { s.Weight = 1 }), []string{"consul has 127.0.0.1:2 weight 3", "haproxy has 127.0.0.1:2 weight 1"}},
		"drained":        {[]cluster.Registration{a, b}, changed(func(s *cluster.ServerState) { s.Away = true }), []string{"consul has 127.0.0.1:2 weight 3"}},
		"left":           {[]cluster.Registration{a}, []cluster.ServerState{s1, s2, free}, []string{"haproxy has 127.0.0.1:2 weight 3"}},
		"twice":          {[]cluster.Registration{a}, []cluster.ServerState{s1, s1}, []string{"haproxy has 127.0.0.1:1 weight 1"}},
	} {
		if got := differences(test.catalog, test.running); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
