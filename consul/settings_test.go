package consul_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
)

// file writes a file for a test.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestSettingsThatCannotBeUsedNameTheirFlag(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		settings consul.Settings
		want     string
	}{
		{consul.Settings{ConsulHTTPAddr: "ftp://a"}, `--consul-http-addr: consul address: "ftp://a" has the unknown scheme`},
		{consul.Settings{ConsulHTTPTokenFile: "/no/such"}, "--consul-http-token-file: open /no/such: no such file or directory: name a file"},
		{consul.Settings{ConsulHTTPTokenFile: file(t, "")}, "is empty: name a file"},
		{consul.Settings{ConsulHTTPTokenFile: file(t, "\n")}, "is empty: name a file"},
		{consul.Settings{ConsulHTTPTokenFile: file(t, "two words")}, ": there is something else in it than a token: name a file"},
		{consul.Settings{ConsulHTTPTokenFile: t.TempDir()}, "is no ordinary file: name a file"},
		{consul.Settings{ConsulCACert: "/no/such"}, "--consul-cacert: open /no/such"},
		{consul.Settings{ConsulCACert: file(t, "no certificate")}, "check the CONSUL_* environment variables"},
	} {
		if _, err := test.settings.Client(nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v; want %q", test.settings, err, test.want)
		}
	}
}

// What Consul refuses is told with what to do about it, and what it hides from a token is no empty answer.
func TestATokenThatLacksARightIsTold(t *testing.T) {
	t.Parallel()
	agent := consultest.StartWithACL(t)
	agent.Call("PUT", "/v1/agent/service/register", map[string]any{"Name": serviceName, "Port": 1}, nil)
	agent.Call("PUT", "/v1/kv/zato/main/channels/a", map[string]any{}, nil)

	with := func(token string) *consul.Client {
		settings := consul.Settings{ConsulHTTPAddr: agent.Address()}
		if token != "" {
			settings.ConsulHTTPTokenFile = file(t, token+"\n")
		}
		client, err := settings.Client(nil)
		must(t, err)
		return client
	}
	calls := map[string]func(*consul.Client) error{
		"read":        func(c *consul.Client) error { _, err := c.Get(t.Context(), "zato/main/a"); return err },
		"write":       func(c *consul.Client) error { return c.Put(t.Context(), "zato/main/a", nil) },
		"maintenance": func(c *consul.Client) error { return c.SetMaintenance(t.Context(), serviceName, true, "") },
		"watch": func(c *consul.Client) error {
			return first(t, func(ctx context.Context, end func(error)) {
				c.Watch(ctx, serviceName, func(o consul.Observation) { end(o.Err) })
			})
		},
		"tree": func(c *consul.Client) error {
			return first(t, func(ctx context.Context, end func(error)) {
				c.WatchTree(ctx, "zato/main/channels/", func(o consul.TreeObservation) { end(o.Err) })
			})
		},
	}
	for _, test := range []struct {
		name, token, remedy string
	}{
		{"none", "", "no token was given: give one that may do this, by CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE"},
		{"unknown", "0c7f1b52-0000-4000-8000-000000000000", "this Consul does not know the token"},
		{"weak", agent.Token("weak", `key "other" { policy = "read" }`), "give the token's policy this right"},
	} {
		client := with(test.token)
		for name, call := range calls {
			if test.token == "" && (name == "watch" || name == "tree") {
				continue // Consul does not tell whoever has no token that it hides something; registering fails aloud
			}
			if err := call(client); err == nil || !strings.Contains(err.Error(), test.remedy) {
				t.Errorf("%s by token %s: %v; want %q", name, test.name, err, test.remedy)
			}
		}
	}
	root := with(agent.Root())
	for name, call := range calls {
		if err := call(root); err != nil {
			t.Errorf("%s by the token that may: %v", name, err)
		}
	}
}

// An operator exchanges a token: the new one is in the file, and the old one is deleted, while the program runs.
func TestATokenThatIsExchangedCountsWithoutARestart(t *testing.T) {
	t.Parallel()
	agent := consultest.StartWithACL(t)
	rules := `key_prefix "zato/" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`
	old, next := agent.Token("old", rules), agent.Token("next", rules)
	path := file(t, old+"\n")
	told := make(chan error, 100)
	client, err := consul.Settings{ConsulHTTPAddr: agent.Address(), ConsulHTTPTokenFile: path}.Client(func(err error) { told <- err })
	must(t, err)
	put := func() error { return client.Put(t.Context(), "zato/main/a", nil) }
	must(t, put())
	seen := make(chan consul.Observation, 100)
	goroutine(t, func(ctx context.Context) {
		client.Watch(ctx, serviceName, func(o consul.Observation) { seen <- o })
	})
	await(t, "no instance", seen, instances())

	// tells asks Consul until the file's news is told.
	tells := func(want string) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for {
			must(t, put())
			select {
			case err := <-told:
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("told %v, want %q", err, want)
				}
				return
			case <-time.After(50 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("not told in %v: %q", patience, want)
			}
		}
	}
	must(t, os.Remove(path))
	tells("open " + path + ": no such file or directory; the last one stays in use")
	must(t, os.WriteFile(path, nil, 0o600))
	tells("is empty")
	must(t, os.WriteFile(path, []byte(next), 0o600))
	tells("")
	agent.DeleteToken(old)
	for range 25 { // longer than a look at the file takes to come again
		must(t, put())
		<-time.After(50 * time.Millisecond)
	}
	if len(told) != 0 {
		t.Errorf("told again: %v", <-told)
	}
	agent.Call("PUT", "/v1/agent/service/register", map[string]any{"Name": serviceName, "Port": 1}, nil)
	await(t, "an instance", seen, instances(consul.Passing))
}

// The agent tells Consul how an instance's checks do by the token that it was registered with.
func TestChecksAreToldByAnExchangedToken(t *testing.T) {
	t.Parallel()
	agent := consultest.StartWithACL(t)
	const rules = `service_prefix "zato-" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }`
	old, next := agent.Token("old", rules), agent.Token("next", rules)
	path := file(t, old)
	told := make(chan error, 100)
	client, err := consul.Settings{ConsulHTTPAddr: agent.Address(), ConsulHTTPTokenFile: path}.Client(func(err error) { told <- err })
	must(t, err)
	observer, err := consul.Settings{ConsulHTTPAddr: agent.Address(), ConsulHTTPTokenFile: file(t, agent.Root())}.Client(nil)
	must(t, err)
	const check = "alive"
	reports, _ := keepRegistered(t, client, consul.Registration{ID: instanceID, Name: serviceName, Port: 1, TTLs: []consul.TTLCheck{
		{ID: check, Name: "alive", TTL: time.Hour},
	}})
	await(t, "registration", reports, isNil)
	must(t, client.SetCheck(t.Context(), check, consul.Passing, "well"))
	seen := watchService(t, observer)
	await(t, "a passing instance", seen, instances(consul.Passing))

	must(t, os.WriteFile(path, []byte(next), 0o600))
	await(t, "word of the other token", told, isNil)
	agent.DeleteToken(old)
	if len(seen)+len(reports) != 0 {
		t.Errorf("the exchange was seen: %d changes, %d reports", len(seen), len(reports))
	}
	must(t, client.SetCheck(t.Context(), check, consul.Critical, "ill"))
	await(t, "a critical instance", seen, instances(consul.Critical))
}

// A policy loses a right while a watch runs: its instances are not gone.
func TestARightThatIsTakenAwayRemovesNobody(t *testing.T) {
	t.Parallel()
	agent := consultest.StartWithACL(t)
	token := agent.Token("watcher", `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`)
	agent.Call("PUT", "/v1/agent/service/register", map[string]any{"Name": serviceName, "Port": 1}, nil)
	client, err := consul.Settings{ConsulHTTPAddr: agent.Address(), ConsulHTTPTokenFile: file(t, token)}.Client(nil)
	must(t, err)
	client.SetWait(2 * time.Second) // until when the agent answers nothing, as the state has no higher index
	seen := watchService(t, client)
	await(t, "an instance", seen, instances(consul.Passing))

	var policies []struct{ ID, Name string }
	agent.Call("GET", "/v1/acl/policies", nil, &policies)
	for _, policy := range policies {
		if strings.HasPrefix(policy.Name, "watcher-") {
			agent.Call("PUT", "/v1/acl/policy/"+policy.ID, map[string]any{"Name": policy.Name, "Rules": `key "a" { policy = "read" }`}, nil)
		}
	}
	last := 1
	o := await(t, "what is lacking", seen, func(o consul.Observation) bool {
		if o.Err == nil {
			last = len(o.Snapshot.Instances)
		}
		return o.Err != nil
	})
	if last != 1 || !strings.Contains(o.Err.Error(), "give the token's policy this right") {
		t.Errorf("%v, with %d instances left", o.Err, last)
	}
}

// first is the error of the first thing that is observed.
func first(t *testing.T, follow func(ctx context.Context, end func(error))) (err error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	follow(ctx, func(observed error) { err = observed; cancel() })
	return err
}
