package edit

import (
	"reflect"
	"strings"
	"testing"
)

func TestServers(t *testing.T) {
	section := Section{Header: "backend b", Lines: []Line{
		{Text: "balance roundrobin"},
		{Text: "server slot-001 127.0.0.1:17010 weight 1", Note: "zato-server-1"},
		{Text: "server slot-002 127.0.0.1:1 disabled"},
		{Text: "server slot-003 [2001:db8::7]:80 check inter 250ms weight 0 maxconn 50 disabled enabled"},
		{Text: "server slot-004 2001:db8::7:80 sni req.hdr(host) weight 256 check(5)"},
		{Text: `server "slot 005" node\ 5.example.com cookie disabled set-proxy-v2-tlv-fmt x`},
		{Text: "server slot-006 [::1] backup"},
		{Text: "server-template web 1-3 example.com:80"},
		{Text: "default-server weight 7"},
	}}
	want := []Server{
		{Name: "slot-001", Address: "127.0.0.1", Port: 17010, Weight: new(1), Note: "zato-server-1"},
		{Name: "slot-002", Address: "127.0.0.1", Port: 1, Disabled: true},
		{Name: "slot-003", Address: "2001:db8::7", Port: 80, Weight: new(0), MaxConn: 50},
		{Name: "slot-004", Address: "2001:db8::7", Port: 80, Weight: new(256)},
		{Name: "slot 005", Address: "node 5.example.com"},
		{Name: "slot-006", Address: "::1"},
	}
	if got, err := Servers(section); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\n%+v\nwant\n%+v", err, got, want)
	}
}

func TestServersErrors(t *testing.T) {
	tests := map[string]string{
		"server":                          "want a name and an address",
		"server a":                        "want a name and an address",
		"server a 127.0.0.1:":             `port "": want a number`,
		"server a 127.0.0.1:+1":           `port "+1": want a number`,
		"server a 127.0.0.1:65536":        `port "65536": want a number`,
		"server a 127.0.0.1:1 weight":     `weight "": want a number`,
		"server a 127.0.0.1:1 weight 257": `weight "257": want a number`,
		"server a 127.0.0.1:1 maxconn x":  `maxconn "x": want a number`,
	}
	for text, want := range tests {
		_, err := Servers(sectionOf("backend b", text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), `section "backend b": line "`+text) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestServersEnd goes over the option words that config-parser cannot take and would not come back from.
func TestServersEnd(t *testing.T) {
	for _, option := range []string{"check inter", "check(1)", "weight(1) 2", "set-proxy-v2-tlv-fmt", "set-proxy-v2-tlv-fmt(1 2", "maxqueue"} {
		got, err := Servers(sectionOf("backend b", "server a 127.0.0.1:1 disabled "+option))
		if err != nil || len(got) != 1 || !got[0].Disabled {
			t.Errorf("%s: got %+v, %v", option, got, err)
		}
	}
}
