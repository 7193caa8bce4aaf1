package cluster

import (
	"slices"
	"strings"
	"testing"
)

func TestAClusterIsNotConfiguredByTheCallersEnvironment(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "https://production:8501")
	t.Setenv("CONSUL_HTTP_TOKEN", "secret")
	t.Setenv("ZATOHA_LB_SLOTS", "1")
	t.Setenv("OTHER", "stays")
	c := &Cluster{Config: Config{ConsulAddr: "127.0.0.1:1", Environ: func(program string) []string { return []string{"ZATOHA_SERVER_TAGS=" + program} }}}
	env := c.env("server")
	var ours []string
	for _, variable := range env {
		if strings.HasPrefix(variable, "CONSUL_") || strings.HasPrefix(variable, "ZATOHA_") {
			ours = append(ours, variable)
		}
	}
	if want := []string{"CONSUL_HTTP_ADDR=127.0.0.1:1", "ZATOHA_SERVER_TAGS=server"}; !slices.Equal(ours, want) || !slices.Contains(env, "OTHER=stays") {
		t.Errorf("%q, want %q", ours, want)
	}
}
