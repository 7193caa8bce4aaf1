package main

import (
	"net/http"
	"testing"
)

func TestATokenIsShownAsBearer(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer 0123456789abcdef": "0123456789abcdef", "bearer  0123456789abcdef ": "0123456789abcdef",
		"": "", "Bearer": "", "Bearer ": "", "0123456789abcdef": "", "Basic 0123456789abcdef": "",
	} {
		if got := bearer(&http.Request{Header: http.Header{"Authorization": {header}}}); string(got) != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func TestChildrenGetAReferenceToTheFileOfTheToken(t *testing.T) {
	for _, test := range []struct {
		settings  settings
		want, bad string
	}{
		{},
		{settings: settings{InvokeToken: "0123456789abcdef"}, want: "0123456789abcdef"},
		{settings: settings{InvokeToken: "0123456789${env:A}"}, bad: "--invoke-token: the token has ${ in it: make one by: openssl rand -hex 32"},
		{settings: settings{InvokeTokenFile: "/etc/zatoha/token"}, want: "${file:/etc/zatoha/token}"},
		{settings: settings{InvokeTokenFile: "/etc/a}b"}, bad: "--invoke-token-file: /etc/a}b has a } in its name: name another file, by its absolute path"},
	} {
		got, err := test.settings.reference()
		if got != test.want || test.bad == "" && err != nil || test.bad != "" && (err == nil || err.Error() != test.bad) {
			t.Errorf("%q, %v; want %q, %q", got, err, test.want, test.bad)
		}
	}
}
