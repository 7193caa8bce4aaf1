package main

import (
	"strings"
	"testing"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
)

func TestDefinitionsThatAreRefusedSayWhy(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{``, "is not a JSON object"},
		{`[]`, "is not a JSON object"},
		{`{`, "is not a JSON object"},
		{`{"name": 5}`, "name: is a number, want a string"},
		{`{"name": "a", "kind": "test", "is_active": "yes"}`, "is_active: is a string, want a bool"},
		{`{}`, "name: \"\": must be of letters"},
		{`{"name": "b", "kind": "test", "log": "x"}`, `name: "b": the key says "a"`},
		{`{"name": "a", "kind": "smtp"}`, `kind: "smtp": must be one of those that this program was built with: amqp, file, ibmmq, test, zmq`},
		{`{"name": "a", "kind": "test"}`, "log: is empty"},
		{strings.Repeat(" ", maxDefinition) + `{}`, "more than"},
	} {
		if _, err := parse([]byte(test.text), "a"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.100s: error %v, want %q", test.text, err, test.want)
		}
	}
}

func TestADefinitionIsTheSameHoweverItIsIndented(t *testing.T) {
	one, err := parse([]byte(`{"name":"a","kind":"test","log":"x"}`), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := parse([]byte("{\n  \"name\": \"a\", \"kind\": \"test\",\n  \"log\": \"x\"\n}\n"), "")
	if err != nil || one.Hash != other.Hash || !other.active || !other.Beside || other.Kind != "test" {
		t.Errorf("%+v and %+v, %v", one, other, err)
	}
	changed, err := parse([]byte(`{"name":"a","kind":"test","log":"y"}`), "a")
	if err != nil || changed.Hash == one.Hash {
		t.Errorf("%+v, %v", changed, err)
	}
}

func TestARefusedDefinitionLeavesTheLastGoodOneInForce(t *testing.T) {
	const prefix = "zato/main/connectors/"
	pair := func(name, text string) consul.Pair {
		return consul.Pair{Key: prefix + name, Found: true, Value: []byte(text)}
	}
	names := func(all []supervise.Definition) string {
		var text []string
		for _, d := range all {
			text = append(text, d.Name+" "+string(d.JSON))
		}
		return strings.Join(text, ", ")
	}
	const a, b = `{"name":"a","kind":"test","log":"x"}`, `{"name":"b","kind":"test","log":"x","is_active":false}`
	c := catalog{}.reread(prefix, []consul.Pair{pair("", ""), pair("b", b), pair("a", a), pair("bad", "{")})
	if got := names(c.active()); got != "a "+a || len(c.good) != 2 || len(c.refused) != 1 || c.refused[0].Name != "bad" || c.refused[0].Kept {
		t.Errorf("%q, refused %+v", got, c.refused)
	}
	c = c.reread(prefix, []consul.Pair{pair("a", `{"name":"a"}`), pair("b", strings.Replace(b, "false", "true", 1))})
	if got := names(c.active()); !strings.HasPrefix(got, "a "+a+", b ") || len(c.refused) != 1 || !c.refused[0].Kept || strings.Contains(c.refused[0].Reason, "\n") {
		t.Errorf("%q, refused %+v", got, c.refused)
	}
	if c = c.reread(prefix, nil); len(c.active())+len(c.good)+len(c.refused) != 0 {
		t.Errorf("%+v", c)
	}
}
