package cluster

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestWhoIsHealthyByConsulsWord(t *testing.T) {
	var entries []healthEntry
	if err := json.Unmarshal([]byte(`[
		{"Node": {"Address": "10.0.0.1"}, "Service": {"ID": "a", "Address": "", "Port": 1, "Weights": {"Passing": 5, "Warning": 2}}, "Checks": [{"Status": "passing"}]},
		{"Node": {"Address": "10.0.0.1"}, "Service": {"ID": "b", "Address": "10.0.0.2", "Port": 2, "Weights": {"Passing": 5, "Warning": 2}}, "Checks": [{"Status": "passing"}, {"Status": "warning"}]},
		{"Node": {"Address": "10.0.0.1"}, "Service": {"ID": "c", "Address": "10.0.0.3", "Port": 3}, "Checks": [{"Status": "critical"}, {"Status": "passing"}]}
	]`), &entries); err != nil {
		t.Fatal(err)
	}
	want := []Registration{{ID: "a", Service: "s", Address: "10.0.0.1:1", Weight: 5}, {ID: "b", Service: "s", Address: "10.0.0.2:2", Weight: 2}}
	if got := healthy("s", entries); !slices.EqualFunc(got, want, func(a, b Registration) bool {
		return a.ID == b.ID && a.Service == b.Service && a.Address == b.Address && a.Weight == b.Weight
	}) {
		t.Errorf("%+v", got)
	}
}

func TestServersAreReadFromHAProxysState(t *testing.T) {
	const state = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord
4 bck 1 s1 10.0.0.1 2 4 7 1 8 15 3 4 6 0 0 0 - 17010 - 0 0 - - 0
4 bck 2 s2 127.0.0.1 0 5 1 1 8 1 0 0 14 0 0 0 - 9 - 0 0 - - 0
4 bck 3 s3 10.0.0.3 2 8 1 1 8 15 3 4 6 0 0 0 - 17012 - 0 0 - - 0
`
	want := []ServerState{
		{Name: "s1", Address: "10.0.0.1:17010", Weight: 7, Up: true},
		{Name: "s2", Address: "127.0.0.1:9", Weight: 1, Away: true},
		{Name: "s3", Address: "10.0.0.3:17012", Weight: 1, Up: true, Away: true},
	}
	if got := ReadServers(state); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestConsulIsToldOfAnInstance(t *testing.T) {
	for _, test := range []struct {
		given Registration
		want  string
	}{
		{Registration{ID: "a", Service: "s", Address: "127.0.0.1:80"}, `{"Address":"127.0.0.1","ID":"a","Name":"s","Port":80}`},
		{
			Registration{ID: "a", Service: "s", Address: "[::1]:80", Weight: 3, Tags: []string{"t"}, Meta: map[string]string{"k": "v"}, Passing: true},
			`{"Address":"::1","Check":{"Status":"passing","TTL":"24h"},"ID":"a","Meta":{"k":"v"},"Name":"s","Port":80,"Tags":["t"],"Weights":{"Passing":3,"Warning":1}}`,
		},
	} {
		definition, err := test.given.definition()
		if err != nil {
			t.Fatal(err)
		}
		if text, err := json.Marshal(definition); err != nil || string(text) != test.want {
			t.Errorf("%s, %v, want %s", text, err, test.want)
		}
	}
	if _, err := (Registration{ID: "a", Address: "nowhere"}).definition(); err == nil {
		t.Error("an address without a port is no error")
	}
}
