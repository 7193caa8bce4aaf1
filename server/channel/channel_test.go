package channel

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func known(service string) bool { return strings.HasPrefix(service, "demo.") || service == "zato.ping" }

func valid(d Definition) Faults { return d.Validate(known) }

func TestEveryFaultIsNamedByItsField(t *testing.T) {
	const good = `"method": "GET", "path": "/a", "service": "demo.echo"`
	for _, c := range []struct{ text, want string }{
		{`{` + good + `}`, ""},
		{`{"name": "c", ` + good + `, "data_format": "raw", "security": "none", "timeout_ms": 1000, "is_active": false}`, ""},
		{`{"method": "GET, POST", "path": "/a/{id}/{rest...}", "service": "demo.echo", "timeout_ms": 2e3}`, ""},
		{`{` + good + `, "security": "basic_auth", "username": "u", "password": "${env:P}"}`, ""},
		{`{` + good + `, "security": "api_key", "api_key": "${file:/run/key}"}`, ""},

		{`{}`, "method: is missing; path: is missing; service: is missing"},
		{`{"methd": 1, "timeoutMs": 1, ` + good + `}`, "methd: there is no such field; timeoutMs: there is no such field, did you mean timeout_ms?"},
		{`{"path": "/b", ` + good + `}`, "path: is there twice"},
		{`{"name": "d", ` + good + `}`, `name: "d": must be "c", after which the definition is kept`},
		{`{"name": 1, ` + good + `}`, "name: must be a string, not a number"},
		{`{"method": ["GET"], "path": null, "service": {}, "timeout_ms": "1", "is_active": 1, "security": true}`, "method: must be a string, not a list; path: must be a string, not null; service: must be a string, not an object; timeout_ms: must be a whole number, not a string; is_active: must be true or false, not a number; security: must be a string, not true"},
		{`{"timeout_ms": 1.5, ` + good + `}`, "timeout_ms: must be a whole number, not 1.5"},
		{`{"timeout_ms": -1, "data_format": "xml", "security": "oauth", ` + good + `}`, `data_format: "xml": must be json or raw; timeout_ms: -1: must be from 0 to 86400000; security: "oauth": must be none, basic_auth or api_key`},
		{`{"timeout_ms": 86400001, ` + good + `}`, "timeout_ms: 86400001: must be from 0 to 86400000"},
		{`{"method": "GET,FETCH", "path": "a", "service": "none"}`, `method: "FETCH": must be of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT; path: "a": must begin with /; service: "none": this server has no such service`},
		{`{"method": "", "path": "/a", "service": ""}`, `method: "": must be of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT; service: is empty, name the service that is to be called`},
		{`{"method": "GET\n", "path": "/a", "service": "demo.echo"}`, "method: must not have control characters"},

		{`{` + good + `, "security": "basic_auth"}`, "username: is missing, basic_auth needs one; password: is missing, basic_auth needs one"},
		{`{` + good + `, "security": "basic_auth", "username": "a:b", "password": "${vault:x}"}`, "username: must not have a colon; password: a reference must be ${env:NAME} or ${file:/path}"},
		{`{` + good + `, "security": "api_key"}`, "api_key: is missing, the security api_key needs one"},
		{`{` + good + `, "security": "api_key", "api_key": "${file:key}"}`, "api_key: the file of a reference must have an absolute path"},
		{`{` + good + `, "security": "api_key", "api_key": "${env:}"}`, "api_key: the reference names nothing"},
		{`{` + good + `, "security": "api_key", "api_key": "${env:X"}`, "api_key: a reference must be ${env:NAME} or ${file:/path}"},
		{`{` + good + `, "username": "u", "password": "p", "api_key": "k"}`, "username: only the security basic_auth has one; password: only the security basic_auth has one; api_key: only the security api_key has one"},

		{`[]`, "must be a JSON object, one for each channel"},
		{`null`, "must be a JSON object, one for each channel"},
		{``, "is not valid JSON: unexpected EOF"},
		{`{"method"`, "is not valid JSON: unexpected EOF"},
		{`{"method": "GET"`, "is not valid JSON: unexpected EOF"},
		{`{` + good + `} {}`, "has something behind the JSON object, remove it"},
		{`{"x": "` + strings.Repeat("x", 70000) + `"}`, "the definition has 70009 bytes, at most 65536 are allowed"},
		{`{"service": "demo.` + strings.Repeat("x", 300) + `", "method": "GET", "path": "/a"}`, "service: has 305 bytes, at most 256 are allowed"},
	} {
		d, faults := Decode("c", []byte(c.text))
		if faults == nil {
			faults = d.Validate(known)
		}
		got := ""
		if faults != nil {
			got = faults.Error()
		}
		if got != c.want {
			t.Errorf("%.200s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
	if _, faults := Decode("", []byte("{"+good+"}")); faults.Error() != "name: is missing" {
		t.Errorf("%v", faults)
	}
	for _, name := range []string{"", "-a", "a b", "a/b", strings.Repeat("a", 257)} {
		if faults := (Definition{Name: name, Method: "GET", Path: "/a", Service: "demo.echo", DataFormat: JSON, Security: None}).Validate(known); len(faults) != 1 || faults[0].Field != "name" {
			t.Errorf("name %.20q: %v", name, faults)
		}
	}
}

func TestPatternsThatNoRequestCanHaveAreRefused(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"", "must begin with /"},
		{"/a//b", "empty segment"},
		{"/a/./b", ". or .."},
		{"/a/..", ". or .."},
		{"/a b", "must not have"},
		{"/a%20b", "must not have"},
		{"/a?b", "must not have"},
		{`/a\b`, "must not have"},
		{"/a{b}", "a whole segment"},
		{"/{a}b", "a whole segment"},
		{"/{a", "a whole segment"},
		{"/{{a}}", "a whole segment"},
		{"/{}", "the name of a parameter"},
		{"/{...}", "the name of a parameter"},
		{"/{7}", "the name of a parameter"},
		{"/{a-b}", "the name of a parameter"},
		{"/{a...}/b", "must be the last"},
		{"/{a}/{a}", "the parameter a twice"},
		{"/zato/ping", "is the server's own"},
		{"/zato", "is the server's own"},
		{"/metrics", "is the server's own"},
		{"/zato-lb-alive", "is the server's own"},
		{strings.Repeat("/a", 65), "more than 64 segments"},
		{"/" + strings.Repeat("a", 256), "more than 256 bytes"},
	} {
		if _, err := ParsePattern(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %q", c.path, err, c.want)
		}
	}
	for _, path := range []string{"/", "/a", "/a/", "/zato-2/{x}", "/ä/{x_1}", "/{x...}"} {
		if _, err := ParsePattern(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	d := Definition{Name: "c", Username: "u", Password: "swordfish", APIKey: "swordfish"}
	shown, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(shown), fmt.Sprintf("%v %+v %#v", d, d, d), fmt.Sprintf("%v %s %q %x", d.Password, d.Password, d.Password, d.Password)} {
		if strings.Contains(text, "swordfish") || strings.Contains(text, "73776f7264") {
			t.Errorf("shown: %s", text)
		}
	}
	if d.Password.Text() != "swordfish" {
		t.Error("not to be had at all")
	}
}

func definition(name, method, path string) Written {
	return Written{name, fmt.Appendf(nil, `{"method": %q, "path": %q, "service": "demo.echo"}`, method, path)}
}

func TestTheLastGoodDefinitionStays(t *testing.T) {
	var set Set
	step := func(want string, written ...Written) {
		t.Helper()
		hold, refused := set.Update(written, valid)
		var got []string
		for _, d := range hold {
			got = append(got, d.Name+" "+d.Method+" "+d.Path)
		}
		for _, r := range refused {
			got = append(got, r.Error())
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("got\n%s\nwant\n%s", text, want)
		}
	}
	bad := Written{"a", []byte(`{"method": "GET", "path": "x", "service": "demo.echo"}`)}
	step("")
	step(`channel "a": path: "x": must begin with /: there is no channel of this name`, bad)
	step("a GET /a", definition("a", "GET", "/a"))
	step("a GET /a\n"+`channel "a": path: "x": must begin with /: the last good definition goes on`, bad)
	step("a GET /a\nb GET /b", definition("b", "GET", "/b"), definition("a", "GET", "/a"))
	step("a GET /b\nb GET /a", definition("b", "GET", "/a"), definition("a", "GET", "/b")) // they swap
	step("a GET /b\nb GET /a\n"+`channel "b": GET /b: channel "a" has it already, and "b" cannot have it too: the last good definition goes on`,
		definition("a", "GET", "/b"), definition("b", "GET", "/b"))
	step("b GET /b", definition("b", "GET", "/b")) // now it can
	step("a GET /c\nb GET /b\n"+`channel "c": GET /c: channel "a" has it already, and "c" cannot have it too: there is no channel of this name`,
		definition("c", "GET", "/c"), definition("b", "GET", "/b"), definition("a", "GET", "/c"))
	step("")
}

// Whatever is written: what held and is still wanted, in whatever state, still has a channel; what holds never conflicts;
// and the same once more changes nothing.
func TestSetKeepsItsPromises(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	paths := rapid.SampledFrom([]string{"/1", "/2", "/3", "/{x}", "/{y}", "bad"})
	rapid.Check(t, func(t *rapid.T) {
		var set Set
		held := map[string]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "updates") {
			var written []Written
			still := map[string]bool{}
			for _, name := range rapid.SliceOfDistinct(names, rapid.ID).Draw(t, "names") {
				written = append(written, definition(name, "GET", paths.Draw(t, "path")))
				still[name] = true
			}
			hold, refused := set.Update(written, valid)
			var table Table[int]
			now := map[string]bool{}
			for _, d := range hold {
				now[d.Name] = true
				if err := Claim(&table, d, 0); err != nil {
					t.Fatalf("what holds conflicts: %v", err)
				}
				if !still[d.Name] {
					t.Fatalf("%s is gone and holds", d.Name)
				}
			}
			for name := range held {
				if still[name] && !now[name] {
					t.Fatalf("%s held, is still there, and holds no more", name)
				}
			}
			for _, r := range refused {
				if r.Kept != now[r.Name] {
					t.Fatalf("%v", r)
				}
			}
			again, _ := set.Update(written, valid)
			if fmt.Sprint(again) != fmt.Sprint(hold) {
				t.Fatalf("once more: %v, before %v", again, hold)
			}
			held = now
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("c", []byte(`{"name": "c", "method": "GET, POST", "path": "/a/{id}", "service": "demo.echo", "data_format": "raw", "timeout_ms": 10, "is_active": true, "security": "api_key", "api_key": "${env:X}"}`))
	f.Add("", []byte(`{"timeout_ms": 1e400, "timeout_ms": -0, "is_active": null}`))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		d, faults := Decode(name, text)
		if faults == nil {
			faults = d.Validate(known)
		}
		if len(faults.Error()) > 100*len(text)+1000 {
			t.Fatalf("%d bytes have faults of %d bytes", len(text), len(faults.Error()))
		}
		if faults != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatal("taken, and no JSON")
		}
		// What is good survives being written and read again.
		d.Password, d.APIKey = "", ""
		d.Security, d.Username = None, ""
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, faults := Decode(name, written)
		if faults != nil || again != d {
			t.Fatalf("%s: %v, %+v, want %+v", written, faults, again, d)
		}
		var table Table[int]
		if err := Claim(&table, d, 1); err != nil {
			t.Fatal(err)
		}
	})
}
