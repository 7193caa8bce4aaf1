package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"zatoha/deploy/cluster"
)

// ConsulTemplateName is what [ConsulTemplate] is called in reports.
const ConsulTemplateName = "consul-template + HAProxy"

// template is what people write from consul-template's README: the servers that pass their checks in Consul, with
// `check` and nothing else. The runtime socket is there for us to see who takes traffic.
const template = `global
    stats socket SOCKET mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 30s
frontend front
    bind FRONT
    default_backend back
backend back
    balance roundrobin{{range service "zato-server"}}
    server {{.ID}} {{.Address}}:{{.Port}} check{{end}}
`

// ConsulTemplate is a running consul-template, which follows Consul, writes haproxy.cfg and reloads an HAProxy of its
// own.
type ConsulTemplate struct {
	front, socket     string
	haproxy, template *cluster.Process // nil before each has been started
}

// StartConsulTemplate starts the consul-template at a path, and an HAProxy of the build that the cluster has, beside a
// cluster, at most until ctx ends. Who takes traffic is to be awaited. Whoever starts it stops it.
func StartConsulTemplate(ctx context.Context, c *cluster.Cluster, binary string) (*ConsulTemplate, error) {
	dir := filepath.Join(c.Dir, "peer")
	p := &ConsulTemplate{socket: filepath.Join(dir, "socket")}
	if err := p.start(ctx, c, binary, dir); err != nil {
		return nil, errors.Join(err, p.Stop(ctx))
	}
	return p, nil
}

func (p *ConsulTemplate) start(ctx context.Context, c *cluster.Cluster, binary, dir string) error {
	free, err := cluster.FreeConfig(0)
	if err != nil {
		return err
	}
	p.front = free.Front
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	in, out := filepath.Join(dir, "haproxy.ctmpl"), filepath.Join(dir, "haproxy.cfg")
	text := strings.NewReplacer("SOCKET", p.socket, "FRONT", p.front).Replace(template)
	if err := os.WriteFile(in, []byte(text), 0o644); err != nil {
		return err
	}
	follow := []string{"-consul-addr=" + c.ConsulAddr, "-template"}
	if err := runOnce(ctx, c, binary, append(follow, in+":"+out, "-once")); err != nil {
		return err
	}
	if p.haproxy, err = c.Launch("peer-haproxy", c.HAProxyBin, "-W", "-f", out); err != nil {
		return err
	}
	reload := fmt.Sprintf("%s:%s:kill -USR2 %d", in, out, p.haproxy.PID())
	p.template, err = c.Launch("consul-template", binary, append(follow, reload)...)
	return err
}

// runOnce writes the first haproxy.cfg.
func runOnce(ctx context.Context, c *cluster.Cluster, binary string, args []string) error {
	once, err := c.Launch("consul-template-once", binary, args...)
	if err != nil {
		return err
	}
	select {
	case <-once.Done():
	case <-ctx.Done():
		once.Kill()
	}
	if once.Status() != 0 {
		return fmt.Errorf("consul-template -once ended with %s: %s", once.Ended(), once.LogTail())
	}
	return nil
}

// Address is where its HAProxy takes requests.
func (p *ConsulTemplate) Address() string { return p.front }

// Stop ends what was started, in bounded time: what has not ended when ctx does is killed.
func (p *ConsulTemplate) Stop(ctx context.Context) error {
	if p.template != nil {
		p.template.Kill() // first, so that nobody reloads what is being stopped; it has no state
	}
	if p.haproxy != nil {
		return p.haproxy.Stop(ctx)
	}
	return nil
}

// Await asks until the status is as wanted, one of the two programs ends, or ctx does.
func (p *ConsulTemplate) Await(ctx context.Context, wanted func(cluster.Status) bool) error {
	return await(ctx, p, []*cluster.Process{p.haproxy, p.template}, wanted)
}

// Status tells who takes traffic, by the word of its HAProxy.
func (p *ConsulTemplate) Status(ctx context.Context) (cluster.Status, error) {
	stats, err := cluster.AskHAProxy(ctx, p.socket, "show stat back 4 -1") // 4: its servers
	if err != nil {
		return cluster.Status{}, err
	}
	return haproxyStatus(stats)
}

func haproxyStatus(stats string) (status cluster.Status, err error) {
	status.Consul.Reachable = true // it does not say
	rows, err := cluster.StatColumns(stats, "svname", "status")
	if err != nil {
		return status, err
	}
	for _, row := range rows {
		status.Slots = append(status.Slots, cluster.Slot{Slot: row[0], Instance: row[0], Status: row[1]})
		if strings.HasPrefix(row[1], "UP") {
			status.Rotation = append(status.Rotation, row[0])
		}
	}
	return status, nil
}
