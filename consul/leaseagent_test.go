package consul_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
)

// These tests compete for leases at a real Consul.

const hostService = "zato-connectorhost"

// contender is one host, as its own client and registration.
type contender struct {
	client *consul.Client
	host   string
	check  string
	key    string
	ttl    time.Duration
	seen   chan consul.LeaseState
	held   chan *consul.Tenure
	ended  chan error // the cause of each tenure's end
}

// patient is a TTL that nobody misses because the machine is busy, for tests that are not about missing it.
const patient = 5 * time.Second

// contend starts a host: its registration and its competition. The function returned stops it cleanly.
func contend(t *testing.T, client *consul.Client, key, host string) (c *contender, stop func()) {
	t.Helper()
	return contendWith(t, client, key, host, time.Second)
}

func contendWith(t *testing.T, client *consul.Client, key, host string, ttl time.Duration) (c *contender, stop func()) {
	t.Helper()
	c = &contender{
		client: client, host: host, check: fmt.Sprintf("service:%s:lease:%d", host, time.Now().UnixNano()), key: key, ttl: ttl,
		seen: make(chan consul.LeaseState, 1000), held: make(chan *consul.Tenure, 100), ended: make(chan error, 100),
	}
	c.register(t)
	return c, goroutine(t, func(ctx context.Context) {
		if err := client.Compete(ctx, c.lease()); err != nil {
			t.Error(err)
		}
	})
}

func (c *contender) register(t *testing.T) (stop func()) {
	return goroutine(t, func(ctx context.Context) {
		if err := c.client.KeepRegistered(ctx, c.registration(), func(error) {}); err != nil {
			t.Error(err)
		}
	})
}

func (c *contender) registration() consul.Registration {
	return consul.Registration{
		ID: c.host, Name: hostService, Address: "127.0.0.1", Port: 17110,
		TTLs: []consul.TTLCheck{{ID: c.check, Name: "lease", TTL: c.ttl}},
	}
}

func (c *contender) lease() consul.Lease {
	return consul.Lease{
		Key: c.key, Host: c.host, Address: "127.0.0.1:17110", Check: c.check,
		TTL: c.ttl, Beat: 250 * time.Millisecond,
		Hold: func(tenure *consul.Tenure) {
			c.held <- tenure
			select {
			case <-tenure.Context().Done():
			case <-tenure.Leaving():
			}
			c.ended <- context.Cause(tenure.Context())
		},
		Observe: func(s consul.LeaseState) { c.seen <- s },
	}
}

func always[T any](T) bool { return true }

func leaseKey(t *testing.T) string { return consul.LeaseKey(t.Name()) }

func TestALeaseGoesFromHostToHost(t *testing.T) {
	t.Parallel()
	client := newClient(t, consultest.Start(t))
	a, stopA := contendWith(t, client, leaseKey(t), "host-a", patient)
	first := await(t, "tenure of a", a.held, always)
	b, _ := contendWith(t, client, leaseKey(t), "host-b", patient)
	await(t, "b to know the holder", b.seen, func(s consul.LeaseState) bool { return s.Status.Holder.Host == "host-a" && s.Status.Held })

	t.Log("handed over, it goes to the host that was named")
	tenure, from, to := first, a, b
	var took []time.Duration
	for range 21 {
		begun := time.Now()
		if !tenure.HandOver(to.host) {
			t.Fatalf("%s does not hand over", from.host)
		}
		next := await(t, "tenure of "+to.host, to.held, always)
		took = append(took, time.Since(begun))
		if next.Epoch <= tenure.Epoch {
			t.Errorf("epoch %d after %d", next.Epoch, tenure.Epoch)
		}
		tenure, from, to = next, to, from
	}
	second := tenure
	for len(b.ended) > 0 {
		<-b.ended
	}
	slices.Sort(took)
	t.Logf("handed over: n %d, median %v, worst %v", len(took), took[len(took)/2], took[len(took)-1])

	t.Log("what anybody reads is what the holder says")
	status, err := client.LeaseHolder(t.Context(), leaseKey(t))
	if err != nil || !status.Held || status.Holder.Host != "host-b" || status.Holder.Epoch != second.Epoch || status.Holder.Address != "127.0.0.1:17110" {
		t.Errorf("%+v, %v", status, err)
	}

	t.Log("registered anew under another role, the holder keeps it")
	r := b.registration()
	r.Tags = []string{"active"}
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan consul.Registration, 1)
	changes <- r
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.KeepRegisteredAs(ctx, changes, func(error) {})
	}()
	select {
	case cause := <-b.ended:
		t.Errorf("b lost it: %v", cause)
	case <-time.After(2500 * time.Millisecond):
	}
	cancel()
	<-done

	stopA()
	if status, err := client.LeaseHolder(t.Context(), leaseKey(t)); err != nil || !status.Held {
		t.Errorf("after the standby ended: %+v, %v", status, err)
	}
}

func TestALeaseWhoseSessionWasDestroyedIsLostAtOnce(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	client := newClient(t, agent)
	a, _ := contendWith(t, client, leaseKey(t), "host-a", patient)
	first := await(t, "tenure of a", a.held, always)
	b, _ := contendWith(t, client, leaseKey(t), "host-b", patient)
	await(t, "b to know the holder", b.seen, func(s consul.LeaseState) bool { return s.Status.Held })

	begun := time.Now()
	destroySession(t, agent, leaseKey(t))
	if cause := await(t, "end of the tenure", a.ended, always); !errors.Is(cause, consul.ErrLost) {
		t.Errorf("cause %v", cause)
	}
	t.Logf("noticed after %v", time.Since(begun))
	var second *consul.Tenure
	select {
	case second = <-b.held:
	case second = <-a.held:
	case <-time.After(patience):
		t.Fatal("nobody holds it")
	}
	if early := time.Until(first.Until()); early > 0 || second.Epoch <= first.Epoch {
		t.Errorf("taken %v too early, with epoch %d after %d", early, second.Epoch, first.Epoch)
	}
}

// destroySession does what `consul session destroy` does, to the session that holds the key.
func destroySession(t *testing.T, agent *consultest.Agent, key string) {
	t.Helper()
	var pairs []struct{ Session string }
	agent.Call("GET", "/v1/kv/"+key, nil, &pairs)
	if len(pairs) != 1 || pairs[0].Session == "" {
		t.Fatalf("the key says %+v", pairs)
	}
	agent.Call("PUT", "/v1/session/destroy/"+pairs[0].Session, nil, nil)
}

func TestAHolderWhoseAgentRestartsStopsAndComesBack(t *testing.T) {
	for name, start := range map[string]func(*consultest.Agent){
		"empty":                         (*consultest.Agent).StartEmpty,
		"with the services that it had": (*consultest.Agent).Start,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restartUnderAHolder(t, start)
		})
	}
}

func restartUnderAHolder(t *testing.T, start func(*consultest.Agent)) {
	agent := consultest.Start(t)
	a, _ := contend(t, newClient(t, agent), leaseKey(t), "host-a")
	first := await(t, "tenure", a.held, always)
	agent.Stop()
	stopped := time.Now()
	if cause := await(t, "end of the tenure", a.ended, always); !errors.Is(cause, consul.ErrFenced) {
		t.Errorf("cause %v", cause)
	}
	if late := time.Until(first.Until()); late > 0 {
		t.Errorf("stopped %v early", late)
	}
	t.Logf("stopped %v after the agent", time.Since(stopped))
	await(t, "failure told", a.seen, func(s consul.LeaseState) bool { return s.Err != nil })
	start(agent)
	up := time.Now()
	second := await(t, "tenure after the restart", a.held, always)
	t.Logf("active %v after the agent had a leader", time.Since(up))
	if second.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d, though Consul has lost all", second.Epoch, first.Epoch)
	}
}

// TestTakeoverAfterTheHolderIsGone measures how long it takes after a holder has vanished, by pairs of hosts that compete
// for keys of their own. The holders differ in how long ago their last beat was.
func TestTakeoverAfterTheHolderIsGone(t *testing.T) {
	t.Parallel()
	const pairs, rounds = 20, 1
	agent := consultest.Start(t)
	var mu sync.Mutex
	var took []time.Duration
	for round := range rounds {
		var all sync.WaitGroup
		for pair := range pairs {
			all.Go(func() {
				key := consul.LeaseKey(fmt.Sprintf("%d-%d", round, pair))
				client := newClient(t, agent)
				a, vanish := contendUntilKilled(t, agent, key, "a-"+key)
				first := <-a.held
				b, stop := contend(t, client, key, "b-"+key)
				defer stop()
				<-time.After(1200*time.Millisecond + time.Duration(time.Now().UnixNano()%250)*time.Millisecond)
				begun := time.Now()
				vanish()
				second := <-b.held
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(begun))
				if early := time.Until(first.Until()); early > 0 {
					t.Errorf("taken %v before the holder would have stopped", early)
				}
				if second.Epoch <= first.Epoch {
					t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
				}
			})
		}
		all.Wait()
	}
	slices.Sort(took)
	t.Logf("n %d, median %v, worst %v", len(took), took[len(took)/2], took[len(took)-1])
	if worst := took[len(took)-1]; worst > 5*time.Second {
		t.Errorf("taken only after %v", worst)
	}
}

// contendUntilKilled starts a host that, for Consul, vanishes as a process does that was killed.
func contendUntilKilled(t *testing.T, agent *consultest.Agent, key, host string) (c *contender, kill func()) {
	t.Helper()
	client, kill, err := consul.NewMortal(agent.Address())
	must(t, err)
	c, _ = contend(t, client, key, host)
	return c, kill
}

func withToken(t *testing.T, agent *consultest.Agent, token string) *consul.Client {
	t.Helper()
	client, err := consul.NewWithToken(agent.Address(), token)
	must(t, err)
	return client
}

func TestALeaseThatConsulForbidsSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	agent := consultest.StartWithACL(t)
	policy := agent.Rules("../deploy/consul/connectorhost.hcl")
	token := agent.Token("connectorhost", policy)

	t.Log("the policy is enough")
	client := withToken(t, agent, token)
	key := consul.LeaseKey("main")
	a, stopA := contend(t, client, key, "host-a")
	first := await(t, "tenure of a", a.held, always)
	b, stopB := contend(t, client, key, "host-b")
	await(t, "b to know the holder", b.seen, func(s consul.LeaseState) bool { return s.Status.Held })
	stopA()
	if second := await(t, "tenure of b", b.held, always); second.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
	}
	observations := make(chan consul.TreeObservation, 100)
	goroutine(t, func(ctx context.Context) {
		client.WatchTree(ctx, consul.ConnectorsPrefix("main"), func(o consul.TreeObservation) { observations <- o })
	})
	if o := await(t, "the definitions", observations, always); o.Err != nil {
		t.Error(o.Err)
	}

	stopB()

	t.Log("each part of it is needed, and named where it lacks")
	for _, missing := range []string{"session:write", "key:write", "service:write"} {
		t.Run(missing, func(t *testing.T) {
			client := withToken(t, agent, agent.Token("without-"+strings.ReplaceAll(missing, ":", "-"), without(t, policy, missing)))
			c := &contender{
				client: client, host: "host-c", check: "service:host-c:lease:1", key: key, ttl: time.Second,
				seen: make(chan consul.LeaseState, 1000), held: make(chan *consul.Tenure, 100), ended: make(chan error, 100),
			}
			errs, _ := keepRegistered(t, client, c.registration())
			if missing == "service:write" {
				err := await(t, "refusal", errs, notNil)
				if !strings.Contains(err.Error(), missing) {
					t.Errorf("%q does not name %s", err, missing)
				}
				return
			}
			await(t, "registration", errs, isNil)
			goroutine(t, func(ctx context.Context) { must(t, client.Compete(ctx, c.lease())) })
			await(t, "refusal that names "+missing, c.seen, func(s consul.LeaseState) bool {
				return s.Err != nil && strings.Contains(s.Err.Error(), missing) && strings.Contains(s.Err.Error(), "CONSUL_HTTP_TOKEN")
			})
		})
	}
}

// without is a policy that grants one thing less.
func without(t *testing.T, policy, missing string) string {
	t.Helper()
	start := map[string]string{"session:write": "session_prefix", "key:write": "key ", "service:write": "service "}[missing]
	blocks := strings.Split(policy, "\n\n")
	for i, block := range blocks {
		if strings.Contains(block, "\n"+start) {
			blocks[i] = strings.Replace(block, `"write"`, `"read"`, 1)
		}
	}
	changed := strings.Join(blocks, "\n\n")
	if changed == policy {
		t.Fatalf("the policy has no rule %s", start)
	}
	return changed
}
