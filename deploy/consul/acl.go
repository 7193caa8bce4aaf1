package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// policy is one of Consul's.
type policy struct {
	ID    string `json:",omitempty"`
	Name  string
	Rules string `json:",omitempty"`
}

// grant is a token as Consul knows it.
type grant struct {
	AccessorID, SecretID, Description string
	Policies                          []policy
	NodeIdentities                    []nodeIdentity

	// What else gives a token rights. None of ours has any of it.
	Roles             []json.RawMessage `json:",omitempty"`
	ServiceIdentities []json.RawMessage `json:",omitempty"`
	TemplatedPolicies []json.RawMessage `json:",omitempty"`
}

// allows says whether a token has the rights of the other, no fewer and no more. One of ours has one policy, or one node.
func (g grant) allows(wanted grant) bool {
	sameName := func(a, b policy) bool { return a.Name == b.Name }
	more := len(g.Roles) + len(g.ServiceIdentities) + len(g.TemplatedPolicies)
	return more == 0 && slices.EqualFunc(g.Policies, wanted.Policies, sameName) && slices.Equal(g.NodeIdentities, wanted.NodeIdentities)
}

// nodeIdentity stands for the rights of an agent of this name: to write its node, to read services.
type nodeIdentity struct{ NodeName, Datacenter string }

// apply makes the policies and tokens of a running datacenter what they should be.
func (s *setup) apply(ctx context.Context, kept *secrets, log zerolog.Logger) error {
	api, err := newAPI(s.ACL, filepath.Join(s.Dir, "ca.pem"), kept.Management.Secret)
	if err != nil {
		return err
	}
	if err := api.awaitACLs(ctx, s.Wait); err != nil {
		return err
	}
	for _, program := range programs {
		if err := s.applyProgram(ctx, api, program, kept.Programs[program], log); err != nil {
			return err
		}
	}
	for name, token := range kept.Agents {
		wanted := grant{
			AccessorID: token.Accessor, SecretID: token.Secret, Description: "zatoha: agent " + name,
			NodeIdentities: []nodeIdentity{{NodeName: name, Datacenter: s.Datacenter}},
		}
		if err := api.grant(ctx, wanted, log); err != nil {
			return err
		}
	}
	log.Info().Str("consul", s.ACL).Msg("all policies and tokens are there")
	return nil
}

// applyProgram sets a program's policy to what is shipped, for this cluster, and its token to that policy alone. The
// policy of a cluster that is not called main has the cluster's name in its own.
func (s *setup) applyProgram(ctx context.Context, api *api, program string, token token, log zerolog.Logger) error {
	rules, err := shipped.ReadFile(program + ".hcl")
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(rules), `"zato/main/`, `"zato/`+s.Cluster+`/`)
	name := "zatoha-" + program
	if s.Cluster != "main" {
		name += "-" + strings.ReplaceAll(s.Cluster, ".", "_")
	}
	if err := api.policy(ctx, policy{Name: name, Rules: text}, log); err != nil {
		return err
	}
	wanted := grant{
		AccessorID: token.Accessor, SecretID: token.Secret, Description: "zatoha: " + program, Policies: []policy{{Name: name}},
	}
	return api.grant(ctx, wanted, log)
}

// api is Consul's, as the management token sees it.
type api struct {
	url, token string
	client     http.Client
}

func newAPI(url, caFile, token string) (*api, error) {
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %w", caFile, errNoPEM)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	return &api{url: strings.TrimSuffix(url, "/"), token: token, client: http.Client{Timeout: 10 * time.Second, Transport: transport}}, nil
}

// answerError is an answer that is not 200.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return fmt.Sprintf("%d: %s", e.status, e.text) }

// call makes a call and reads the JSON answer unless it is nil.
func (a *api) call(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, a.url+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("X-Consul-Token", a.token)
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return &answerError{response.StatusCode, strings.TrimSpace(string(said))}
	case answer == nil:
		return nil
	}
	return json.Unmarshal(said, answer)
}

// pollInterval is how often a Consul that is not ready is asked again.
const pollInterval = 200 * time.Millisecond

// awaitACLs waits until the servers have a leader that knows the management token. Until it does, it knows no token.
func (a *api) awaitACLs(ctx context.Context, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := a.call(ctx, http.MethodGet, "acl/policies", nil, nil)
		if err == nil {
			return nil
		}
		if hopeless(err) || time.Now().After(deadline) {
			return fmt.Errorf("consul at %s: %w: %s", a.url, err, remedy(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// hopeless says whether waiting is of no use.
func hopeless(err error) bool {
	answer, answered := errors.AsType[*answerError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted || answered && strings.Contains(answer.text, "ACL support disabled")
}

func remedy(err error) string {
	answer, answered := errors.AsType[*answerError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case untrusted:
		return "its certificate is from another authority than ca.pem in --dir: give the folder that this datacenter was made from"
	case !answered:
		return "start Consul on the servers, with their consul.d, and name one of them"
	case strings.Contains(answer.text, "ACL support disabled"):
		return "start it with its consul.d, which enables ACLs"
	case strings.Contains(answer.text, "leader"):
		return "start Consul on more of the servers: it takes a quorum of them"
	case answer.status == http.StatusForbidden:
		return "it does not know the management token of secrets.json in --dir: give the folder that this datacenter was made from"
	}
	return "see the log of that server"
}

// policy makes or corrects a policy.
func (a *api) policy(ctx context.Context, wanted policy, log zerolog.Logger) error {
	var have policy
	err := a.call(ctx, http.MethodGet, "acl/policy/name/"+wanted.Name, nil, &have)
	answer, answered := errors.AsType[*answerError](err)
	switch {
	case answered && (answer.status == http.StatusNotFound || answer.status == http.StatusForbidden):
		err = a.call(ctx, http.MethodPut, "acl/policy", wanted, nil)
	case err == nil && have.Rules == wanted.Rules:
		return nil
	case err == nil:
		err = a.call(ctx, http.MethodPut, "acl/policy/"+have.ID, wanted, nil)
	}
	if err != nil {
		return fmt.Errorf("policy %s: %w", wanted.Name, err)
	}
	log.Info().Str("policy", wanted.Name).Msg("set")
	return nil
}

// grant makes or corrects a token.
func (a *api) grant(ctx context.Context, wanted grant, log zerolog.Logger) error {
	var have grant
	err := a.call(ctx, http.MethodGet, "acl/token/"+wanted.AccessorID, nil, &have)
	answer, answered := errors.AsType[*answerError](err)
	switch {
	case answered && (answer.status == http.StatusNotFound || answer.status == http.StatusForbidden):
		err = a.call(ctx, http.MethodPut, "acl/token", wanted, nil)
	case err == nil && have.allows(wanted):
		return nil
	case err == nil:
		err = a.call(ctx, http.MethodPut, "acl/token/"+wanted.AccessorID, wanted, nil)
	}
	if err != nil {
		return fmt.Errorf("token %q: %w", wanted.Description, err)
	}
	log.Info().Str("token", wanted.Description).Msg("set")
	return nil
}
