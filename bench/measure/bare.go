package measure

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// bare is a client of Consul that repeats one blocking query, of the balanced service, and does nothing with the answers.
// It shows what of a change's time is Consul's, and the machine's, before anybody has understood what changed.
type bare struct {
	answered chan time.Time // of the first answer since it was emptied
	ended    chan struct{}
	err      error // why it ended; read it when ended is closed
}

// watchBare starts one, which ends with ctx.
func (l *lab) watchBare(ctx context.Context) *bare {
	b := &bare{answered: make(chan time.Time, 1), ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		index := "0"
		for b.err == nil {
			if index, b.err = l.ask(ctx, index); b.err == nil {
				select {
				case b.answered <- time.Now():
				default:
				}
			}
		}
	}()
	return b
}

// ask makes the query, reads the whole answer, and returns its index.
func (l *lab) ask(ctx context.Context, index string) (newIndex string, err error) {
	query := url.Values{"passing": {"1"}, "wait": {"60s"}, "index": {index}}
	address := "http://" + l.ConsulAddr + "/v1/health/service/" + service + "?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", address, response.Status)
	}
	return response.Header.Get("X-Consul-Index"), nil
}

// await returns when the next answer came.
func (b *bare) await(ctx context.Context) (at time.Time, err error) {
	select {
	case at := <-b.answered:
		return at, nil
	case <-b.ended:
		return at, fmt.Errorf("a bare blocking query: %w", b.err)
	case <-time.After(bound):
		return at, fmt.Errorf("a bare blocking query was not answered within %s", bound)
	case <-ctx.Done():
		return at, ctx.Err()
	}
}

// time adds how long a change takes until it is answered.
func (b *bare) time(ctx context.Context, sample *Sample, change func() error) error {
	select {
	case <-b.answered:
	default:
	}
	began := time.Now()
	if err := change(); err != nil {
		return err
	}
	at, err := b.await(ctx)
	if err != nil {
		return err
	}
	sample.add(at.Sub(began))
	return wait(ctx, quiet)
}

// bare registers newcomers and deregisters them, and adds when a bare blocking query was answered.
func (n *newcomers) bare(ctx context.Context, l *lab, trials int, times *propagationTimes) error {
	ctx, stop := context.WithCancel(ctx)
	watch := l.watchBare(ctx)
	defer func() {
		stop()
		<-watch.ended
	}()
	if _, err := watch.await(ctx); err != nil { // the first answer comes at once
		return err
	}
	for range trials {
		err := n.each(func(s *subject) error {
			r := member(s.id, s.server)
			if err := watch.time(ctx, &times.bareUp, func() error { return l.Register(ctx, r) }); err != nil {
				return err
			}
			return watch.time(ctx, &times.bareDown, func() error { return l.Deregister(ctx, r.ID) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}
