package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

var (
	errGone    = errors.New("the agent no longer has it, registering it again")
	errChanged = errors.New("somebody registered it with other contents, registering it again")
)

// holdsAfter is how long a registration must have lasted before its loss is answered with the shortest delay again. Two
// programs that fight over one ID would otherwise do so at full speed.
const holdsAfter = 10 * time.Second

// KeepRegistered registers an instance, and again whenever its agent has lost or changed it: because Consul restarted
// empty, because somebody deregistered it, or because its check was critical for too long. It returns nil when ctx has
// ended, and at once an error if the registration is not valid. The instance stays registered after the return: to
// leave, wait for the return, then call [Client.Deregister].
//
// report is called from this goroutine on every transition: with nil when the instance was registered, with an error when
// the registration was lost or fails, and when it fails for another reason than before.
//
// Registering never touches the maintenance mode, nor the status of a check that the agent already has. Checks of the
// instance that are not in the registration are removed, if it has TTL checks.
func (c *Client) KeepRegistered(ctx context.Context, r Registration, report func(error)) error {
	if err := r.Validate(); err != nil {
		return err
	}
	changes := make(chan Registration, 1)
	changes <- r
	return c.KeepRegisteredAs(ctx, changes, report)
}

// KeepRegisteredAs is [Client.KeepRegistered] of an instance that changes: the first registration received is kept until
// the next one, which is to have the same ID. It returns an error as soon as one is not valid. A change is reported only
// if it fails. To the agent another token is one too.
func (c *Client) KeepRegisteredAs(ctx context.Context, changes <-chan Registration, report func(error)) error {
	var next Registration
	select {
	case <-ctx.Done():
		return nil
	case next = <-changes:
	}
	id, told, secret := next.ID, "", ""
	c.token.registered(id, "")
	tell := func(err error) {
		if err == nil {
			c.token.registered(id, secret)
		}
		if text := fmt.Sprint(err); text != told {
			told = text
			report(err)
		}
	}
	for ctx.Err() == nil {
		r := next
		if err := r.Validate(); err != nil {
			return err
		}
		secret = c.token.now()
		current, change := context.WithCancel(ctx)
		changed := make(chan struct{})
		go func() {
			defer close(changed)
			c.awaitChange(current, changes, &next, secret)
			change()
		}()
		c.keepRegistered(current, r, tell)
		change()
		<-changed
	}
	return nil
}

// awaitChange returns when there is another registration, which it puts in the place of the last, when another token than
// this one counts, or when ctx has ended.
func (c *Client) awaitChange(ctx context.Context, changes <-chan Registration, next *Registration, secret string) {
	looks, stop := c.token.looks()
	defer stop()
	for {
		select {
		case *next = <-changes:
			return
		case <-looks:
			if c.token.now() != secret {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// keepRegistered keeps one registration until ctx ends. tell drops what it was told already.
func (c *Client) keepRegistered(ctx context.Context, r Registration, tell func(error)) {
	var (
		retry      backoff
		definition = r.definition()
	)
	for ctx.Err() == nil {
		err := c.register(ctx, definition)
		if err == nil && len(r.TTLs) > 0 {
			err = c.removeOtherChecks(ctx, definition)
		}
		if err == nil {
			tell(nil)
			since := time.Now()
			err = c.awaitLoss(ctx, r)
			if time.Since(since) >= holdsAfter {
				retry.reset()
			}
		}
		if ctx.Err() != nil {
			break
		}
		tell(err)
		definition = r.definition()
		if errors.Is(err, errGone) && r.Check != nil {
			// The agent lives and removed it, perhaps because it was critical for too long: it has to prove itself.
			definition.Check.Status = string(Critical)
		}
		sleep(ctx, retry.next())
	}
}

func (c *Client) register(ctx context.Context, definition *api.AgentServiceRegistration) error {
	// Completed even if ctx ends meanwhile: abandoned, it might reach the agent after the caller's Deregister.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	// Without ReplaceExistingChecks: it would remove the check that stands for maintenance mode.
	err := c.api.Agent().ServiceRegisterOpts(definition, api.ServiceRegisterOpts{}.WithContext(ctx))
	return c.explain(fmt.Sprintf("register service %q", definition.ID), err)
}

// removeOtherChecks removes the instance's checks that it was registered with before, perhaps by an earlier process, and
// is not any more. The agent would keep them for ever.
func (c *Client) removeOtherChecks(ctx context.Context, definition *api.AgentServiceRegistration) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	options := (&api.QueryOptions{}).WithContext(ctx)
	checks, err := c.api.Agent().ChecksWithFilterOpts(fmt.Sprintf("ServiceID == %q", definition.ID), options)
	if err != nil {
		return c.explain(fmt.Sprintf("list the checks of service %q", definition.ID), err)
	}
	for id := range checks {
		wanted := func(check *api.AgentServiceCheck) bool { return check != nil && check.CheckID == id }
		if wanted(definition.Check) || slices.ContainsFunc(definition.Checks, wanted) || strings.HasPrefix(id, api.ServiceMaintPrefix) {
			continue
		}
		if err := c.api.Agent().CheckDeregisterOpts(id, options); err != nil && statusCode(err) != http.StatusNotFound {
			return c.explain(fmt.Sprintf("deregister check %q", id), err)
		}
	}
	return nil
}

// SetCheck says how what a TTL check is about does, which holds for its TTL. The output is for operators.
func (c *Client) SetCheck(ctx context.Context, id string, status Status, output string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.api.Agent().UpdateTTLOpts(id, output, string(status), (&api.QueryOptions{}).WithContext(ctx))
	return c.explain(fmt.Sprintf("set check %q", id), err)
}

// awaitLoss returns, with the reason, as soon as the agent does not have the registration any more or does not answer.
// The agent keeps no index for its own services, so these queries block on a hash of the content.
func (c *Client) awaitLoss(ctx context.Context, r Registration) error {
	limit := limiter{pace: calmly}
	for hash := ""; limit.wait(ctx); {
		options, cancel := c.queryOptions(ctx, 0, hash)
		service, _, err := c.api.Agent().Service(r.ID, options)
		cancel()
		switch {
		case statusCode(err) == http.StatusNotFound:
			return fmt.Errorf("consul at %s: service %q: %w", c.address, r.ID, errGone)
		case err != nil:
			return c.explain(fmt.Sprintf("keep service %q registered", r.ID), err)
		case !r.matches(service):
			return fmt.Errorf("consul at %s: service %q: %w", c.address, r.ID, errChanged)
		}
		hash = service.ContentHash
	}
	return ctx.Err()
}

// Deregister removes an instance from the agent. It is no error if there is none.
func (c *Client) Deregister(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.api.Agent().ServiceDeregisterOpts(id, (&api.QueryOptions{}).WithContext(ctx))
	if statusCode(err) == http.StatusNotFound {
		err = nil
	}
	if err == nil {
		c.token.left(id)
	}
	return c.explain(fmt.Sprintf("deregister service %q", id), err)
}

// SetMaintenance puts an instance of the agent into maintenance mode, or takes it out. The reason is shown to operators.
// One that is in maintenance already keeps its first reason.
func (c *Client) SetMaintenance(ctx context.Context, id string, on bool, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	options := (&api.QueryOptions{}).WithContext(ctx)
	if on {
		err := c.api.Agent().EnableServiceMaintenanceOpts(id, reason, options)
		return c.explain(fmt.Sprintf("put service %q into maintenance", id), err)
	}
	err := c.api.Agent().DisableServiceMaintenanceOpts(id, options)
	return c.explain(fmt.Sprintf("take service %q out of maintenance", id), err)
}
