package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// A token is as it should be if it has its own rights, and no other kind of right beside them.
func TestATokenWithMoreOrLessThanItsRightsIsSeen(t *testing.T) {
	t.Parallel()
	program := grant{Policies: []policy{{Name: "zatoha-lb"}}}
	agent := grant{NodeIdentities: []nodeIdentity{{NodeName: "web-1", Datacenter: "dc1"}}}
	const lb, web = `"Policies":[{"ID":"1","Name":"zatoha-lb"}]`, `"NodeIdentities":[{"NodeName":"web-1","Datacenter":"dc1"}]`
	for _, test := range []struct {
		wanted grant
		text   string // as Consul tells it
		as     bool
	}{
		{program, lb, true},
		{program, lb + `,"Roles":[],"TemplatedPolicies":null`, true},
		{program, `"Policies":null`, false},
		{program, `"Policies":[{"ID":"2","Name":"zatoha-operator"}]`, false},
		{program, `"Policies":[{"ID":"1","Name":"zatoha-lb"},{"ID":"2","Name":"zatoha-operator"}]`, false},
		{program, lb + "," + web, false},
		{program, lb + `,"Roles":[{"ID":"3","Name":"wide"}]`, false},
		{program, lb + `,"ServiceIdentities":[{"ServiceName":"billing"}]`, false},
		{program, lb + `,"TemplatedPolicies":[{"TemplateName":"builtin/service","TemplateVariables":{"name":"billing"}}]`, false},
		{agent, web, true},
		{agent, web + "," + lb, false},
		{agent, `"NodeIdentities":[{"NodeName":"web-2","Datacenter":"dc1"}]`, false},
		{agent, web + `,"Roles":[{"ID":"3","Name":"wide"}]`, false},
	} {
		var have grant
		if err := json.Unmarshal([]byte("{"+test.text+"}"), &have); err != nil {
			t.Fatal(err)
		}
		if have.allows(test.wanted) != test.as {
			t.Errorf("%s is as it should be: %v, want %v", test.text, !test.as, test.as)
		}
	}
}

// widenedTokensAreNarrowed gives a token each kind of right beside its policy, which a run takes away.
func (s *secured) widenedTokensAreNarrowed(t *testing.T) {
	api, err := newAPI(s.setup.ACL, filepath.Join(s.setup.Dir, "ca.pem"), s.kept.Management.Secret)
	if err != nil {
		t.Fatal(err)
	}
	call := func(t *testing.T, method, path string, body, answer any) {
		t.Helper()
		err := api.call(t.Context(), method, path, body, answer)
		if said, answered := errors.AsType[*answerError](err); answered && strings.Contains(said.text, "unknown field") {
			t.Skip("this Consul knows no such right: ", said.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	type fields = map[string]any
	call(t, http.MethodPut, "acl/role", fields{"Name": "wide", "Policies": []policy{{Name: "zatoha-operator"}}}, nil)
	token := "acl/token/" + s.kept.Programs["lb"].Accessor
	for kind, more := range map[string]fields{
		"Roles":             {"Name": "wide"},
		"ServiceIdentities": {"ServiceName": "billing"},
		"NodeIdentities":    {"NodeName": "web-1", "Datacenter": "dc1"},
		"TemplatedPolicies": {"TemplateName": "builtin/service", "TemplateVariables": fields{"Name": "billing"}},
	} {
		t.Run(kind, func(t *testing.T) {
			own := []policy{{Name: "zatoha-lb"}}
			call(t, http.MethodPut, token, fields{"Policies": own, kind: []fields{more}}, nil)
			said, err := applied(t, s.setup, s.kept)
			if err != nil || strings.Count(said, `"message":"set"`) != 1 || !strings.Contains(said, `"token":"zatoha: lb"`) {
				t.Errorf("a run: %v, %s", err, said)
			}
			var have grant
			call(t, http.MethodGet, token, nil, &have)
			if !have.allows(grant{Policies: own}) {
				t.Errorf("after it, the token has %+v", have)
			}
		})
	}
}
