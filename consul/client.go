// Package consul is the cluster's view of Consul, and the only package that imports Consul's API client: it follows a
// service's instances, keeps an instance registered, and reads, writes and follows keys.
//
// One case, from end to end. A server registers itself and stays registered until its context ends:
//
//	client, err := consul.New("") // CONSUL_HTTP_ADDR and the other CONSUL_* variables
//	go client.KeepRegistered(ctx, consul.Registration{
//		ID: "zato-server-1", Name: "zato-server", Address: "10.0.0.7", Port: 17010,
//		Check: &consul.HTTPCheck{URL: "http://10.0.0.7:17010/zato/ping", Interval: time.Second, Timeout: time.Second},
//	}, logTransition)
//
// A load balancer elsewhere follows the service:
//
//	client.WatchClosely(ctx, "zato-server", func(o consul.Observation) {
//		if o.Err != nil {
//			return // Consul cannot tell: keep what is there
//		}
//		reconcile(o.Snapshot.Instances)
//	})
//
// It observes first an empty [Snapshot], then one with zato-server-1 critical, then passing: always the whole state,
// never a difference, so a missed or merged change is harmless. Consul is then killed and comes back empty. The balancer
// observes errors while Consul is away, and keeps its pool. The server notices that the agent lost it, registers again
// within about a second of the agent's return, and the balancer's next snapshot has it again.
package consul

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// defaultTimeout bounds a call that does not block.
	defaultTimeout = 5 * time.Second
	// defaultWait is how long Consul may hold a blocking query when nothing changes.
	defaultWait = time.Minute
)

// ErrNoLeader says that Consul answers but that its servers have no leader: what is read may be out of date, and nothing
// can be written.
var ErrNoLeader = errors.New("the Consul servers have no leader")

// Client talks to one Consul agent. It is safe for concurrent use. It holds nothing that must be closed: a connection
// that is of no use any more ends by itself within five seconds.
type Client struct {
	address string
	api     *api.Client
	timeout time.Duration // of a call that does not block
	wait    time.Duration // of a blocking query
	given   bool          // a token was given
	token   *token        // that in a file, if it is in one
}

// New makes a client from the standard CONSUL_* environment variables. An address that is not empty stands in for
// CONSUL_HTTP_ADDR. Nothing is sent yet, so an agent that is down is no error here: see [Client.Ping].
func New(address string) (*Client, error) {
	config := api.DefaultNonPooledConfig()
	token, err := keepToken(config.TokenFile, nil)
	if err != nil {
		return nil, fmt.Errorf("consul token: %w; name a file that this user can read by %s", err, api.HTTPTokenFileEnvName)
	}
	return newClient(config, address, token)
}

// newClient makes a client from a configuration that has a transport of its own. token is that of the file that the
// configuration names, nil if it names none.
func newClient(config *api.Config, address string, token *token) (*Client, error) {
	if address != "" {
		config.Address = address
	}
	if err := checkAddress(config.Address); err != nil {
		return nil, fmt.Errorf("consul address: %w; set it, or %s, to "+
			"host:port, http://host:port, https://host:port or unix:///path", err, api.HTTPAddrEnvName)
	}
	shown := config.Address
	tune(config)
	httpClient, err := api.NewHttpClient(config.Transport, config.TLSConfig)
	if err != nil {
		return nil, fmt.Errorf("consul client for %s: %w; check the CONSUL_* environment variables", shown, err)
	}
	httpClient.Transport = bodyReader{newSplitTransport(config.Transport)}
	if token != nil { // the library would read it once
		httpClient.Transport = &bearer{httpClient.Transport, token}
	}
	config.HttpClient = httpClient
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("consul client for %s: %w; check the CONSUL_* environment variables", shown, err)
	}
	return &Client{
		address: shown, api: client, timeout: defaultTimeout, wait: defaultWait,
		given: config.Token != "" || token != nil, token: token,
	}, nil
}

// tune makes the transport one for an agent that is near, or that may vanish.
func tune(config *api.Config) {
	// A peer that vanished without closing is noticed in 25 s, well before the deadline of a blocking query.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	config.Transport.DialContext = dialer.DialContext
	// Between near ones, packing an answer takes longer than sending it as it is.
	config.Transport.DisableCompression = true
	config.Transport.ReadBufferSize = readSize // an answer of many instances in few reads
	if path, isSocket := strings.CutPrefix(config.Address, "unix://"); isSocket {
		config.Address = "localhost" // the library would replace the client by one of its own
		config.Transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
	}
}

// checkAddress refuses what the API client would accept now and fail on at every request.
func checkAddress(address string) error {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("%q is no absolute socket path", address)
		}
		return nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	parsed, err := url.Parse(address)
	if err != nil {
		return err
	}
	switch {
	case parsed.User != nil:
		return fmt.Errorf("%q carries credentials, which belong in %s", parsed.Redacted(), api.HTTPAuthEnvName)
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Errorf("%q has the unknown scheme %q", address, parsed.Scheme)
	case parsed.Hostname() == "":
		return fmt.Errorf("%q names no host", address)
	}
	if port := parsed.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q has the port %s, which is not in 1 to 65535", address, port)
		}
	}
	return nil
}

// Address is where the client looks for the agent, as it was configured.
func (c *Client) Address() string { return c.address }

// Ping returns nil when the agent answers and knows a leader, [ErrNoLeader] when it answers without one, and otherwise
// why it cannot be reached.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	leader, err := c.api.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
	if err == nil && leader == "" {
		err = ErrNoLeader
	}
	return c.explain("ask for the leader", err)
}

// explain wraps err, if there is one, with what was being done, at which agent, and what an operator can do about it.
func (c *Client) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	// A url.Error repeats the whole URL, index and all: noise to a reader, and a different text each time.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return fmt.Errorf("consul at %s: %s: %w (%s)", c.address, doing, err, c.remedy(err))
}

// remedy is what an operator can do about an error.
func (c *Client) remedy(err error) string {
	answer, answered := errors.AsType[api.StatusError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, ErrNoLeader), strings.Contains(answer.Body, "No cluster leader"):
		return "see `consul operator raft list-peers`"
	case strings.Contains(answer.Body, "ACL system must be bootstrapped"):
		return "a Consul server that was just started knows no token until there is a leader; if there is one, run deploy/consul with --acl"
	case strings.Contains(answer.Body, "ACL not found"):
		return "this Consul does not know the token: make it anew, and give it by " + api.HTTPTokenFileEnvName
	case answer.Code == http.StatusForbidden, errors.Is(err, errHidden):
		if !c.given {
			return "no token was given: give one that may do this, by " + api.HTTPTokenEnvName + " or " + api.HTTPTokenFileEnvName
		}
		return "give the token's policy this right, or give another by " + api.HTTPTokenFileEnvName +
			"; deploy/consul has the policies of each program"
	case strings.Contains(answer.Body, "HTTP request to an HTTPS server"):
		return "give the address with https://"
	case answered:
		return "see the agent's log"
	case untrusted:
		return "give the certificate of its authority by " + api.HTTPCAFile
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "give the address without https://"
	}
	return "check that a Consul agent answers there, or set " + api.HTTPAddrEnvName
}

// statusCode is the HTTP status of an error that Consul answered with, 0 when it did not answer.
func statusCode(err error) int {
	answer, _ := errors.AsType[api.StatusError](err)
	return answer.Code
}

// queryOptions prepares a query that blocks until the state has passed index, or differs from hash, or c.wait is over;
// with neither it is answered at once. The deadline leaves Consul its own jitter of a sixteenth of the wait, and the
// seven seconds for which it holds any query while its servers have no leader, so that its own error is what we get.
func (c *Client) queryOptions(ctx context.Context, index uint64, hash string) (*api.QueryOptions, context.CancelFunc) {
	deadline := 2 * c.timeout
	if index != 0 || hash != "" {
		deadline += c.wait + c.wait/16
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	options := api.QueryOptions{WaitIndex: index, WaitHash: hash, WaitTime: c.wait}
	return options.WithContext(ctx), cancel
}
