// Program local is `make run`: a whole cluster on this machine, in the foreground, from the real programs.
//
// From start to end: it takes its folder, so that no other one cleans that under it, looks whether every port that it
// needs is free, starts Consul, the servers, the load balancer and the connector hosts, defines a sample channel, prints
// one table of what is where and how to try it, and says which program died when one does, and how to start it again; it
// does not do that itself, so that one can watch the cluster live without it. Ctrl-C stops everything, and so does the
// loss of the terminal. If it is killed, its programs are killed with it, and the next start ends the HAProxy that was
// left.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/cluster"
	"zatoha/deploy/program"
	"zatoha/deploy/tools/find"
)

func main() {
	os.Exit(program.Main("local", "Runs a whole cluster on this machine until Ctrl-C.", &settings{}))
}

type settings struct {
	Servers     int              `env:"SERVERS" default:"3" help:"Number of servers, 1 to 50."`
	FirstServer program.HostPort `default:"127.0.0.1:17010" help:"Address of the first server; the others have the next ports."`
	Hosts       int              `env:"HOSTS" default:"3" help:"Number of connector hosts, 0 to 10."`
	FirstHost   program.HostPort `default:"127.0.0.1:17110" help:"Address of the first connector host; the others have the next ports."`
	Listen      program.HostPort `default:"0.0.0.0:11223" help:"Address of the load balancer's front."`
	AdminListen program.HostPort `default:"127.0.0.1:11224" help:"Address of its status page."`
	Consul      program.HostPort `default:"127.0.0.1:8500" help:"Address of Consul's HTTP API and UI."`
	RabbitMQ    program.HostPort `name:"rabbitmq" default:"127.0.0.1:5672" help:"Address of a RabbitMQ that lets guest in; if one is there, it gets a sample channel."`
	Bin         string           `default:"bin" help:"Folder with the programs lb, server and connectorhost."`
	Dir         string           `default:"run" help:"Folder for state and logs; those of the last run are removed."`

	program.Common
}

// Validate is kong's hook.
func (s *settings) Validate() error {
	if s.Servers < 1 || s.Servers > 50 {
		return fmt.Errorf("--servers (SERVERS): %d: must be 1..50", s.Servers)
	}
	if last := s.FirstServer.Port() + s.Servers - 1; last > 65535 {
		return fmt.Errorf("--first-server: %s: the last of %d servers would have port %d", s.FirstServer, s.Servers, last)
	}
	if s.Hosts < 0 || s.Hosts > 10 {
		return fmt.Errorf("--hosts (HOSTS): %d: must be 0..10", s.Hosts)
	}
	if last := s.FirstHost.Port() + s.Hosts - 1; last > 65535 {
		return fmt.Errorf("--first-host: %s: the last of %d connector hosts would have port %d", s.FirstHost, s.Hosts, last)
	}
	return nil
}

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 4500 * time.Millisecond
)

// Run is the program: see the package comment.
func (s *settings) Run(ctx context.Context, _ zerolog.Logger) error {
	config, err := s.config()
	if err != nil {
		return err
	}
	last := &cluster.Cluster{Config: config}
	letGo, err := last.Claim()
	if err != nil {
		return program.BadConfig("--dir", err.Error(), "stop it, or choose another folder with bin/local --dir")
	}
	defer letGo()
	if err := last.Clean(ctx); err != nil {
		return err
	}
	if err := s.vacant(config); err != nil {
		return err
	}
	began := time.Now()
	fmt.Printf("starting Consul, the load balancer, %d servers and %d connector hosts ...\n", s.Servers, s.Hosts)
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	running, err := cluster.Start(startCtx, config)
	if err != nil {
		return explain(ctx, err)
	}
	samples, err := defineSamples(startCtx, running, string(s.RabbitMQ))
	if err != nil {
		return errors.Join(explain(ctx, err), s.stop(ctx, running))
	}
	fmt.Print(table(ctx, running, samples, time.Since(began)))
	watch(ctx, running)
	return s.stop(ctx, running)
}

func (s *settings) config() (cluster.Config, error) {
	consul, err := find.FindConsul()
	if err != nil {
		return cluster.Config{}, program.BadConfig("consul", err.Error(), "")
	}
	haproxy, err := find.FindHAProxy()
	if err != nil {
		return cluster.Config{}, program.BadConfig("haproxy", err.Error(), "")
	}
	bin, binErr := filepath.Abs(s.Bin) // whoever starts a program again may be elsewhere
	dir, err := filepath.Abs(s.Dir)
	if err := errors.Join(binErr, err); err != nil {
		return cluster.Config{}, program.BadConfig("--dir", err.Error(), "")
	}
	config := cluster.Config{
		Bin: bin, ConsulBin: consul, HAProxyBin: haproxy, Dir: dir,
		ConsulAddr: string(s.Consul), Front: string(s.Listen), Admin: string(s.AdminListen),
	}
	for i := range s.Servers {
		port := strconv.Itoa(s.FirstServer.Port() + i)
		config.Servers = append(config.Servers, net.JoinHostPort(s.FirstServer.Host(), port))
	}
	for i := range s.Hosts {
		port := strconv.Itoa(s.FirstHost.Port() + i)
		config.Hosts = append(config.Hosts, net.JoinHostPort(s.FirstHost.Host(), port))
	}
	return config, nil
}

// vacant says which address is in use, before anything is started.
func (s *settings) vacant(config cluster.Config) error {
	check := func(flag, what, address string) error {
		listener, err := net.Listen("tcp", address)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return program.BadConfig(flag, fmt.Sprintf("%s is in use, %s needs it", address, what),
				"stop the program that has it (ss -ltnp shows which), or choose another with bin/local "+flag)
		case err != nil:
			return program.BadConfig(flag, err.Error(), "choose an address of this machine with bin/local "+flag)
		}
		return listener.Close()
	}
	if err := check("--consul", "Consul", config.ConsulAddr); err != nil {
		return err
	}
	if err := check("--listen", "the load balancer", config.Front); err != nil {
		return err
	}
	if err := check("--admin-listen", "the status page", config.Admin); err != nil {
		return err
	}
	for i, address := range config.Servers {
		if err := check("--first-server", fmt.Sprintf("server-%d", i+1), address); err != nil {
			return err
		}
	}
	for i, address := range config.Hosts {
		if err := check("--first-host", fmt.Sprintf("connectorhost-%d", i+1), address); err != nil {
			return err
		}
	}
	return nil
}

// explain passes on a program's own refusal of its configuration as ours.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ended, ok := errors.AsType[*cluster.EndedError](err); ok && ended.Process.Status() == 2 {
		return program.BadConfig(ended.Process.Name, ended.Process.LogTail(), "")
	}
	return err
}

// table is what a newcomer wants to know: what runs, where, and a line to try.
func table(ctx context.Context, c *cluster.Cluster, samples []sample, took time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\nready in %.1f s\n\n", took.Seconds())
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	front, admin, consul := url(c.Front), url(c.Admin), url(c.ConsulAddr)
	fmt.Fprintln(w, "WHAT\tWHERE\tTRY")
	fmt.Fprintf(w, "load balancer%s\t%s\tcurl -i %s/zato/ping\n", haproxy(ctx, c), front, front)
	fmt.Fprintf(w, "is it alive?\t%s/zato-lb-alive\tcurl -i %s/zato-lb-alive\n", front, front)
	fmt.Fprintf(w, "its controller (pid %d)\t%s/status\tcurl -s %s/status\n", c.LB.PID(), admin, admin)
	fmt.Fprintf(w, "its metrics\t%s/metrics\tcurl -s %s/metrics\n", admin, admin)
	for i, server := range c.Servers {
		where := url(c.Config.Servers[i])
		fmt.Fprintf(w, "%s (pid %d)\t%s\tcurl -i %s/zato/ping\n", server.Name, server.PID(), where, where)
	}
	active, _, err := c.ActiveHost(ctx)
	for i, host := range c.Hosts {
		role := "standby"
		if err == nil && i == active {
			role = cluster.Active
		}
		fmt.Fprintf(w, "%s (pid %d), %s\t%s\t%s status --admin %s\n",
			host.Name, host.PID(), role, url(c.Config.Hosts[i]), filepath.Join(c.Bin, "connectorhost"), c.Config.Hosts[i])
	}
	for _, s := range samples {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.what, s.where, s.try)
	}
	fmt.Fprintf(w, "Consul (pid %d)\t%s/ui\tcurl -s %s/v1/health/service/zato-server\n", c.Consul.PID(), consul, consul)
	fmt.Fprintf(w, "logs\t%s\ttail -f %s/*.log\n", c.LogDir(), c.LogDir())
	_ = w.Flush() // into memory
	text.WriteString("\nCtrl-C stops everything.\n\n")
	return text.String()
}

// haproxy names the process that HAProxy is; without an answer of its controller, none.
func haproxy(ctx context.Context, c *cluster.Cluster) string {
	status, err := c.Status(ctx)
	if err != nil || status.HAProxy.Master == 0 {
		return ""
	}
	return fmt.Sprintf(", HAProxy (pid %d)", status.HAProxy.Master)
}

// url is how this machine reaches a listener.
func url(address string) string { return "http://" + string(program.HostPort(address).Local()) }

// watch tells of every program that ends, until ctx does.
func watch(ctx context.Context, c *cluster.Cluster) {
	ended := make(chan *cluster.Process)
	for _, p := range c.Processes() {
		go func() {
			select {
			case <-p.Done():
			case <-ctx.Done():
				return
			}
			select {
			case ended <- p:
			case <-ctx.Done():
			}
		}()
	}
	for {
		select {
		case p := <-ended:
			fmt.Printf("%s (pid %d) ended: %s. To start it again, in another terminal:\n    CONSUL_HTTP_ADDR=%s %s\n",
				p.Name, p.PID(), p.Ended(), c.ConsulAddr, p.Command())
		case <-ctx.Done():
			return
		}
	}
}

// stop ends the cluster after ctx has ended.
func (s *settings) stop(ctx context.Context, c *cluster.Cluster) error {
	fmt.Println("\nstopping ...")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	began := time.Now()
	if err := c.Stop(ctx); err != nil {
		return err
	}
	fmt.Printf("everything is stopped, after %.1f s\n", time.Since(began).Seconds())
	return nil
}
