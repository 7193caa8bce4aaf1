// Program consul makes what a secured Consul datacenter for zatoha needs beside the configuration that this folder ships:
// an authority and certificates, the key of the gossip, and a token for each program with no more rights than it needs.
//
// One case, from start to end. Three machines shall be the Consul servers, two more run our programs:
//
//	go run ./deploy/consul --dir secrets --server consul-1=10.0.0.1 --server consul-2=10.0.0.2 --server consul-3=10.0.0.3 \
//		--client web-1=10.0.1.1 --client web-2=10.0.1.2
//
// makes secrets/<machine>/consul.d, which is copied to /etc/consul.d of that machine, and secrets/<machine>/zatoha, for
// /etc/zatoha of those with our programs. With Consul started on all of them, the same command with
//
//	--acl https://10.0.0.1:8501
//
// after it sets up the policies and tokens there. A Consul server that runs our programs too is named in both. Each run
// makes what is missing, renews what expires soon, puts right what somebody changed, leaves the rest as it is, and says
// when each certificate ends: run it again for another machine, or once a month. The folder has all the secrets of the
// datacenter, and is for one cluster, whose name it keeps: a run with another --cluster is refused. Keep it where you
// keep such, and nowhere else.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
)

func main() {
	const description = "Makes certificates, keys, tokens and policies for a Consul datacenter that zatoha runs on."
	os.Exit(program.Main("consul", description, &grammar{}))
}

type grammar struct {
	program.Common
	Setup setup `cmd:"" default:"withargs" help:"Make what is missing; the default."`
}

// setup is what an operator can choose; the tags are the documentation.
type setup struct {
	Dir        string        `required:"" placeholder:"FOLDER" help:"Where the secrets and each machine's files are kept."`
	Server     []string      `placeholder:"NAME=IP" sep:"," help:"A machine that is a Consul server, at the address of its own by which others reach it; repeat it for each, three in all."`
	Client     []string      `placeholder:"NAME=IP" sep:"," help:"A machine that runs our programs beside a Consul agent; repeat it for each, and name one that is a server too in both."`
	Datacenter string        `default:"dc1" help:"Name of the datacenter."`
	Cluster    string        `default:"main" help:"Name of the cluster: its keys in Consul begin with zato/<cluster>/. A folder is for one, whose name it keeps: another is refused."`
	InstallDir string        `default:"/etc/consul.d" help:"Where each machine has the files of its agent; {machine} stands for its name."`
	FastGossip bool          `help:"Notice a dead machine in less than a second: see agent/gossip-fast.hcl for the price."`
	Valid      time.Duration `default:"8760h" help:"How long certificates are good for; they are renewed by a run in the last third of that."`

	ACL  string        `name:"acl" placeholder:"URL" help:"A Consul server that runs, like https://10.0.0.1:8501, to set policies and tokens up at."`
	Wait time.Duration `default:"30s" help:"How long to wait for it to have a leader."`

	servers, clients []machine
}

// machine is one that has a Consul agent.
type machine struct {
	name string
	ip   netip.Addr
	serf netip.AddrPort // address of its gossip
}

const serfPort = 8301

// validName is a part of a host name.
var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// Validate is kong's hook. It reports every fault.
func (s *setup) Validate() error {
	var faults []error
	refuse := func(bad bool, format string, values ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, values...))
		}
	}
	var err error
	s.servers, err = machines("--server", s.Server)
	faults = append(faults, err)
	s.clients, err = machines("--client", s.Client)
	faults = append(faults, err)
	for flag, all := range map[string][]machine{"--server": s.servers, "--client": s.clients} {
		for i, m := range all {
			_, twice := named(all[:i], m.name)
			refuse(twice, "%s: %s: is named twice; give each machine a name of its own", flag, m.name)
		}
	}
	for _, m := range s.clients {
		server, both := named(s.servers, m.name)
		refuse(both && server.ip != m.ip, "--client: %s: is at %s, and as a server at %s: a machine has one agent, at one address", m.name, m.ip, server.ip)
	}
	faults = append(faults, sharing(slices.Concat(s.servers, s.clients))...)
	refuse(len(s.Server)%2 == 0, "--server: %d of them: name an odd number, best three: two of three are a quorum, and so are three of four", len(s.Server))
	refuse(!validName.MatchString(s.Datacenter), "--datacenter: %q: must be of small letters, digits and -", s.Datacenter)
	refuse(!program.ValidName(s.Cluster), "--cluster: %q: %s", s.Cluster, program.NameRule)
	refuse(s.Valid < time.Hour, "--valid: %v: must be at least an hour", s.Valid)
	refuse(s.ACL != "" && !strings.HasPrefix(s.ACL, "https://"), "--acl: %q: must begin with https://, like https://10.0.0.1:8501", s.ACL)
	return errors.Join(faults...)
}

func named(all []machine, name string) (m machine, found bool) {
	for _, m := range all {
		if m.name == name {
			return m, true
		}
	}
	return machine{}, false
}

// machines reads NAME=IP, or NAME=IP:PORT where the agent's gossip has a port of its own.
func machines(flag string, values []string) (all []machine, err error) {
	var faults []error
	for _, value := range values {
		name, address, _ := strings.Cut(value, "=")
		serf, err := netip.ParseAddrPort(address)
		if err != nil {
			var ip netip.Addr
			ip, err = netip.ParseAddr(address)
			serf = netip.AddrPortFrom(ip, serfPort)
		}
		ip := serf.Addr().Unmap()
		switch {
		case err != nil || !validName.MatchString(name):
			faults = append(faults, fmt.Errorf("%s: %q: must be NAME=IP, like consul-1=10.0.0.1, the name of small letters, digits and -", flag, value))
		case ip.IsUnspecified() || serf.Port() == 0:
			faults = append(faults, fmt.Errorf("%s: %q: must have the address at which other machines reach this one, like consul-1=10.0.0.1", flag, value))
		default:
			all = append(all, machine{name: name, ip: ip, serf: netip.AddrPortFrom(ip, serf.Port())})
		}
	}
	return all, errors.Join(faults...)
}

// sharing are the machines at the address of another one. On the loopback address tests have many, whose ports are not
// all known here.
func sharing(all []machine) (faults []error) {
	for i, m := range all {
		for _, other := range all[:i] {
			if m.name != other.name && m.serf == other.serf && !m.ip.IsLoopback() {
				faults = append(faults, fmt.Errorf("--server, --client: %s: is at %s, and so is %s: give each machine its own address", m.name, m.serf, other.name))
			}
		}
	}
	return faults
}

// Run is the program: see the package comment.
func (s *setup) Run(ctx context.Context, log zerolog.Logger) error {
	secrets, err := s.write(log)
	if err != nil {
		return err
	}
	s.tellEndings(log, time.Now())
	if s.ACL == "" {
		log.Info().Msg("copy " + s.Dir + "/<machine>/consul.d to " + s.InstallDir + " of each machine, start Consul, " +
			"and run this again with --acl https://<a server>:8501")
		return nil
	}
	return s.apply(ctx, secrets, log)
}
