// Package invoke calls services for channels, over HTTP, through the load balancer.
//
// One case, walked through. The channel "orders" of the host with epoch 7 has received message 4711 for the service
// order.new. [Client.Invoke] posts its body to http://lb:11223/zato/invoke/order.new with
//
//	X-Zato-Connector: orders          Content-Type: application/json
//	X-Zato-Connector-Epoch: 7         Authorization: Bearer <the shared token>
//	X-Zato-Message-ID: 4711
//
// and X-Zato-Redelivered: true if it may have come before: the broker delivered it again, or this is another attempt.
// What else its kind knows of it, such as routing_key and reply_to, is in X-Zato-Properties, a JSON object of texts in
// ASCII; of more than 4 KiB the longest are left out, and named by the property "omitted". The load balancer goes to
// another server where one cannot be reached, but there is no Idempotency-Key, which would let it repeat the request when
// a server dies under it: that one might run the service a second time, unmarked. Here it is the connector that repeats
// it. The answer is 200, and Invoke returns nil.
//
// Any other end chooses what becomes of the message, by the connector's errors:
//
//	2xx                      success
//	409 for a stale epoch    [connector.ErrFenced]: a server knows of a later holder of the lease; the connector stops.
//	                         It is one if the answer names a higher epoch in X-Zato-Connector-Epoch, or has the details
//	                         that servers give. Any other 409 is the service's own.
//	413, 414, 415, 431       [connector.ErrUnfit]: no repetition can help; parked at once
//	407, and 401, 403 that   [connector.ErrUnavailable]: the token is wrong, or somebody between us and the servers says no,
//	no service gave          which is not the message's fault; tried for ever. A service's answer has a CID, and no challenge
//	                         for a Bearer; it counts
//	408, 425, 429, 503       [connector.ErrUnavailable]: now is not the time, or nobody is there; tried for ever. So is what
//	                         fails before the request is sent: no connection
//	502, and an answer that  [connector.ErrInterrupted] if at that moment the load balancer says, at /zato-lb-alive, that it
//	breaks off, or is none   has a server that can take traffic: the one that had the message has died, be it of the message.
//	                         Else [connector.ErrUnavailable]
//	3xx                      [connector.ErrUnavailable]: whoever answers is not our load balancer
//	504, and no answer       a failed attempt if at that moment the load balancer says, at /zato-lb-alive, that it has a
//	within the time-out      server that can take traffic: then the service is too slow for this message, and would be
//	                         the next time. Else [connector.ErrUnavailable]
//	404 from the server      [connector.ErrUnavailable]: there is no such service, or servers take no invocations there.
//	itself                   The definition is wrong, or a server older than it; were it the message's fault, a slip of the
//	                         pen would park the whole queue. It is known by the details that servers give
//	other 4xx, 5xx           a failed attempt, which counts: the service is at fault, or the message
//
// So a service tier that is away or set up wrongly, however long, parks nothing, while a message that its service does
// not take is parked after max_attempts, and one that kills its servers after some more.
package invoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"zatoha/connectorhost/connector"
)

// The headers of the invocation.
const (
	headerConnector   = "X-Zato-Connector"
	headerEpoch       = "X-Zato-Connector-Epoch"
	headerMessageID   = "X-Zato-Message-ID"
	headerRedelivered = "X-Zato-Redelivered"
	headerProperties  = "X-Zato-Properties"

	headerCID = "X-Zato-CID" // servers set it, whatever they answer
)

// Config says whom a client calls, as whom.
type Config struct {
	LB        string           // address of the load balancer's front: "http://127.0.0.1:11223"
	Connector string           // name of the channel
	Service   string           // to be called
	MediaType string           // of messages that come without
	Epoch     func() uint64    // of the lease under which we run; asked at each call
	Token     connector.Secret // the servers' shared token; none if zero
	Timeout   time.Duration    // of a call; 0 stands for defaultTimeout
}

// defaultTimeout is above the load balancer's, so that it answers before we give up.
const defaultTimeout = 60 * time.Second

const (
	maxAnswer   = 64 << 10 // bytes of an answer that are read; an error's details are at its beginning
	connectTime = 5 * time.Second
	aliveTime   = time.Second
	idleTime    = 30 * time.Second // below the load balancer's own, so that we close first
	maxIdle     = 256
)

// Client calls one service for one channel. It is safe for concurrent use. Close it at the end.
type Client struct {
	config        Config
	target, alive string
	http          *http.Client
	transport     *http.Transport

	token struct {
		sync.Mutex
		header string
		until  time.Time
	}
}

// New checks the configuration; its error is a [connector.ErrDefinition].
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.LB)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("address of the load balancer %q: %w: use http://HOST:PORT", config.LB, connector.ErrDefinition)
	}
	if config.Timeout <= 0 {
		config.Timeout = defaultTimeout
	}
	if config.Epoch == nil {
		return nil, fmt.Errorf("invoke by connector %q: %w: there is no epoch", config.Connector, connector.ErrDefinition)
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTime}).DialContext,
		TLSHandshakeTimeout: connectTime,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTime,
		DisableCompression:  true,
	}
	return &Client{
		config: config, target: base.JoinPath("zato", "invoke", config.Service).String(), alive: base.JoinPath("zato-lb-alive").String(),
		transport: transport,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close closes the idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Invoke calls the service with a message, however large: its kind and the servers have their limits. See the package for
// its errors.
func (c *Client) Invoke(ctx context.Context, message connector.Message) error {
	timed, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	request, err := c.request(timed, message)
	if err != nil {
		return err
	}
	var sent atomic.Bool
	request = request.WithContext(httptrace.WithClientTrace(timed, &httptrace.ClientTrace{
		WroteRequest: func(wrote httptrace.WroteRequestInfo) { sent.Store(wrote.Err == nil) },
	}))
	status, header, answer, err := c.do(request)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("call service %s: %w: %w", c.config.Service, connector.ErrUnavailable, ctx.Err())
	case err != nil && timed.Err() != nil:
		return c.tooSlow(ctx, fmt.Sprintf("no answer within %v", c.config.Timeout))
	case err != nil && sent.Load():
		return c.interrupted(ctx, err.Error())
	case err != nil:
		return fmt.Errorf("call service %s: %w: %w", c.config.Service, connector.ErrUnavailable, err)
	case status == http.StatusBadGateway:
		return c.interrupted(ctx, describe(status, answer))
	case status == http.StatusGatewayTimeout:
		return c.tooSlow(ctx, describe(status, answer))
	}
	return c.judge(status, header, answer)
}

func (c *Client) request(ctx context.Context, m connector.Message) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.target, bytes.NewReader(m.Body))
	if err != nil {
		return nil, fmt.Errorf("call service %s: %w: %w", c.config.Service, connector.ErrDefinition, err)
	}
	mediaType := m.ContentType
	if mediaType == "" || !printable(mediaType) {
		mediaType = c.config.MediaType
	}
	h := request.Header
	h.Set("Content-Type", mediaType)
	h.Set(headerConnector, c.config.Connector)
	h.Set(headerEpoch, strconv.FormatUint(c.config.Epoch(), 10))
	h.Set(headerMessageID, headerValue(m.ID))
	if m.Redelivered {
		h.Set(headerRedelivered, "true")
	}
	if len(m.Properties) > 0 {
		h.Set(headerProperties, propertiesValue(m.Properties))
	}
	if !c.config.Token.IsZero() {
		authorization, err := c.authorization()
		if err != nil {
			return nil, fmt.Errorf("token for the servers: %w: %w", connector.ErrUnavailable, err)
		}
		h.Set("Authorization", authorization)
	}
	return request, nil
}

// tokenFor is how long a token is used before it is looked up again.
const tokenFor = 10 * time.Second

// authorization looks the token up now and then, so that one that was changed in its file counts without a restart.
func (c *Client) authorization() (string, error) {
	c.token.Lock()
	defer c.token.Unlock()
	if now := time.Now(); now.After(c.token.until) {
		token, err := c.config.Token.Reveal()
		if err != nil {
			return "", err
		}
		if !printable(token) {
			return "", errors.New("it has characters that no header can have")
		}
		c.token.header, c.token.until = "Bearer "+token, now.Add(tokenFor)
	}
	return c.token.header, nil
}

func (c *Client) do(request *http.Request) (status int, header http.Header, answer []byte, err error) {
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, response.Header, answer, err
}
