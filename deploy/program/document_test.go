package program

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestDocument(t *testing.T) {
	file := yamlFile(t, "# channels\n- name: a\n  n: 7\n- {name: b}\n")
	scalar := yamlFile(t, "7\n")
	broken := yamlFile(t, "- a: [\n")
	for _, c := range []struct{ text, want, fault string }{
		{"", "", ""},
		{` [{"name": "a"}] `, `[{"name": "a"}]`, ""},
		{file, `[{"n":7,"name":"a"},{"name":"b"}]`, ""},
		{"[1", "", "is not valid JSON"},
		{"/nowhere", "", "no such file"},
		{scalar, "", "must be a list or a table"},
		{broken, "", "not valid YAML"},
	} {
		var d Document
		err := d.UnmarshalText([]byte(c.text))
		if (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) || err == nil && string(d) != c.want {
			t.Errorf("%q: %q, %v; want %q, %q", c.text, d, err, c.want, c.fault)
		}
	}
}

type documented struct {
	Things Document
	Common
}

func (*documented) Run(context.Context, zerolog.Logger) error { return nil }

func TestDocumentInTheConfigurationFile(t *testing.T) {
	for _, c := range []struct{ text, want, fault string }{
		{"things:\n  - name: a\n    deep: [1, {x: true}]\n", `[{"deep":[1,{"x":true}],"name":"a"}]`, ""},
		{"things: {a: 1}\n", `{"a":1}`, ""},
		{"things: '[1]'\n", `[1]`, ""},
		{"things: 7\n", "", "lb.yaml:1: things: must be a list or a table"},
		{"things:\n", "", "lb.yaml:1: things: must be a list or a table"},
	} {
		g := &documented{}
		var stderr bytes.Buffer
		status := surroundings{
			args: []string{"--config", yamlFile(t, c.text)}, stdout: io.Discard, stderr: &stderr, signals: make(chan os.Signal),
		}.main("lb", "Has things.", g)
		if (status == exitBadConfig) != (c.fault != "") || !strings.Contains(stderr.String(), c.fault) || c.fault == "" && string(g.Things) != c.want {
			t.Errorf("%q: status %d, %q, %s; want %q %q", c.text, status, g.Things, stderr.String(), c.want, c.fault)
		}
	}
}
