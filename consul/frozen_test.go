package consul_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
)

// An agent that is frozen holds a watch for more than a minute, without an error.
func TestAFrozenAgentIsToldWhileTheInstancesStay(t *testing.T) {
	t.Parallel()
	agent := consultest.StartServers(t).StartAgent("web-1")
	client, err := consul.New(agent.HTTP)
	must(t, err)
	reports, _ := keepRegistered(t, client, consul.Registration{ID: instanceID, Name: serviceName, Port: 1})
	await(t, "registration", reports, isNil)
	observations := make(chan consul.Observation, 1000)
	goroutine(t, func(ctx context.Context) {
		client.WatchClosely(ctx, serviceName, func(o consul.Observation) { observations <- o })
	})
	await(t, "instance", observations, instances(consul.Passing))

	signal := func(s syscall.Signal) { must(t, syscall.Kill(agent.Process().PID(), s)) }
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	frozen := time.Now()
	o := await(t, "word of it", observations, failed)
	t.Logf("told after %v", time.Since(frozen))
	if !errors.Is(o.Err, context.DeadlineExceeded) {
		t.Error(o.Err)
	}
	signal(syscall.SIGCONT)
	await(t, "instance again", observations, instances(consul.Passing))
}
