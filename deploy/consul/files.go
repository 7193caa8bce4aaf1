package main

import (
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
)

//go:embed agent/*.hcl *.hcl
var shipped embed.FS

// secrets is what no machine but the operator's has as a whole.
type secrets struct {
	Cluster    string           `json:"cluster"` // whose keys the programs' tokens are for
	Gossip     string           `json:"gossip"`
	Management token            `json:"management"`
	Programs   map[string]token `json:"programs"` // by the name of their policy's file: lb, server, …
	Agents     map[string]token `json:"agents"`   // by the name of the machine
}

// token is one of Consul's. It is made here, so that files can have it before there is a Consul that knows it.
type token struct {
	Accessor string `json:"accessor"`
	Secret   string `json:"secret"`
}

// programs are those that get a token. An operator's is for people.
var programs = []string{"lb", "server", "connectorhost", "operator"}

const secretsFile = "secrets.json"

// write makes all files that are missing or not as they should be.
func (s *setup) write(log zerolog.Logger) (*secrets, error) {
	folder := folder{s.Dir, log}
	kept, err := folder.secrets()
	if err != nil {
		return nil, err
	}
	if err := kept.claim(s, log); err != nil {
		return nil, err
	}
	kept.complete(s)
	text, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", secretsFile, err)
	}
	if err := folder.put(secretsFile, append(text, '\n')); err != nil {
		return nil, err
	}
	authority, err := s.authority(folder)
	if err != nil {
		return nil, err
	}
	for _, m := range s.servers {
		if err := s.writeMachine(folder, m, "server", authority, kept); err != nil {
			return nil, err
		}
	}
	for _, m := range s.clients {
		if _, both := named(s.servers, m.name); !both {
			if err := s.writeMachine(folder, m, "client", authority, kept); err != nil {
				return nil, err
			}
		}
		if err := writePrograms(folder, m, authority, kept); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

func (s *setup) authority(folder folder) (authority pair, err error) {
	authority, err = folder.pair("ca")
	switch {
	case err != nil:
		return pair{}, err
	case authority.cert != nil && authority.key != nil:
		return authority, nil
	case authority.cert != nil || authority.key != nil:
		return pair{}, fmt.Errorf("%s has only one of ca.pem and ca-key.pem: put the other back, or remove both, "+
			"which takes new certificates for all machines at once", s.Dir)
	}
	if authority, err = newAuthority(s.Datacenter, time.Now()); err != nil {
		return pair{}, err
	}
	return authority, folder.putPair("ca", authority)
}

// writeMachine writes the files of a machine's agent.
func (s *setup) writeMachine(folder folder, m machine, role string, authority pair, kept *secrets) error {
	inside := filepath.Join(m.name, "consul.d")
	if err := s.writeShipped(folder, m, role); err != nil {
		return err
	}
	own := wanted{role: role, datacenter: s.Datacenter, machine: m, now: time.Now(), valid: s.Valid}
	have, err := folder.pair(filepath.Join(inside, "agent"))
	if err != nil {
		return err
	}
	if !own.satisfied(have, authority) {
		if have, err = own.issue(authority); err != nil {
			return err
		}
		if err := folder.putPair(filepath.Join(inside, "agent"), have); err != nil {
			return err
		}
	}
	if err := folder.put(filepath.Join(inside, "ca.pem"), authority.cert); err != nil {
		return err
	}
	return folder.put(filepath.Join(inside, "90-node.hcl"), []byte(s.node(m, role, kept)))
}

// writeShipped writes those of the shipped files that a machine's agent shall have, and removes the others, which an
// earlier run may have written: Consul goes by all files in its folder, so that `server = true` of before would win.
func (s *setup) writeShipped(folder folder, m machine, role string) error {
	for _, file := range []struct {
		name, source string
		wanted       bool
	}{
		{"10-all.hcl", "all.hcl", true},
		{"20-client.hcl", "client.hcl", role == "client"},
		{"20-server.hcl", "server.hcl", role == "server"},
		{"30-gossip-fast.hcl", "gossip-fast.hcl", s.FastGossip},
	} {
		path := filepath.Join(m.name, "consul.d", file.name)
		if !file.wanted {
			removed, err := folder.remove(path)
			if err != nil {
				return err
			}
			if removed {
				folder.log.Warn().Str("file", filepath.Join(s.Dir, path)).Str("machine", m.name).
					Str("delete", filepath.Join(s.installed(m), file.name)).
					Msg("removed: delete it on the machine too, as copying does not, and restart Consul there")
			}
			continue
		}
		text, err := shipped.ReadFile("agent/" + file.source)
		if err != nil {
			return err
		}
		if err := folder.put(path, text); err != nil {
			return err
		}
	}
	return nil
}

// installed is the folder of an agent's files on its machine.
func (s *setup) installed(m machine) string {
	return strings.ReplaceAll(s.InstallDir, "{machine}", m.name)
}

// node is what only this machine's agent has.
func (s *setup) node(m machine, role string, kept *secrets) string {
	var b strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	line("# Written by `go run ./deploy/consul`. It has secrets: only Consul's user may read it.")
	line("node_name  = %q", m.name)
	line("datacenter = %q", s.Datacenter)
	line("bind_addr  = %q", m.ip)
	line("encrypt    = %q", kept.Gossip)
	var others []string
	for _, other := range s.servers {
		if other.name != m.name {
			others = append(others, fmt.Sprintf("%q", other.serf.String()))
		}
	}
	line("retry_join = [%s]", strings.Join(others, ", "))
	if role == "server" {
		line("bootstrap_expect = %d", len(s.servers))
		line("autopilot {\n  min_quorum = %d\n}", len(s.servers))
	}
	in := func(name string) string { return filepath.Join(s.installed(m), name) }
	line("tls {\n  defaults {\n    ca_file   = %q\n    cert_file = %q\n    key_file  = %q\n  }\n}", in("ca.pem"), in("agent.pem"), in("agent-key.pem"))
	line("acl {\n  tokens {\n    agent = %q", kept.Agents[m.name].Secret)
	if role == "server" {
		line("    initial_management = %q", kept.Management.Secret)
	}
	line("  }\n}")
	return b.String()
}

// writePrograms writes what our programs on a machine need to talk to its agent.
func writePrograms(folder folder, m machine, authority pair, kept *secrets) error {
	inside := filepath.Join(m.name, "zatoha")
	if err := folder.put(filepath.Join(inside, "consul-ca.pem"), authority.cert); err != nil {
		return err
	}
	const environment = "# Where all programs of this machine find its Consul agent. Each has a token of its own.\n" +
		"CONSUL_HTTP_ADDR=https://127.0.0.1:8501\nCONSUL_CACERT=/etc/zatoha/consul-ca.pem\n"
	if err := folder.put(filepath.Join(inside, "consul.env"), []byte(environment)); err != nil {
		return err
	}
	for _, program := range programs {
		if program == "operator" {
			continue // people have it elsewhere
		}
		if err := folder.put(filepath.Join(inside, program+".token"), []byte(kept.Programs[program].Secret+"\n")); err != nil {
			return err
		}
		if err := folder.put(filepath.Join(inside, program+".env"), []byte("CONSUL_HTTP_TOKEN_FILE=/etc/zatoha/"+program+".token\n")); err != nil {
			return err
		}
	}
	return nil
}

// claim refuses a cluster that the secrets are not for: its rights would be given to the tokens of another one, which
// would lose theirs at once. Secrets that were written before they had the cluster's name are for the one that is given.
func (k *secrets) claim(s *setup, log zerolog.Logger) error {
	path := filepath.Join(s.Dir, secretsFile)
	switch {
	case k.Cluster == s.Cluster:
		return nil
	case k.Cluster != "":
		return program.BadConfig("--cluster", fmt.Sprintf("%q: %s has the tokens of the cluster %q, which would lose its rights", s.Cluster, path, k.Cluster),
			fmt.Sprintf("give --cluster %s, or another --dir for another datacenter; if the cluster itself has another name now, "+
				`write that as "cluster" into the file`, k.Cluster))
	case k.Management.Secret != "":
		log.Warn().Str("file", path).Str("cluster", s.Cluster).Msg("it did not say which cluster its tokens are for; from now on it says this one")
	}
	k.Cluster = s.Cluster
	return nil
}

// complete makes up what is missing.
func (k *secrets) complete(s *setup) {
	if k.Gossip == "" {
		var key [32]byte
		_, _ = rand.Read(key[:]) // never fails
		k.Gossip = base64.StdEncoding.EncodeToString(key[:])
	}
	if k.Programs == nil {
		k.Programs = map[string]token{}
	}
	if k.Agents == nil {
		k.Agents = map[string]token{}
	}
	k.Management = k.Management.made()
	for _, program := range programs {
		k.Programs[program] = k.Programs[program].made()
	}
	for _, m := range append(s.servers[:len(s.servers):len(s.servers)], s.clients...) {
		k.Agents[m.name] = k.Agents[m.name].made()
	}
}

func (t token) made() token {
	if t.Secret == "" {
		return token{Accessor: uuid(), Secret: uuid()}
	}
	return t
}

// uuid is a random one, as Consul wants its tokens.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
