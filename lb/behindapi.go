package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/remote"
	"zatoha/lb/admin"
)

// behindAPI is an HAProxy that somebody else runs, behind a Data Plane API.
type behindAPI struct {
	*remote.DataPlane
	api      url.URL
	at       about
	stateDir string
	changed  func()
	log      zerolog.Logger
}

func newBehindAPI(flags dataPlaneFlags, stateDir string, options haproxy.Options, log zerolog.Logger, changed func()) (*behindAPI, error) {
	if certificate := options.TLS.Certificate; certificate != "" && !filepath.IsAbs(certificate) {
		return nil, program.BadConfig("--tls-cert", certificate+" is not an absolute path", "give the path that it has on HAProxy's machine")
	}
	config, err := flags.config(program.Renewed(log, "the password of the Data Plane API"))
	if err != nil {
		return nil, err
	}
	api := flags.api()
	memory := filepath.Join(stateDir, "dataplane-"+url.PathEscape(api.Host+strings.TrimSuffix(api.Path, "/")))
	plane, err := remote.New(config, options, memory)
	if err != nil {
		return nil, program.BadConfig("--dataplane-url", err.Error(), "")
	}
	at, err := aboutAPI(api)
	if err != nil {
		return nil, err
	}
	return &behindAPI{DataPlane: plane, api: api, at: at, stateDir: stateDir, changed: changed, log: log}, nil
}

// claim takes the directory with what a rollback needs. That another controller drives the same API from another
// machine cannot be seen from here.
func (b *behindAPI) claim(context.Context) (unlock func(), err error) { return claimDir(b.stateDir) }

func (b *behindAPI) running(ctx context.Context) bool { return b.Answers(ctx) == nil }

// answerInterval is how often the API is asked whether HAProxy is there.
const answerInterval = time.Second

// run tells the log, which the supervisor of a local HAProxy does, when HAProxy comes and goes.
func (b *behindAPI) run(ctx context.Context, _ func(haproxy.Event)) error {
	if b.api.Scheme == "http" && !program.OnLoopback(b.api.Hostname()) {
		b.log.Warn().Str("data_plane", b.place()).Msg("the password travels unencrypted; give the Data Plane API a certificate, and an https URL here")
	}
	ticker := time.NewTicker(answerInterval)
	defer ticker.Stop()
	last := ""
	for {
		err := b.Answers(ctx)
		if ctx.Err() != nil {
			break
		}
		if now := b.state(err); now != last {
			last = now
			b.log.WithLevel(level(err)).Err(err).Str("data_plane", b.place()).Msg(now)
			b.changed()
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	b.log.Info().Str("data_plane", b.place()).Msg("the controller ends, haproxy goes on serving")
	return nil
}

// state is what a question to the API has shown.
func (b *behindAPI) state(err error) string {
	switch {
	case err == nil:
		return "haproxy answers through the Data Plane API"
	case errors.Is(err, remote.ErrNotRunning):
		return "haproxy is not running; who runs it must start it"
	default:
		return "the Data Plane API does not answer: haproxy stays as it is"
	}
}

func level(err error) zerolog.Level {
	if err != nil {
		return zerolog.WarnLevel
	}
	return zerolog.InfoLevel
}

// How long the statistics may take, which are slow with thousands of servers, and then the question to an API whether
// HAProxy is there at all: together less than the status page has.
const (
	statsTimeout  = 1800 * time.Millisecond
	answerTimeout = 700 * time.Millisecond
)

// Look asks the API for HAProxy's counters: an HAProxy that gives them runs. One that does not may only be slow to, and
// is asked for less.
func (b *behindAPI) Look(ctx context.Context) admin.Seen {
	counting, cancel := context.WithTimeout(ctx, statsTimeout)
	stats, err := b.Stats(counting)
	cancel()
	answers := err
	if errors.Is(err, context.DeadlineExceeded) {
		asking, cancel := context.WithTimeout(ctx, answerTimeout)
		answers = b.Answers(asking)
		cancel()
	}
	return admin.Seen{
		DataPlane: admin.DataPlane{
			Kind: admin.Remote, Address: b.place(), Reachable: answers == nil || errors.Is(answers, remote.ErrNotRunning),
		},
		Running: answers == nil, Stats: stats, Err: err, RolledBack: b.Placed().RolledBack,
	}
}

func (b *behindAPI) place() string { return b.at.place }

func (b *behindAPI) about() about { return b.at }

// aboutAPI takes an API that is asked on this machine for one of this machine, as each may have one at the same URL.
func aboutAPI(api url.URL) (about, error) {
	host := api.Hostname()
	if !program.OnLoopback(host) {
		return about{place: api.String(), machine: host, host: host, address: host}, nil
	}
	machine, err := hostname()
	return about{place: api.String(), machine: machine, host: host}, err
}

// refusal leaves an API that does not answer, or cannot, a failure: it may answer when the program is started again.
func (b *behindAPI) refusal(err error) error {
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return program.BadConfig("--dataplane-ca", err.Error(), "")
	}
	if answer, failed := errors.AsType[*remote.Error](err); failed && answer.Status/100 != 4 && answer.Status/100 != 3 || errors.Is(err, context.Canceled) {
		return err
	}
	return program.BadConfig("--dataplane-url", err.Error(), "")
}
