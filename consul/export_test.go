package consul

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
)

// NewWithToken makes a client that shows a token.
func NewWithToken(address, token string) (*Client, error) {
	client, err := New(address)
	if err == nil {
		client.api.SetHeaders(http.Header{"X-Consul-Token": {token}})
	}
	return client, err
}

// SetWait says how long Consul may hold a query when nothing changes.
func (c *Client) SetWait(wait time.Duration) { c.wait = wait }

// NewMortal makes a client whose calls, also those under way, get no answer any more once it was killed.
func NewMortal(address string) (client *Client, kill func(), err error) {
	life, kill := context.WithCancel(context.Background())
	if client, err = New(address); err != nil {
		return nil, kill, err
	}
	config := api.DefaultNonPooledConfig()
	config.Address = address
	config.HttpClient = &http.Client{Transport: mortal{config.Transport, life}}
	client.api, err = api.NewClient(config)
	return client, kill, err
}

type mortal struct {
	http.RoundTripper
	life context.Context
}

func (m mortal) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(request.Context())
	stop := context.AfterFunc(m.life, cancel)
	defer stop()
	if m.life.Err() != nil {
		cancel()
		return nil, errors.New("killed")
	}
	response, err := m.RoundTripper.RoundTrip(request.WithContext(ctx))
	if err != nil {
		cancel()
	}
	return response, err
}

// Newcomers asks for the instances that have none of some IDs, on this node.
func (c *Client) Newcomers(ctx context.Context, service string, known []string) (ids []string, err error) {
	whole, err := c.snapshot(ctx, service, question{}, new(entries))
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(whole.Instances, func(i Instance) bool { return !slices.Contains(known, i.ID) })
	early, err := c.snapshot(ctx, service, question{filter: notPassing(all)}, new(entries))
	for _, i := range early.Instances {
		ids = append(ids, i.ID)
	}
	return ids, err
}
