package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"zatoha/consul"
)

// inherit learns which messages the active host sends, whichever host that is, until ctx ends; see heirs.
func (o *outgoing) inherit(ctx context.Context) {
	var followed consul.Holder
	stop := func() {}
	var following sync.WaitGroup
	for ctx.Err() == nil {
		var holder consul.Holder
		changed := o.host.view(func() {
			if status := o.host.lease.Status; status.Held && status.Holder.Host != o.host.ID {
				holder = status.Holder
			}
		})
		if holder.Host != followed.Host || holder.Epoch != followed.Epoch {
			stop()
			following.Wait()
			followed = holder
			if holder.Host != "" {
				only, cancel := context.WithCancel(ctx)
				stop = cancel
				following.Go(func() { o.learn(only, holder) })
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	stop()
	following.Wait()
}

const (
	inheritPause    = 500 * time.Millisecond // behind a question that failed
	inheritFailures = 4                      // in a row, that are worth a word: of a host that has died, others learn from Consul sooner
	inheritAnswer   = 16 << 20               // bytes, at most
)

// learn follows one host for as long as it holds the lease.
func (o *outgoing) learn(ctx context.Context, from consul.Holder) {
	client := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 2 * heirWait}}
	defer client.CloseIdleConnections()
	log := o.host.log.With().Str("host", from.Host).Str("address", from.Address).Logger()
	var told sentMessages
	failures := 0
	for {
		err := o.ask(ctx, client, from.Address, &told)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if failures >= inheritFailures {
				log.Info().Msg("the active host says again which messages it has sent")
			}
			failures = 0
			continue
		}
		if failures++; failures == inheritFailures {
			log.Warn().Err(err).Msg("the active host does not say which messages it has sent: one that is posted again behind a takeover may be sent twice")
		}
		select {
		case <-time.After(inheritPause):
		case <-ctx.Done():
			return
		}
	}
}

// ask asks for what was sent behind what is told already, and learns it.
func (o *outgoing) ask(ctx context.Context, client *http.Client, address string, told *sentMessages) error {
	ctx, cancel := context.WithTimeout(ctx, 2*heirWait)
	defer cancel()
	query := url.Values{"host": {o.host.ID}, "run": {told.Run}, "after": {strconv.FormatUint(told.Last, 10)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/outgoing?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	if o.token != nil {
		request.Header.Set("Authorization", "Bearer "+o.token.Shown())
	}
	response, err := client.Do(request)
	if err != nil {
		return errors.Unwrap(err) // the URL says nothing that is not in the log line
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, inheritAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s: %s", response.Status, shortened(string(text)))
	}
	var now sentMessages
	if err := json.Unmarshal(text, &now); err != nil {
		return fmt.Errorf("its answer is none of a connector host: %w", err)
	}
	for _, m := range now.Sent {
		if o.window.learn(windowKey(m.Connector, m.ID), time.Now().Add(-time.Duration(m.Age)*time.Millisecond)) {
			o.learned.Inc()
		}
	}
	told.Run, told.Last = now.Run, now.Last
	return nil
}
