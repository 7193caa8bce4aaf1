package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
	"zatoha/deploy/tools/find"
)

const bound = 40 * time.Second

// secured are three servers and an agent, made by the program from what is shipped.
type secured struct {
	setup  *setup
	agents *cluster.ConsulServers
	client *cluster.ConsulServer // has joined them
	kept   *secrets

	logDir, strangerDir string
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	binary, err := find.FindConsul()
	if err != nil {
		t.Skipf("needs a real Consul: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	dir := t.TempDir()
	s := &secured{setup: &setup{
		Dir: dir, InstallDir: filepath.Join(dir, "{machine}", "consul.d"), Datacenter: "dc1", Cluster: "main", Valid: 24 * time.Hour, FastGossip: true, Client: []string{"web-1=127.0.0.1"}, Wait: bound,
	}}
	s.logDir, s.strangerDir = t.TempDir(), t.TempDir()
	folder := func(name string) string {
		if name == "stranger" {
			return filepath.Join(s.strangerDir, name, "consul.d")
		}
		return filepath.Join(s.setup.Dir, name, "consul.d")
	}
	prepare := func(servers []*cluster.ConsulServer) error {
		s.setup.Server = nil
		for _, server := range servers {
			s.setup.Server = append(s.setup.Server, server.Name+"="+server.Serf)
		}
		if err = s.setup.Validate(); err != nil {
			return err
		}
		s.kept, err = s.setup.write(zerolog.Nop())
		return err
	}
	s.agents, err = cluster.StartConsulServers(ctx, cluster.ConsulServersConfig{
		Binary: binary, Dir: s.logDir, Count: 3,
		Secure: &cluster.SecuredByFolder{Prepare: prepare, Folder: folder, CA: filepath.Join(s.setup.Dir, "ca.pem")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.agents.Kill() })
	s.setup.ACL = "https://" + s.agents.Servers[0].HTTP
	return s
}

// as makes a call with a token to the machine's agent, and returns the status and the answer.
func (s *secured) as(t *testing.T, token, method, path string, body any) (status int, text string) {
	t.Helper()
	api, err := newAPI("https://"+s.client.HTTP, filepath.Join(s.setup.Dir, "ca.pem"), token)
	if err != nil {
		t.Fatal(err)
	}
	err = api.call(t.Context(), method, path, body, nil)
	if answer, answered := errors.AsType[*answerError](err); answered {
		return answer.status, answer.text
	}
	if err != nil {
		t.Fatal(err)
	}
	return http.StatusOK, ""
}

// applied is what a run of the program said it had set.
func applied(t *testing.T, s *setup, kept *secrets) (string, error) {
	t.Helper()
	var said bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	err := s.apply(ctx, kept, zerolog.New(&said))
	return said.String(), err
}

// Three servers and an agent, of the configuration that is shipped, with policies and tokens: each program may do its
// work, and nothing of what it must not do.
func TestASecuredDatacenter(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	t.Run("tokens are set once", s.tokensAreSetOnce)
	t.Run("tokens that somebody widened are narrowed", s.widenedTokensAreNarrowed)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var err error
	if s.client, err = s.agents.StartClient(ctx, "web-1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Process().Kill)
	t.Run("each program may do its work and no more", s.rightsAreLeast)
	t.Run("a snapshot takes the management token", s.snapshotsAreForFew)
	t.Run("a new certificate is taken up by a signal", s.certificatesAreTakenUp)
	// The agent itself may do all of its work: whatever it lacks, it logs.
	log, err := os.ReadFile(filepath.Join(s.logDir, "web-1", "consul.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "blocked by ACLs") {
			t.Errorf("the agent lacks a right: %s", line)
		}
	}
	t.Run("nobody without a certificate or the key of the gossip gets in", s.strangersStayOut)
}

// With three servers, one that is dead or cut off stays a member of the quorum: it is there again as soon as it is back.
// When another has been started in its place, it goes: of four, two that live would be no quorum.
func TestADeadServerIsForgottenWhenAnotherHasItsPlace(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	s.setup.Server[1] = "consul-4=127.0.0.1"
	if err := s.setup.Validate(); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.kept, err = s.setup.write(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	if _, err := applied(t, s.setup, s.kept); err != nil {
		t.Fatal(err)
	}
	api, err := newAPI(s.setup.ACL, filepath.Join(s.setup.Dir, "ca.pem"), s.kept.Management.Secret)
	if err != nil {
		t.Fatal(err)
	}
	first, dead, third := s.agents.Servers[0], s.agents.Servers[1], s.agents.Servers[2]
	s.agents.Kill(1)
	s.quorumIs(t, api, first, dead, third) // autopilot looks every ten seconds, so this alone says little
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	fourth, err := s.agents.StartClient(ctx, "consul-4")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fourth.Process().Kill)
	s.quorumIs(t, api, first, third, fourth)
}

// quorumIs waits until the servers that take part in elections are these.
func (s *secured) quorumIs(t *testing.T, api *api, want ...*cluster.ConsulServer) {
	t.Helper()
	var addresses, have []string
	for _, server := range want {
		addresses = append(addresses, server.RPC)
	}
	slices.Sort(addresses)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := pause.Until(ctx, pollInterval, func(ctx context.Context) error {
		var set struct {
			Servers []struct {
				Address string
				Voter   bool
			}
		}
		if err := api.call(ctx, http.MethodGet, "operator/raft/configuration", nil, &set); err != nil {
			return err
		}
		have = have[:0]
		for _, server := range set.Servers {
			have = append(have, fmt.Sprintf("%s %v", server.Address, server.Voter))
		}
		slices.Sort(have)
		if !slices.EqualFunc(have, addresses, func(have, want string) bool { return have == want+" true" }) {
			return fmt.Errorf("the quorum is of %q, want %q", have, addresses)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func (s *secured) tokensAreSetOnce(t *testing.T) {
	said, err := applied(t, s.setup, s.kept)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(said, `"message":"set"`), 2*len(programs)+len(s.kept.Agents); got != want {
		t.Errorf("set %d policies and tokens, want %d: %s", got, want, said)
	}
	if said, err = applied(t, s.setup, s.kept); err != nil || strings.Contains(said, `"message":"set"`) {
		t.Errorf("a second run: %v, %s", err, said)
	}
	// What somebody has changed is put right.
	api, err := newAPI(s.setup.ACL, filepath.Join(s.setup.Dir, "ca.pem"), s.kept.Management.Secret)
	if err != nil {
		t.Fatal(err)
	}
	var have policy
	if err := api.call(t.Context(), http.MethodGet, "acl/policy/name/zatoha-lb", nil, &have); err != nil {
		t.Fatal(err)
	}
	if err := api.call(t.Context(), http.MethodPut, "acl/policy/"+have.ID, policy{Name: have.Name, Rules: `key "a" { policy = "read" }`}, nil); err != nil {
		t.Fatal(err)
	}
	if said, err = applied(t, s.setup, s.kept); err != nil || strings.Count(said, `"message":"set"`) != 1 {
		t.Errorf("after a change by somebody else: %v, %s", err, said)
	}

	others := secrets{Management: token{Secret: uuid()}}
	short := *s.setup
	short.Wait = 0
	if _, err := applied(t, &short, &others); err == nil || !strings.Contains(err.Error(), "does not know the management token") {
		t.Errorf("with another folder's token: %v", err)
	}
	stranger := short
	stranger.Dir = t.TempDir()
	if _, err := stranger.write(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	if _, err := applied(t, &stranger, &others); err == nil || !strings.Contains(err.Error(), "from another authority") {
		t.Errorf("with another folder's authority: %v", err)
	}
	nobody := short
	nobody.ACL = "https://" + freeport.For(t)
	if _, err := applied(t, &nobody, s.kept); err == nil || !strings.Contains(err.Error(), "start Consul on the servers") {
		t.Errorf("with no Consul: %v", err)
	}
}

// right is something that a program may do, or may not.
type right struct {
	what, method, path string
	body               any
	may                []string // programs; all others must not
}

func registration(service string) map[string]any { return map[string]any{"Name": service, "Port": 1} }

var rights = []right{
	{"register a server", "PUT", "agent/service/register", registration("zato-server"), []string{"server", "operator"}},
	{"register a load balancer", "PUT", "agent/service/register", registration("zato-lb"), []string{"lb"}},
	{"register a connector host", "PUT", "agent/service/register", registration("zato-connectorhost"), []string{"connectorhost"}},
	{"register anything else", "PUT", "agent/service/register", registration("billing"), nil},
	{"write the lease", "PUT", "kv/zato/main/connector-server", nil, []string{"connectorhost"}},
	{"read the lease", "GET", "kv/zato/main/connector-server", nil, []string{"lb", "server", "connectorhost", "operator"}},
	{"make a session", "PUT", "session/create", map[string]any{"Node": "web-1"}, []string{"connectorhost"}},
	{"define a connector", "PUT", "kv/zato/main/connectors/a", nil, []string{"operator"}},
	{"read a connector", "GET", "kv/zato/main/connectors/a", nil, []string{"server", "connectorhost", "operator"}},
	{"define a channel", "PUT", "kv/zato/main/channels/a", nil, []string{"operator"}},
	{"read a channel", "GET", "kv/zato/main/channels/a", nil, []string{"server", "operator"}},
	{"acknowledge a drain", "PUT", "kv/zato/main/drained/a", nil, []string{"lb", "server"}},
	{"say what is applied", "PUT", "kv/zato/main/lb/a", nil, []string{"lb"}},
	{"write elsewhere", "PUT", "kv/other", nil, nil},
	{"write another cluster's keys", "PUT", "kv/zato/other/lb/a", nil, nil},
	{"see the tokens", "GET", "acl/tokens", nil, nil},
	{"take an agent out", "PUT", "agent/leave", nil, nil},
}

func (s *secured) rightsAreLeast(t *testing.T) {
	for _, r := range rights {
		if r.method == http.MethodGet {
			s.as(t, s.kept.Management.Secret, http.MethodPut, r.path, nil) // so that there is something to read
		}
		for _, program := range programs {
			want := http.StatusForbidden
			for _, may := range r.may {
				if may == program {
					want = http.StatusOK
				}
			}
			if status, text := s.as(t, s.kept.Programs[program].Secret, r.method, r.path, r.body); status != want {
				t.Errorf("%s by %s: %d %s, want %d", r.what, program, status, text, want)
			}
		}
		if status, _ := s.as(t, "", r.method, r.path, r.body); status != http.StatusForbidden {
			t.Errorf("%s by nobody: %d", r.what, status)
		}
	}
}

func (s *secured) snapshotsAreForFew(t *testing.T) {
	for token, want := range map[string]int{s.kept.Management.Secret: http.StatusOK, s.kept.Programs["operator"].Secret: http.StatusForbidden} {
		status, text := s.as(t, token, http.MethodGet, "snapshot", nil)
		for range 5 { // the server may refuse before it was told all, and its answer is then lost to the agent
			if !strings.Contains(text, "connection reset by peer") {
				break
			}
			status, text = s.as(t, token, http.MethodGet, "snapshot", nil)
		}
		if status != want {
			t.Errorf("a snapshot: %d %s, want %d", status, text, want)
		}
	}
}

// certificatesAreTakenUp does what `systemctl reload consul` does, once a new certificate has been copied.
func (s *secured) certificatesAreTakenUp(t *testing.T) {
	folder := folder{filepath.Join(s.setup.Dir, "web-1", "consul.d"), zerolog.Nop()}
	for _, name := range []string{"agent.pem", "agent-key.pem"} {
		if removed, err := folder.remove(name); err != nil || !removed {
			t.Fatalf("remove %s: %v, %v", name, removed, err)
		}
	}
	if _, err := s.setup.write(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	renewed, err := folder.pair("agent")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(renewed.cert)
	s.client.Process().Signal(syscall.SIGHUP)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := pause.Until(ctx, pollInterval, func(context.Context) error {
		connection, err := tls.Dial("tcp", s.client.HTTP, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		defer connection.Close()
		if !bytes.Equal(connection.ConnectionState().PeerCertificates[0].Raw, block.Bytes) {
			return errors.New("the agent shows the certificate that it had before")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func (s *secured) strangersStayOut(t *testing.T) {
	if response, err := http.Get("http://" + s.client.HTTP + "/v1/status/leader"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("the API answers without TLS")
		}
	}
	api, err := newAPI("https://"+s.client.HTTP, filepath.Join(s.setup.Dir, "ca.pem"), s.kept.Management.Secret)
	if err != nil {
		t.Fatal(err)
	}
	// An agent with another datacenter's secrets finds the servers, and is not heard.
	stranger := *s.setup
	stranger.Dir, stranger.InstallDir = s.strangerDir, filepath.Join(s.strangerDir, "{machine}", "consul.d")
	stranger.clients = []machine{{name: "stranger", ip: s.setup.clients[0].ip}}
	if _, err := stranger.write(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if agent, err := s.agents.StartClient(ctx, "stranger"); err == nil {
		agent.Process().Kill()
		t.Error("a stranger has joined")
	}
	if got := members(t, api); len(got) != 4 || slices.Contains(got, "stranger") {
		t.Errorf("members are %q, want 3 servers and an agent", got)
	}
	log, err := os.ReadFile(filepath.Join(s.logDir, "stranger", "consul.log"))
	if err != nil || !strings.Contains(string(log), "decrypt") {
		t.Errorf("the stranger was not kept out by the key of the gossip: %v %s", err, log)
	}
	// Nor does a server talk to who shows no certificate of the authority.
	if err := showNothing(t, s.agents.Servers[0].RPC); err == nil {
		t.Error("a server's RPC needs no certificate")
	}
}

// showNothing asks a server for TLS without a certificate, and returns what it says.
func showNothing(t *testing.T, rpc string) error {
	t.Helper()
	connection, err := net.DialTimeout("tcp", rpc, bound)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
	const byTLS = 3 // first byte of Consul's RPC
	if _, err := connection.Write([]byte{byTLS}); err != nil {
		t.Fatal(err)
	}
	secured := tls.Client(connection, &tls.Config{InsecureSkipVerify: true})
	if err := secured.Handshake(); err != nil {
		return err
	}
	_, err = secured.Read(make([]byte, 1))
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return nil // it waits for us to go on
	}
	return err
}

func members(t *testing.T, api *api) (names []string) {
	t.Helper()
	var all []struct{ Name string }
	if err := api.call(t.Context(), http.MethodGet, "agent/members", nil, &all); err != nil {
		t.Fatal(err)
	}
	for _, member := range all {
		names = append(names, member.Name)
	}
	return names
}
