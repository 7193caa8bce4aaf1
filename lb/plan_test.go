package main

import (
	"strings"
	"testing"

	"zatoha/haproxy"
)

func TestAPlanSaysWhatAReloadCloses(t *testing.T) {
	changed := haproxy.Edit{Structural: true}
	for says, f := range map[string]forecast{
		"no reload; ": {running: true},
		"a reload, which closes no connection but those that are still open after --hard-stop-after": {edit: changed, running: true},
		"no reload, for HAProxy is not running":                                                      {edit: changed},
	} {
		if got := f.radius(); !strings.Contains(got, says) {
			t.Errorf("%q does not say %q", got, says)
		}
	}
}
