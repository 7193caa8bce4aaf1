package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/lb/address"
)

// front is where HAProxy listens, by the same flag that its configuration was made with.
type front struct {
	Listen program.HostPort `default:"0.0.0.0:11223" help:"Address of the HTTP front."`
}

// monitor is the URL of HAProxy's monitor as it is reached from this machine.
func (f front) monitor() string {
	return "http://" + string(f.Listen.Local()) + haproxy.AliveURI
}

// trackCommand follows HAProxy for keepalived, as `lb track` does within a cluster.
type trackCommand struct {
	front
	TrackDir string `default:"/var/lib/zatoha-edge-track" placeholder:"FOLDER" help:"Folder for the file track, which keepalived follows."`
}

// Run ends with ctx. Who is cut off needs no other sign than within a cluster: it reaches no cluster either, and says
// 503.
func (t *trackCommand) Run(ctx context.Context, log zerolog.Logger) error {
	if folder, err := os.Stat(t.TrackDir); err != nil || !folder.IsDir() {
		return program.BadConfig("--track-dir", t.TrackDir+" is no folder", "create it, before keepalived starts")
	}
	files := address.Files{Dir: t.TrackDir}
	log.Info().Str("monitor", t.monitor()).Str("file", files.Value()).Msg("following haproxy for keepalived")
	return address.Track(ctx, address.NewMonitor(t.monitor()), &address.Outlook{}, files, log)
}

// probeCommand asks once.
type probeCommand struct{ front }

// Run fails if HAProxy does not answer; that no cluster takes requests is an answer.
func (p *probeCommand) Run(ctx context.Context) error {
	monitor := address.NewMonitor(p.monitor())
	defer monitor.Close()
	if answer, err := monitor.Ask(ctx); answer == address.Silent {
		return fmt.Errorf("haproxy does not answer: %w", err)
	}
	return nil
}
