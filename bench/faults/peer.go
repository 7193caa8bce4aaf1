package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zatoha/deploy/cluster"
)

// PeerName is what the peer is made of.
const PeerName = "consul-template + HAProxy"

// peerTemplate is what people write from consul-template's README: the servers that pass their checks in Consul, with
// `check` and nothing else. The runtime socket is there for us to see who takes traffic.
const peerTemplate = `global
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
    balance roundrobin{{range service "` + service + `"}}
    server {{.ID}} {{.Address}}:{{.Port}} check{{end}}
`

// peer is consul-template, which follows the cluster's Consul, writes haproxy.cfg and reloads an HAProxy of its own.
// It has the same servers behind it as ours.
type peer struct {
	front, socket string
	haproxy       *cluster.Process
	template      *cluster.Process
}

// startPeer starts a peer beside the stage's cluster and waits until it is whole. The peer is never nil.
func startPeer(ctx context.Context, s *stage, consulTemplate string) (*peer, error) {
	dir := filepath.Join(s.dir, "peer")
	p := &peer{socket: filepath.Join(dir, "socket")}
	free, err := cluster.FreeConfig(0)
	if err != nil {
		return p, err
	}
	p.front = free.Front
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, err
	}
	in, out := filepath.Join(dir, "haproxy.ctmpl"), filepath.Join(dir, "haproxy.cfg")
	text := strings.NewReplacer("SOCKET", p.socket, "FRONT", p.front).Replace(peerTemplate)
	if err := os.WriteFile(in, []byte(text), 0o644); err != nil {
		return p, err
	}
	follow := []string{"-consul-addr=" + s.ConsulAddr, "-template"}
	if err := runOnce(ctx, s, consulTemplate, append(follow, in+":"+out, "-once")); err != nil {
		return p, err
	}
	if p.haproxy, err = s.Launch("peer-haproxy", s.HAProxyBin, "-W", "-f", out); err != nil {
		return p, err
	}
	reload := fmt.Sprintf("%s:%s:kill -USR2 %d", in, out, p.haproxy.PID())
	if p.template, err = s.Launch("consul-template", consulTemplate, append(follow, reload)...); err != nil {
		return p, err
	}
	return p, await(ctx, p, isWhole)
}

// runOnce writes the first haproxy.cfg.
func runOnce(ctx context.Context, s *stage, consulTemplate string, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	once, err := s.Launch("consul-template-once", consulTemplate, args...)
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

func (p *peer) address() string { return p.front }

// stop ends what was started.
func (p *peer) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	if p.template != nil {
		p.template.Kill() // first, so that nobody reloads what is being stopped; it has no state
	}
	if p.haproxy != nil {
		return p.haproxy.Stop(ctx)
	}
	return nil
}

// Status tells who takes traffic.
func (p *peer) Status(ctx context.Context) (cluster.Status, error) {
	stats, err := cluster.AskHAProxy(ctx, p.socket, "show stat back 4 -1") // 4: its servers
	if err != nil {
		return cluster.Status{}, err
	}
	return peerStatus(stats)
}

func peerStatus(stats string) (status cluster.Status, err error) {
	status.Consul.Reachable = true // it does not say
	rows, err := statColumns(stats, "svname", "status")
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

// peerPoll is how often a peer is asked.
const peerPoll = 20 * time.Millisecond

// Await asks until the status is as wanted, one of the two programs ends, or ctx does.
func (p *peer) Await(ctx context.Context, wanted func(cluster.Status) bool) error {
	ticker := time.NewTicker(peerPoll)
	defer ticker.Stop()
	for {
		status, err := p.Status(ctx)
		if err == nil && wanted(status) {
			return nil
		}
		select {
		case <-p.haproxy.Done():
			return &cluster.EndedError{Process: p.haproxy}
		case <-p.template.Done():
			return &cluster.EndedError{Process: p.template}
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not as wanted: %+v", PeerName, status.Slots), err)
		case <-ticker.C:
		}
	}
}
