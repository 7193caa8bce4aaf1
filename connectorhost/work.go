package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/invoke"
	"zatoha/connectorhost/supervise"
)

// shared is what every child has to know besides its definition.
type shared struct {
	InvokeURL string        `json:"invoke_url"`
	Token     string        `json:"token,omitempty"` // the text of a connector.Secret
	Timeout   time.Duration `json:"timeout"`         // of a call of a service
	Drain     time.Duration `json:"drain"`           // longest time to finish what is in hand
}

// calls says how a channel calls its service.
func (s shared) calls(d *connector.Definition, epoch uint64) invoke.Config {
	return invoke.Config{
		LB: s.InvokeURL, Connector: d.Name, Service: d.Service, MediaType: d.MediaType(),
		Epoch: func() uint64 { return epoch }, Token: connector.NewSecret(s.Token), Timeout: s.Timeout,
	}
}

// workConnector serves one connector of any kind that keeps the contract of the package connector: it connects, says that
// it is prepared, and receives, or sends, from when it is told to go until it is told to drain.
func workConnector(ctx context.Context, job *supervise.Job, log zerolog.Logger) error {
	var common shared
	if err := json.Unmarshal(job.Shared, &common); err != nil {
		return supervise.Permanent(fmt.Errorf("what all children share: %w", err))
	}
	d, err := connector.Decode(job.Definition.JSON)
	if err != nil {
		return supervise.Permanent(err)
	}
	told := &reporter{job: job, log: log}
	options := connector.Options{
		Report: told.status, Begin: job.Going(), Drain: common.Drain, Log: slog.New(zerolog.NewSlogHandler(log)),
	}
	ctx, stop := context.WithCancel(ctx)
	var listening sync.WaitGroup
	if d.Role == connector.Outgoing {
		listening.Go(func() { told.await(ctx) })
	}
	listening.Go(func() {
		select {
		case <-job.Draining():
			stop()
		case <-ctx.Done():
		}
	})
	if d.Role == connector.Channel {
		err = runChannel(ctx, job, d, common, options)
	} else {
		err = runOutgoing(ctx, job, d, options)
	}
	stop()
	listening.Wait()
	switch {
	case errors.Is(err, connector.ErrDefinition):
		return supervise.Permanent(err)
	case errors.Is(err, connector.ErrFenced) && !errors.Is(err, errLapsed):
		return supervise.ByFence(err)
	}
	return err
}

// errLapsed says that nobody was asked: this process ends in any case, unless the lease is extended this very moment.
var errLapsed = errors.New("the lease of this host has ended")

// runChannel has each message call its service, as long as the lease holds.
func runChannel(ctx context.Context, job *supervise.Job, d *connector.Definition, common shared, options connector.Options) error {
	client, err := invoke.New(common.calls(d, job.Epoch))
	if err != nil {
		return err
	}
	defer client.Close()
	return connector.Run(ctx, d, connector.InvokerFunc(func(ctx context.Context, message connector.Message) error {
		if !job.Valid() {
			return fmt.Errorf("call service %s: %w: %w", d.Service, connector.ErrFenced, errLapsed)
		}
		return client.Invoke(ctx, message)
	}), options)
}

// runOutgoing keeps the connector connected, and sends what the host hands it.
func runOutgoing(ctx context.Context, job *supervise.Job, d *connector.Definition, options connector.Options) error {
	sender, err := connector.NewSender(d, options)
	if err != nil {
		return err
	}
	return serveSends(ctx, job, sender)
}

// reporter tells the parent what a connector does, in the parent's words.
type reporter struct {
	job *supervise.Job
	log zerolog.Logger

	mu    sync.Mutex
	last  connector.Status
	going bool
}

// status takes what the connector reports.
func (r *reporter) status(s connector.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = s
	r.tell()
}

// await tells the parent once more when the connector has been told to go: what sends does nothing else then.
func (r *reporter) await(ctx context.Context) {
	select {
	case <-r.job.Going():
	case <-ctx.Done():
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.going = true
	r.tell()
}

func (r *reporter) tell() {
	report, ok := translate(r.last, r.going)
	if !ok {
		return
	}
	if err := r.job.Report(report); err != nil {
		r.log.Warn().Err(err).Msg("the connector host was not told")
	}
}

// translate makes a report of a status. What ends the connector is not reported here, but with its end.
func translate(s connector.Status, going bool) (report supervise.Report, ok bool) {
	report.Why = s.Reason
	switch s.State {
	case connector.Connecting, connector.BackingOff:
		report.State = supervise.Connecting
	case connector.Waiting:
		report.State, report.Why = supervise.Connecting, "waiting: "+s.Reason
	case connector.Prepared:
		report.State = supervise.Prepared
	case connector.Running, connector.Blocked, connector.Draining, connector.Stopped:
		report.State = supervise.Running
		if !going && s.Role == connector.Outgoing { // it is connected, and nobody sends by it yet
			report.State = supervise.Prepared
		}
	default:
		return report, false
	}
	report.Counters = map[string]int64{}
	if text, err := json.Marshal(s.Counts); err == nil {
		_ = json.Unmarshal(text, &report.Counters) // they are numbers all
	}
	report.Info = map[string]string{
		"role": string(s.Role), "doing": string(s.State), "guarantee": string(s.Capabilities.Guarantee), "in_flight": strconv.Itoa(s.InFlight),
	}
	if !s.LastMessage.IsZero() {
		report.Info["last_message"] = s.LastMessage.Format(time.RFC3339Nano)
	}
	return report, true
}
