package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/lb/address"
)

// trackCommand follows HAProxy for keepalived, as `lb track` does within a cluster.
type trackCommand struct {
	address.Fronts
	meeting
}

// meeting is where this machine and its keepalived meet.
type meeting struct {
	TrackDir string `default:"/var/lib/zatoha-edge-track" placeholder:"FOLDER" help:"Folder of the file track, which edge track writes and keepalived follows."`
}

func (m meeting) files() (address.Files, error) {
	if folder, err := os.Stat(m.TrackDir); err != nil || !folder.IsDir() {
		return address.Files{}, program.BadConfig("--track-dir", m.TrackDir+" is no folder", "create it, before keepalived starts")
	}
	return address.Files{Dir: m.TrackDir}, nil
}

// Run ends with ctx. Who is cut off needs no other sign than within a cluster: it reaches no cluster either, and says
// 503.
func (t *trackCommand) Run(ctx context.Context, log zerolog.Logger) error {
	files, err := t.files()
	if err != nil {
		return err
	}
	log.Info().Str("monitor", t.Monitor()).Str("file", files.Value()).Msg("following haproxy for keepalived")
	return address.Track(ctx, address.NewMonitor(t.Monitor()), &address.Outlook{}, files, log)
}

// probeCommand asks once.
type probeCommand struct{ address.Fronts }

// Run fails if HAProxy does not answer; that no cluster takes requests is an answer.
func (p *probeCommand) Run(ctx context.Context) error {
	monitor := address.NewMonitor(p.Monitor())
	defer monitor.Close()
	if answer, err := monitor.Ask(ctx); answer == address.Silent {
		return fmt.Errorf("haproxy does not answer: %w", err)
	}
	return nil
}
