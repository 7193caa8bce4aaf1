package consultest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
)

// root is the token that may do everything at an agent with ACLs.
const root = "6d1c4f2e-5a0b-4c7e-9a5d-0f3a0f5be0f1"

// StartWithACL starts an agent as [Start] does, which forbids everything that a token does not allow.
func StartWithACL(t testing.TB) *Agent {
	t.Helper()
	a := start(t, "-hcl=acl { enabled = true, default_policy = \"deny\", tokens { initial_management = \""+root+"\", agent = \""+root+"\" } }")
	a.awaitRoot()
	return a
}

// awaitRoot waits until the agent knows its first token, which it does some time after it has a leader.
func (a *Agent) awaitRoot() {
	a.t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	var last error
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); <-poll.C {
		if last = a.call(http.MethodGet, "/v1/acl/token/self", nil, nil); last == nil {
			return
		}
	}
	a.t.Fatalf("consultest: the agent's ACLs are not ready: %v", last)
}

// Root is the token that may do everything.
func (a *Agent) Root() string { return root }

// Rules reads a policy from a file.
func (a *Agent) Rules(path string) string {
	a.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

// Token makes a token that may do what the rules say, and nothing else.
func (a *Agent) Token(name, rules string) string {
	a.t.Helper()
	var policy struct{ ID string }
	name = fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	a.Call(http.MethodPut, "/v1/acl/policy", map[string]any{"Name": name, "Rules": rules}, &policy)
	var token struct{ SecretID string }
	a.Call(http.MethodPut, "/v1/acl/token", map[string]any{"Policies": []any{policy}}, &token)
	return token.SecretID
}

// DeleteToken deletes a token that Token has made.
func (a *Agent) DeleteToken(secret string) {
	a.t.Helper()
	var tokens []struct{ AccessorID, SecretID string }
	a.Call(http.MethodGet, "/v1/acl/tokens", nil, &tokens)
	for _, token := range tokens {
		if token.SecretID == secret {
			a.Call(http.MethodDelete, "/v1/acl/token/"+token.AccessorID, nil, nil)
			return
		}
	}
	a.t.Fatal("there is no such token to delete")
}

// Call makes a call to the agent by plain HTTP, with a body that may be nil, and reads the JSON answer unless it is nil.
// An answer that is not 200 ends the test.
func (a *Agent) Call(method, path string, body, answer any) {
	a.t.Helper()
	if err := a.call(method, path, body, answer); err != nil {
		a.t.Fatal(err)
	}
}

func (a *Agent) call(method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(method, "http://"+a.address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("X-Consul-Token", root)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %s", method, path, response.Status, said)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(said, answer); err != nil {
		return fmt.Errorf("%s %s: %s: %w", method, path, said, err)
	}
	return nil
}
