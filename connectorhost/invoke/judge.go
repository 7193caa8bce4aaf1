package invoke

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"zatoha/connectorhost/connector"
)

// tooSlow decides who is to blame for an answer that did not come in time.
func (c *Client) tooSlow(ctx context.Context, what string) error {
	if err := c.nobody(ctx, what); err != nil {
		return err
	}
	return fmt.Errorf("call service %s: %s, though there are servers", c.config.Service, what)
}

// interrupted decides whether one server has ended under a message that it had, or there is none at all.
func (c *Client) interrupted(ctx context.Context, what string) error {
	if err := c.nobody(ctx, what); err != nil {
		return err
	}
	return fmt.Errorf("call service %s: %w: %s, though there are servers", c.config.Service, connector.ErrInterrupted, what)
}

// nobody is the error if the load balancer has no server that can take traffic, or does not say that it has.
func (c *Client) nobody(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.alive, nil)
	if err != nil {
		return fmt.Errorf("call service %s: %w: %w", c.config.Service, connector.ErrUnavailable, err)
	}
	status, _, answer, err := c.do(request)
	switch {
	case err != nil:
		return fmt.Errorf("call service %s: %w: %s, nor does the load balancer answer: %w", c.config.Service, connector.ErrUnavailable, what, err)
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("call service %s: %w: %s, and the load balancer says %s", c.config.Service, connector.ErrUnavailable, what, describe(status, answer))
	}
	return nil
}

// judge makes an error of an answer.
func (c *Client) judge(status int, header http.Header, answer []byte) error {
	fail := func(class error) error {
		return fmt.Errorf("service %s: %w: %s", c.config.Service, class, describe(status, answer))
	}
	switch {
	case status >= 200 && status < 300:
		return nil
	case status < 400:
		return fail(connector.ErrUnavailable)
	}
	switch status {
	case http.StatusNotFound:
		if noService(answer) {
			return fail(connector.ErrUnavailable)
		}
	case http.StatusConflict:
		if c.stale(header, answer) {
			return fail(connector.ErrFenced)
		}
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusRequestHeaderFieldsTooLarge:
		return fail(connector.ErrUnfit)
	case http.StatusUnauthorized, http.StatusForbidden:
		if !byService(header) {
			return fail(connector.ErrUnavailable)
		}
	case http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusServiceUnavailable:
		return fail(connector.ErrUnavailable)
	}
	return fmt.Errorf("service %s answered %s", c.config.Service, describe(status, answer))
}

// byService says whether a service has refused a message, and not the server its token, or somebody before all servers.
func byService(header http.Header) bool {
	scheme, _, _ := strings.Cut(header.Get("WWW-Authenticate"), " ")
	return header.Get(headerCID) != "" && !strings.EqualFold(scheme, "Bearer")
}

// noService says whether a 404 is the server's own, and not the service's. These are the server's words.
func noService(answer []byte) bool {
	text := connector.AnswerDetails(answer)
	return strings.HasPrefix(text, "there is no service ") || text == "nothing is at this path"
}

// stale says whether a 409 is about the epoch. Servers that do not name theirs in a header have words of their own; a
// service that speaks of some epoch must not stop the connector.
func (c *Client) stale(header http.Header, answer []byte) bool {
	if known, err := strconv.ParseUint(header.Get(headerEpoch), 10, 64); err == nil {
		return known > c.config.Epoch()
	}
	text := connector.AnswerDetails(answer)
	return strings.HasPrefix(text, "epoch ") && strings.Contains(text, " is over")
}
