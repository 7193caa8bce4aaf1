package consul_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
)

// The tests of this file run against a real Consul agent.

const (
	serviceName = "zato-server"
	instanceID  = "zato-server-1"
	retryCap    = time.Second
	// An agent that starts may take 3 s, and if it was disturbed 30 s, until it brings a registration to the catalog.
	patience = 40 * time.Second
)

func newClient(t *testing.T, agent *consultest.Agent) *consul.Client {
	t.Helper()
	client, err := consul.New(agent.Address())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// backend is an HTTP server for checks, whose health the test sets.
type backend struct {
	*httptest.Server
	sick atomic.Bool
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if b.sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) registration() consul.Registration {
	return consul.Registration{
		ID: instanceID, Name: serviceName, Address: "::1", Port: 17010,
		Tags: []string{"a", "b"}, Meta: map[string]string{"version": "1"},
		Check: &consul.HTTPCheck{URL: b.URL, Interval: time.Second, Timeout: time.Second, InitialStatus: consul.Passing},
	}
}

// goroutine runs f beside the test, and ends and awaits it with the returned function or the test's end.
func goroutine(t *testing.T, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func watchService(t *testing.T, client *consul.Client) <-chan consul.Observation {
	observations := make(chan consul.Observation, 1000)
	goroutine(t, func(ctx context.Context) {
		client.Watch(ctx, serviceName, func(o consul.Observation) { observations <- o })
	})
	return observations
}

func keepRegistered(t *testing.T, client *consul.Client, r consul.Registration) (reports <-chan error, stop func()) {
	ch := make(chan error, 1000)
	stop = goroutine(t, func(ctx context.Context) {
		if err := client.KeepRegistered(ctx, r, func(err error) { ch <- err }); err != nil {
			t.Error(err)
		}
	})
	return ch, stop
}

// await reads until a value satisfies ok, and fails the test when none comes.
func await[T any](t *testing.T, what string, ch <-chan T, ok func(T) bool) T {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case value := <-ch:
			if ok(value) {
				return value
			}
			t.Logf("awaiting %s: %+v", what, value)
		case <-timeout:
			t.Fatalf("no %s after %v", what, patience)
		}
	}
}

// instances tells of an observation whether it has one instance for each status, in order.
func instances(statuses ...consul.Status) func(consul.Observation) bool {
	return func(o consul.Observation) bool {
		if o.Err != nil || len(o.Snapshot.Instances) != len(statuses) {
			return false
		}
		for i, instance := range o.Snapshot.Instances {
			if instance.Status != statuses[i] {
				return false
			}
		}
		return true
	}
}

func failed(o consul.Observation) bool { return o.Err != nil }
func isNil(err error) bool             { return err == nil }
func notNil(err error) bool            { return err != nil }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestInstanceLifeInConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	client, ctx, server := newClient(t, agent), t.Context(), newBackend(t)
	must(t, client.Ping(ctx))

	observed := watchService(t, client)
	await(t, "empty snapshot", observed, instances())

	reports, stop := keepRegistered(t, client, server.registration())
	await(t, "registration", reports, isNil)
	got := await(t, "passing instance", observed, instances(consul.Passing)).Snapshot.Instances[0]
	if got.Key() != "local/zato-server-1" || got.HostPort() != "[::1]:17010" || got.WeightPassing != 1 ||
		got.WeightWarning != 1 || got.Meta["version"] != "1" || len(got.Tags) != 2 || len(got.Checks) != 2 {
		t.Errorf("instance is %+v", got)
	}

	server.sick.Store(true)
	await(t, "critical instance", observed, instances(consul.Critical))
	server.sick.Store(false)
	await(t, "instance that recovered", observed, instances(consul.Passing))

	must(t, client.SetMaintenance(ctx, instanceID, true, "disk change"))
	got = await(t, "maintenance", observed, instances(consul.Maintenance)).Snapshot.Instances[0]
	if check := got.Checks[0]; check.ID != "_service_maintenance:"+instanceID || check.Notes != "disk change" {
		t.Errorf("maintenance check is %+v", check)
	}
	must(t, client.SetMaintenance(ctx, instanceID, false, ""))
	await(t, "end of maintenance", observed, instances(consul.Passing))

	// Deregistered behind its back by a living agent, it comes back, but has to pass its check first.
	server.sick.Store(true)
	must(t, client.Deregister(ctx, instanceID))
	await(t, "loss", reports, notNil)
	await(t, "registration after the loss", reports, isNil)
	await(t, "instance on probation", observed, instances(consul.Critical))
	server.sick.Store(false)
	await(t, "instance that passed its check", observed, instances(consul.Passing))

	stop()
	must(t, client.Deregister(ctx, instanceID))
	await(t, "snapshot without the instance", observed, instances())
	must(t, client.Deregister(ctx, instanceID)) // again: no error
	if len(reports) != 0 {
		t.Errorf("reported after its end: %v", <-reports)
	}
}

// registerForeign registers with the agent as any program in any language would.
func registerForeign(t *testing.T, agent *consultest.Agent, body string) {
	t.Helper()
	url := "http://" + agent.Address() + "/v1/agent/service/register"
	request, err := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	must(t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("register: %s", response.Status)
	}
}

func TestForeignChangeIsTakenBack(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	client, server := newClient(t, agent), newBackend(t)
	reports, _ := keepRegistered(t, client, server.registration())
	await(t, "registration", reports, isNil)

	registerForeign(t, agent, `{"ID": "zato-server-1", "Name": "zato-server", "Port": 9}`)
	await(t, "foreign change", reports, notNil)
	await(t, "registration after it", reports, isNil)
	observed := watchService(t, client)
	await(t, "the registered port", observed, func(o consul.Observation) bool {
		return len(o.Snapshot.Instances) == 1 && o.Snapshot.Instances[0].Port == 17010
	})
}

func TestConsulRestartedEmpty(t *testing.T) {
	for _, how := range []struct {
		name string
		end  func(*consultest.Agent)
	}{
		{"stopped", (*consultest.Agent).Stop},
		{"killed", (*consultest.Agent).Kill},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			agent := consultest.Start(t)
			client, server := newClient(t, agent), newBackend(t)
			// Writes that push the index up, so that the restarted Consul's is far below.
			for range 30 {
				must(t, client.Put(t.Context(), "zato/main/some", []byte(time.Now().String())))
			}
			reports, _ := keepRegistered(t, client, server.registration())
			await(t, "registration", reports, isNil)
			observed := watchService(t, client)
			before := await(t, "first snapshot", observed, instances(consul.Passing)).Snapshot

			how.end(agent)
			// Long enough for the delays to have reached their cap. What a stopping Consul answers must not look like a
			// removal.
			errs := 0
			await(t, "sixth error", observed, func(o consul.Observation) bool {
				if o.Err == nil {
					t.Errorf("observed %+v while Consul stopped", o.Snapshot)
				}
				errs++
				return errs == 6
			})
			await(t, "report of the loss", reports, notNil)

			agent.StartEmpty()
			up := time.Now()
			await(t, "registration after the restart", reports, isNil)
			registered := time.Since(up)
			after := await(t, "snapshot after the restart", observed, instances(consul.Passing)).Snapshot
			t.Logf("after the leader was elected: registered %v, observed %v; index %d, before %d",
				registered, time.Since(up), after.Index, before.Index)
			if registered > 3*retryCap/2 {
				t.Errorf("registered %v after Consul was back, want about %v", registered, retryCap)
			}
			if after.Index >= before.Index {
				t.Errorf("index %d is not below %d: the test did not test what it should", after.Index, before.Index)
			}
		})
	}
}

func TestMaintenanceSurvives(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	client, server, ctx := newClient(t, agent), newBackend(t), t.Context()
	reports, stop := keepRegistered(t, client, server.registration())
	await(t, "registration", reports, isNil)
	must(t, client.SetMaintenance(ctx, instanceID, true, "disk change"))
	observed := watchService(t, client)
	await(t, "maintenance", observed, instances(consul.Maintenance))

	must(t, client.SetMaintenance(ctx, instanceID, false, ""))
	await(t, "end of maintenance", observed, instances(consul.Passing))
	must(t, client.SetMaintenance(ctx, instanceID, true, "disk change"))
	await(t, "maintenance again", observed, instances(consul.Maintenance))
	if len(reports) != 0 {
		t.Errorf("maintenance was taken for a loss: %v", <-reports)
	}

	// A restarted server registers again.
	stop()
	changed := server.registration()
	changed.Meta = map[string]string{"version": "2"}
	reports, _ = keepRegistered(t, client, changed)
	await(t, "second registration", reports, isNil)
	await(t, "maintenance of the new version", observed, func(o consul.Observation) bool {
		return instances(consul.Maintenance)(o) && o.Snapshot.Instances[0].Meta["version"] == "2"
	})

	// A restarted agent that kept its data is registered with again.
	agent.Stop()
	await(t, "error", observed, failed)
	await(t, "loss", reports, notNil)
	agent.Start()
	await(t, "third registration", reports, isNil)
	await(t, "maintenance after the restart", observed, func(o consul.Observation) bool {
		if instances(consul.Passing)(o) {
			t.Errorf("out of maintenance: %+v", o.Snapshot)
		}
		return instances(consul.Maintenance)(o)
	})
}

func TestKeysInConsul(t *testing.T) {
	t.Parallel()
	const key = "zato/main/channels/a b?c"
	agent := consultest.Start(t)
	client, ctx := newClient(t, agent), t.Context()
	observations := make(chan consul.KeyObservation, 1000)
	goroutine(t, func(ctx context.Context) {
		client.WatchKey(ctx, key, func(o consul.KeyObservation) { observations <- o })
	})
	holds := func(value string) func(consul.KeyObservation) bool {
		return func(o consul.KeyObservation) bool {
			return o.Err == nil && o.Pair.Found && string(o.Pair.Value) == value
		}
	}
	absent := func(o consul.KeyObservation) bool { return o.Err == nil && !o.Pair.Found }

	await(t, "absent key", observations, absent)
	must(t, client.Put(ctx, "zato/main/channels/other", []byte("x"))) // moves indexes, changes nothing here
	must(t, client.Put(ctx, key, []byte("one")))
	first := await(t, "first value", observations, holds("one")).Pair
	must(t, client.Put(ctx, key, nil))
	await(t, "empty value", observations, holds(""))
	must(t, client.Put(ctx, key, []byte("two")))
	await(t, "second value", observations, holds("two"))

	pair, err := client.Get(ctx, key)
	if err != nil || !pair.Found || string(pair.Value) != "two" || pair.ModifyIndex <= first.ModifyIndex {
		t.Errorf("%+v, %v", pair, err)
	}

	must(t, client.Delete(ctx, key))
	await(t, "deleted key", observations, absent)
	must(t, client.Delete(ctx, key)) // again: no error
	if pair, err := client.Get(ctx, key); err != nil || pair.Found {
		t.Errorf("read after the delete: %+v, %v", pair, err)
	}

	agent.Stop()
	await(t, "error", observations, func(o consul.KeyObservation) bool { return o.Err != nil })
	agent.StartEmpty()
	await(t, "absent key after the restart", observations, absent)
	must(t, client.Put(ctx, key, []byte("three")))
	await(t, "value after the restart", observations, holds("three"))
}

func TestKeysUnderAPrefixInConsul(t *testing.T) {
	t.Parallel()
	prefix := consul.BalancersPrefix("main")
	agent := consultest.Start(t)
	client, ctx := newClient(t, agent), t.Context()
	observations := make(chan consul.TreeObservation, 1000)
	goroutine(t, func(ctx context.Context) {
		client.WatchTree(ctx, prefix, func(o consul.TreeObservation) { observations <- o })
	})
	holds := func(want ...string) func(consul.TreeObservation) bool {
		return func(o consul.TreeObservation) bool {
			var got []string
			for _, pair := range o.Pairs {
				got = append(got, strings.TrimPrefix(pair.Key, prefix)+"="+string(pair.Value))
			}
			return o.Err == nil && slices.Equal(got, want)
		}
	}
	await(t, "nothing", observations, holds())
	must(t, client.Put(ctx, prefix+"b", []byte("1")))
	await(t, "one key", observations, holds("b=1"))
	must(t, client.Put(ctx, consul.DrainedKey("main", "x"), nil)) // not under the prefix
	must(t, client.Put(ctx, prefix+"a", []byte("2")))
	await(t, "two keys", observations, holds("a=2", "b=1"))
	must(t, client.Delete(ctx, prefix+"b"))
	await(t, "a key deleted", observations, holds("a=2"))

	read, err := client.Get(ctx, prefix+"a")
	must(t, err)
	must(t, client.Put(ctx, prefix+"a", []byte("3")))
	if gone, err := client.DeleteUnchanged(ctx, read); err != nil || gone {
		t.Errorf("a key that was written since is deleted: %v, %v", gone, err)
	}
	read, err = client.Get(ctx, prefix+"a")
	must(t, err)
	if gone, err := client.DeleteUnchanged(ctx, read); err != nil || !gone {
		t.Errorf("a key that is as it was read is not deleted: %v, %v", gone, err)
	}
	await(t, "the last key deleted", observations, holds())
}
