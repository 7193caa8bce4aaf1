package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Secrets is a folder of the program deploy/consul: with the shipped configuration of each Consul agent of a secured
// datacenter, the certificates and keys, and what our programs beside the agents need.
type Secrets struct {
	Program string // deploy/consul's, built
	Dir     string
	Flags   []string // of each run, beside the folder's
}

// Command is the command line that makes what is missing.
func (s *Secrets) Command(more ...string) []string {
	return slices.Concat([]string{s.Program, "--dir", s.Dir, "--install-dir", s.AgentDir("{machine}")}, s.Flags, more)
}

// AgentDir has the configuration of a machine's agent.
func (s *Secrets) AgentDir(machine string) string { return filepath.Join(s.Dir, machine, "consul.d") }

// CA is the file with the certificate of the datacenter's authority.
func (s *Secrets) CA() string { return filepath.Join(s.Dir, "ca.pem") }

// Environ are the variables that one of our programs on a machine is started with there: lb, server or connectorhost.
// They say where its agent is and what its token is; "" is a program without a token.
func (s *Secrets) Environ(machine, program string) (environ []string, err error) {
	installed := filepath.Join(s.Dir, machine, "zatoha")
	files := []string{"consul.env"}
	if program != "" {
		files = append(files, program+".env")
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(installed, name))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				environ = append(environ, strings.ReplaceAll(line, "=/etc/zatoha/", "="+installed+"/"))
			}
		}
	}
	return environ, nil
}

// Operator is how a person asks the agents: the operator's token, and whose certificates to trust.
func (s *Secrets) Operator() (token string, trust *tls.Config, err error) {
	path := filepath.Join(s.Dir, "secrets.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	var kept struct {
		Programs map[string]struct {
			Secret string `json:"secret"`
		} `json:"programs"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	trust, err = trustIn(s.CA())
	return kept.Programs["operator"].Secret, trust, err
}

// trustIn believes the certificates of an authority, and no others.
func trustIn(ca string) (*tls.Config, error) {
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !trust.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: it has no certificate", ca)
	}
	return trust, nil
}
