package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/edit"
	"zatoha/lb/address"
)

// configCommand makes the configuration. Every default is that of [haproxy.DefaultEdge].
type configCommand struct {
	Clusters []string `required:"" placeholder:"NAME=ADDRESS" help:"Each cluster, with the IP address and port that its load balancers share, like a=10.0.1.10:11223."`
	Standby  bool     `help:"The first cluster gets all requests, and the next ones only what those before them cannot take: they are down, drained, full (--cluster-maxconn), or have failed at it, and it may be sent twice."`

	Listen        program.HostPort `default:"0.0.0.0:11223" help:"Address of the HTTP front."`
	TLSListen     program.HostPort `name:"tls-listen" placeholder:"ADDRESS" help:"Address of the HTTPS front, with HTTP/2. Needs --tls-cert."`
	TLSCert       string           `name:"tls-cert" placeholder:"PATH" help:"PEM file with the certificate, its chain and its key, or a directory of such files."`
	SSLMinVer     string           `name:"ssl-min-ver" default:"TLSv1.2" help:"Oldest version of TLS that the HTTPS front speaks: TLSv1.2 or TLSv1.3."`
	HTTPSRedirect int              `name:"https-redirect" placeholder:"PORT" help:"Send plain requests to https (308) on this port, as clients see it: mostly 443."`
	HSTS          time.Duration    `name:"hsts" placeholder:"DURATION" help:"Tell browsers for how long to ask for nothing but HTTPS, like 8760h."`

	VirtualAddress netip.Addr `placeholder:"IP" help:"Address that this outer load balancer shares with another and that keepalived gives to one of them at a time. It makes 'edge yield' possible, which gives it away. --listen and --tls-listen have to be at all addresses then."`

	Socket        string           `default:"/run/haproxy/edge.sock" help:"Path of HAProxy's runtime socket."`
	AdminListen   program.HostPort `placeholder:"ADDRESS" help:"Address of the runtime API for an edge on another machine. It asks for no password: a network of operators alone, never 0.0.0.0."`
	MetricsListen offAddress       `default:"127.0.0.1:11225" placeholder:"ADDRESS" help:"Where HAProxy itself answers Prometheus, at /metrics and without a password, or off. For a Prometheus elsewhere: an address of this machine in a network of operators."`
	StateFile     string           `placeholder:"PATH" help:"Edge watch runs beside this HAProxy, with the same --state-file: it ends the sessions of clusters that are down, and keeps there what is drained, over a reload and a restart; /var/lib/zatoha-edge/state is what zatoha-edge.service may write. Without it HAProxy ends them itself, which may close a connection in ten thousand, and forgets."`

	TrustedProxies []haproxy.Network `placeholder:"ADDRESS" help:"Addresses of proxies before this one that are believed about the client."`
	RateLimit      haproxy.RateLimit `default:"off" placeholder:"N/PERIOD" help:"Requests that one client address (of IPv6, one /64) may send in a period, like 100/10s."`
	AccessLog      haproxy.AccessLog `default:"off" placeholder:"TARGET" help:"Log each request as a line of JSON: to a syslog server (address:port or socket path), or to stdout or stderr."`
	HeaderNames    string            `name:"http-restrict-req-hdr-names" default:"reject" help:"What becomes of header names with other characters than letters, digits and -: reject answers 403, delete leaves them out, preserve passes on all but those that pass for X-Forwarded-For and others of that kind, or for X-Real-IP. That of the clusters comes behind it."`
	HidePaths      []string          `default:"/metrics,/debug/pprof" placeholder:"PATH" help:"Paths, each with all below it, that are answered with 404 from outside."`
	Times          configTimes       `embed:""`
	Limits         configLimits      `embed:""`
	Write          string            `placeholder:"FILE" help:"Put it into this file instead, whose other lines stay as they are, and which is created if it is missing."`
	clusters       []haproxy.Cluster
}

type configLimits struct {
	MaxConn        int `name:"maxconn" default:"10000" help:"Connections of clients at a time; more wait."`
	ClusterMaxConn int `name:"cluster-maxconn" default:"4000" help:"Requests at one cluster at a time. That of all outer load balancers together must be below its --maxconn, which health checks need too."`
	QueueLimit     int `default:"1000" help:"Requests that may wait at a time; more are answered with 503."`
	BufferSize     int `default:"49152" help:"Bytes of a request that are kept, so that it can be sent to another cluster."`

	BufferRequest bool     `name:"http-buffer-request" default:"true" negatable:"" help:"Read as much of a body as the buffer holds before a cluster is asked. Without, and without it in the clusters, a body streams through at once; a request whose body comes behind its headers is not sent to another cluster once one has begun to get it."`
	Retries       int      `default:"2" help:"Further tries of a request, on another cluster, that fails as --retry-on says. With 0 nothing is sent again."`
	RetryOn       []string `default:"conn-failure,empty-response,response-timeout,502,503" help:"All failures after which a request is tried again, in HAProxy's words, as those of lb; 502 and 503 say that a cluster has nobody left. After all but conn-failure only if repeating is harmless."`
	CheckFall     int      `default:"2" help:"Bad checks in a row that take a cluster out."`
}

type configTimes struct {
	RequestTimeout   time.Duration `default:"10s" help:"Time that a client has to send its headers, and as much of its body as the buffer holds."`
	ClientTimeout    time.Duration `default:"30s" help:"Longest silence of a client in the middle of a request or a response."`
	KeepAliveTimeout time.Duration `default:"1m" help:"Longest time that a client's connection stays open without a request."`
	QueueTimeout     time.Duration `default:"5s" help:"Longest time that a request waits for a cluster."`
	ConnectTimeout   time.Duration `default:"250ms" help:"Longest time that connecting to a cluster may take. A connection that the last active cluster refuses is tried elsewhere after as long."`
	ServerTimeout    time.Duration `default:"150s" help:"Longest time that a cluster may take: longer than all tries of its load balancer, (retries + 1) × (queue + connect + server time-out)."`
	TunnelTimeout    time.Duration `default:"1h" help:"Longest silence of a WebSocket."`
	CheckInterval    time.Duration `default:"250ms" help:"Time between two checks of a cluster."`
	CheckFastinter   time.Duration `default:"0s" help:"The same while a cluster is in doubt; 0 is a fifth of it."`
	CheckDowninter   time.Duration `default:"0s" help:"The same while a cluster is down; 0 is twice it."`
	CheckTimeout     time.Duration `default:"250ms" help:"Longest time that a check may take."`
	ReturnAfter      time.Duration `default:"2s" help:"Time for which a cluster must answer before it gets requests again."`
	HardStop         time.Duration `name:"hard-stop-after" default:"5m" help:"Longest time that connections open at a reload may go on."`
}

// offAddress is an address, or "off" for none.
type offAddress program.HostPort

// UnmarshalText reads either.
func (a *offAddress) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*a = ""
		return nil
	}
	if err := (*program.HostPort)(a).UnmarshalText(text); err != nil {
		return fmt.Errorf("%w, or off", err)
	}
	return nil
}

var clusterText = regexp.MustCompile(`^([A-Za-z0-9_-]+)=(.+)$`)

// Validate is kong's hook. It reports every fault.
func (c *configCommand) Validate() error {
	var faults []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	c.clusters = nil
	for _, text := range c.Clusters {
		faults = append(faults, c.add(text))
	}
	refuse(len(c.Clusters) == 0, "--clusters: name at least one")
	refuse(c.Standby && len(c.clusters) == 1, "--standby: needs a second one of --clusters")
	refuse(!filepath.IsAbs(c.Socket), "--socket: %q: must be an absolute path", c.Socket)
	refuse(c.StateFile != "" && !filepath.IsAbs(c.StateFile), "--state-file: %q: must be an absolute path", c.StateFile)
	admin, adminErr := netip.ParseAddr(c.AdminListen.Host())
	refuse(c.AdminListen != "" && (adminErr != nil || admin.IsUnspecified()), "--admin-listen: %s: must be an IP address of this machine in a network of operators alone", c.AdminListen)
	faults = append(faults, c.validateListeners())
	e := c.edge()
	return errors.Join(append(faults, e.Validate(), haproxy.CheckRange("--cluster-maxconn", e.SlotMaxConn, 1, 1_000_000),
		haproxy.CheckTime("--return-after", e.ReturnAfter, 0))...)
}

// validateListeners looks at all of HAProxy's.
func (c *configCommand) validateListeners() error {
	fronts := address.Fronts{Listen: c.Listen, TLSListen: c.TLSListen}
	all := append(fronts.Listeners(), program.Listener{Flag: "--admin-listen", Address: c.AdminListen},
		program.Listener{Flag: "--metrics-listen", Address: program.HostPort(c.MetricsListen)})
	return errors.Join(program.Distinct(all...), fronts.CheckVirtual(c.VirtualAddress))
}

// add takes "a=10.0.1.10:11223" in.
func (c *configCommand) add(text string) error {
	found := clusterText.FindStringSubmatch(text)
	if found == nil {
		return fmt.Errorf("--clusters: %q: must be a name of letters, digits, _ and -, and an address, like a=10.0.1.10:11223", text)
	}
	at, err := netip.ParseAddrPort(found[2])
	if err != nil || at.Port() == 0 || at.Addr().IsUnspecified() || at.Addr().Zone() != "" {
		return fmt.Errorf("--clusters: %q: %s must be an IP address and a port, like 10.0.1.10:11223", text, found[2])
	}
	for _, cluster := range c.clusters {
		if cluster.Name == found[1] || cluster.Address == found[2] {
			return fmt.Errorf("--clusters: %q: is the second of that name or address; a cluster has one address, which its load balancers share", text)
		}
	}
	c.clusters = append(c.clusters, haproxy.Cluster{Name: found[1], Address: found[2]})
	return nil
}

// edge is what the flags say.
func (c *configCommand) edge() haproxy.Edge {
	e := haproxy.DefaultEdge()
	e.Clusters, e.Standby = c.clusters, c.Standby
	e.Bind, e.StatsSocket, e.AdminListen, e.StateFile = string(c.Listen), c.Socket, string(c.AdminListen), c.StateFile
	e.MetricsListen, e.Yields = string(c.MetricsListen), c.VirtualAddress.IsValid()
	e.TLS = haproxy.TLS{Bind: string(c.TLSListen), Certificate: c.TLSCert, RedirectPort: c.HTTPSRedirect, HSTS: c.HSTS, MinVersion: c.SSLMinVer}
	e.HeaderNames = c.HeaderNames
	e.TrustedProxies, e.RateLimit, e.AccessLog, e.HidePaths = c.TrustedProxies, c.RateLimit, c.AccessLog, c.HidePaths
	l, t := c.Limits, c.Times
	e.MaxConn, e.SlotMaxConn, e.QueueLimit, e.BufferSize = l.MaxConn, l.ClusterMaxConn, l.QueueLimit, l.BufferSize
	e.BufferRequest, e.Retries, e.RetryOn, e.CheckFall = l.BufferRequest, l.Retries, l.RetryOn, l.CheckFall
	e.RequestTimeout, e.ClientTimeout, e.KeepAliveTimeout = t.RequestTimeout, t.ClientTimeout, t.KeepAliveTimeout
	e.QueueTimeout, e.ConnectTimeout, e.ServerTimeout, e.TunnelTimeout = t.QueueTimeout, t.ConnectTimeout, t.ServerTimeout, t.TunnelTimeout
	e.CheckFastInterval, e.CheckDownInterval = t.CheckFastinter, t.CheckDowninter
	e.CheckInterval, e.CheckTimeout, e.ReturnAfter, e.HardStop = t.CheckInterval, t.CheckTimeout, t.ReturnAfter, t.HardStop
	return e
}

// Run prints the configuration, or writes it.
func (c *configCommand) Run(context.Context) error {
	old, err := os.ReadFile(c.Write)
	if c.Write != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
		return program.BadConfig("--write", err.Error(), "")
	}
	text, err := edit.Apply(string(old), c.edge().Sections())
	if err != nil {
		return program.BadConfig("--write", c.Write+": "+err.Error(), "")
	}
	if c.Write == "" {
		_, err = fmt.Print(text)
		return err
	}
	if err := c.begin(); err != nil {
		return program.BadConfig("--state-file", err.Error(), "")
	}
	next := c.Write + ".next"
	if err := os.WriteFile(next, []byte(text), 0o640); err != nil {
		return program.BadConfig("--write", err.Error(), "")
	}
	if err := os.Rename(next, c.Write); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := c.move(); err != nil {
		return program.BadConfig("--state-file", err.Error(), "or HAProxy goes on with the ports that clusters had before")
	}
	fmt.Printf("%s is written; check it by haproxy -c -f %s, and reload HAProxy\n", c.Write, c.Write)
	return nil
}

// noState is a state file that says nothing; without any, HAProxy warns.
const noState = "1\n"

// begin creates the state file, unless it is there.
func (c *configCommand) begin() error {
	if c.StateFile == "" {
		return nil
	}
	file, err := os.OpenFile(c.StateFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(noState)
	return errors.Join(err, file.Close())
}

// move puts the clusters' ports into a state file that has others.
func (c *configCommand) move() error {
	if c.StateFile == "" {
		return nil
	}
	states, err := os.ReadFile(c.StateFile)
	if err != nil {
		return err
	}
	ports := map[string]string{}
	for _, cluster := range c.clusters {
		_, ports[cluster.Name], err = net.SplitHostPort(cluster.Address)
		if err != nil {
			return err
		}
	}
	moved := withPorts(string(states), ports)
	if moved == string(states) {
		return nil
	}
	return writeState(c.StateFile, moved)
}
