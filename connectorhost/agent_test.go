package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
	"zatoha/deploy/consultest"
	"zatoha/deploy/freeport"
)

// trio is three connector hosts at a real Consul.
type trio struct {
	t      *testing.T
	agent  *consultest.Agent
	client *consul.Client
	log    string // where the connectors note when they receive
	hosts  map[string]*process
	args   []string // of each host
}

// patient is a lease that nobody loses because the machine is busy, for tests that are not about losing it.
var patient = []string{"--lease-ttl", "3s"}

func newTrio(t *testing.T, args ...string) *trio {
	t.Helper()
	agent := consultest.Start(t)
	client, err := consul.New(agent.Address())
	if err != nil {
		t.Fatal(err)
	}
	w := &trio{t: t, agent: agent, client: client, log: filepath.Join(t.TempDir(), "log"), hosts: map[string]*process{}, args: args}
	for _, id := range []string{"host-a", "host-b", "host-c"} {
		w.start(id)
	}
	return w
}

// start starts a host, at the address that it had before.
func (w *trio) start(id string) *process {
	w.t.Helper()
	address := ""
	if before := w.hosts[id]; before != nil {
		address = before.address
	} else {
		address = freeport.For(w.t)
	}
	w.hosts[id] = launch(w.t, w.agent.Address(), id, address, w.args...)
	return w.hosts[id]
}

func (w *trio) define(name, mood string) {
	w.t.Helper()
	text := fmt.Sprintf(`{"name": %q, "kind": "test", "log": %q, "mood": %q}`, name, w.log, mood)
	w.put(name, text)
}

func (w *trio) put(name, text string) {
	w.t.Helper()
	if err := w.client.Put(w.t.Context(), consul.ConnectorsPrefix("main")+name, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// active waits until some host, with an epoch above the one given, is active and its connectors run.
func (w *trio) active(above uint64, connectors int) (*process, report) {
	w.t.Helper()
	var found *process
	var r report
	eventually(w.t, "a host is active", func() bool {
		for _, p := range w.hosts {
			asked, err := p.report()
			if err != nil || asked.Role != consul.Active || asked.Epoch <= above {
				continue
			}
			running := 0
			for _, c := range asked.Connectors {
				if c.State == supervise.Running {
					running++
				}
			}
			if running == connectors {
				found, r = p, asked
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("%+v", r) })
	return found, r
}

// span is a time in which one process received.
type span struct {
	pid         int
	epoch       uint64
	start, stop int64 // stop is 0 if it did not stop by itself
}

// history is what the connectors have noted: of one connector, in the order of their starts.
func (w *trio) history() (spans []span) {
	w.t.Helper()
	text, err := os.ReadFile(w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var what string
		var s span
		if _, err := fmt.Sscan(line, &what, &s.pid, &s.epoch, &s.start); err != nil {
			w.t.Fatal(err)
		}
		if what == "start" {
			spans = append(spans, s)
			continue
		}
		i := slices.IndexFunc(spans, func(known span) bool { return known.pid == s.pid })
		spans[i].stop = s.start
	}
	return spans
}

// lives says whether there is a process, other than one that has ended and that nobody has asked for its status.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func quantiles(took []time.Duration) string {
	slices.Sort(took)
	return fmt.Sprintf("n %d, median %v, worst %v", len(took), took[len(took)/2].Round(time.Millisecond/10), took[len(took)-1].Round(time.Millisecond/10))
}

// rounds is how often a fault is repeated; ROUNDS=30 measures.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if os.Getenv("ROUNDS") != "" && err != nil {
		t.Fatal(err)
	}
	return max(n, 3)
}

func TestAKilledHostIsFollowedByAnotherAndLeavesNothingBehind(t *testing.T) {
	w := newTrio(t)
	w.define("orders", "")
	active, r := w.active(0, 1)
	var took []time.Duration
	for range rounds(t) {
		child := r.Connectors[0].PID
		begun := time.Now()
		active.kill()
		next, now := w.active(r.Epoch, 1)
		spans := w.history()
		took = append(took, time.Unix(0, spans[len(spans)-1].start).Sub(begun))
		if next.id == active.id {
			t.Fatal("the host that was killed is active")
		}
		if lives(child) {
			t.Errorf("child %d of %s lives on", child, active.id)
		}
		w.start(active.id).await("standing by", func(r report) bool { return r.Held && len(r.Hosts) == 3 })
		active, r = next, now
	}
	t.Logf("receiving again after the active host was killed: %s", quantiles(took))
	spans := w.history()
	for i := 1; i < len(spans); i++ {
		if spans[i].epoch <= spans[i-1].epoch {
			t.Errorf("epoch %d after %d", spans[i].epoch, spans[i-1].epoch)
		}
	}
}

func TestEachHostKeepsProcessesReadyAndAConnectorsProcessHasItsName(t *testing.T) {
	w := newTrio(t, patient...)
	w.define("orders", "")
	w.define("invoices", "")
	active, r := w.active(0, 2)
	for _, host := range w.hosts {
		want := 3
		if host == active {
			want = 1
		}
		var text string
		eventually(t, "processes are ready on "+host.id, func() bool {
			text = metrics(t, host.address)
			return strings.Contains(text, fmt.Sprintf("\nzatoha_connectorhost_spare_processes %d\n", want))
		}, func() string { return fmt.Sprintf("want %d: %s", want, text) })
	}
	for _, c := range r.Connectors {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID))
		if err != nil {
			t.Fatal(err)
		}
		if words := strings.FieldsFunc(string(line), func(r rune) bool { return r == 0 }); words[len(words)-1] != c.Name {
			t.Errorf("the process of %s is shown as %q", c.Name, words)
		}
	}
}

func TestAHostThatIsStoppedAndGoesOnHasNoConnectors(t *testing.T) {
	w := newTrio(t)
	w.define("orders", "")
	active, r := w.active(0, 1)
	child := r.Connectors[0].PID
	if err := active.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	delete(w.hosts, active.id) // it does not answer
	_, now := w.active(r.Epoch, 1)
	t.Logf("receiving again %v after the active host was stopped", time.Since(begun).Round(time.Millisecond))
	if now.Connectors[0].PID == child {
		t.Error("the same process")
	}
	if lives(child) {
		t.Error("the old child lives on beside the new one")
	}
	if err := active.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	active.await("standing by again", func(r report) bool { return r.Role == consul.Standby && r.Holder.Epoch == now.Epoch && r.Held })
}

func TestMoveAndACleanStopHandOverAtOnce(t *testing.T) {
	w := newTrio(t, patient...)
	w.define("orders", "")
	active, r := w.active(0, 1)
	for _, p := range w.hosts {
		p.await("all three known", func(r report) bool {
			return len(r.Hosts) == 3 && !slices.ContainsFunc(r.Hosts, func(h standing) bool { return h.Status != consul.Passing && h.ID != active.id })
		})
	}
	for range rounds(t) {
		target := "host-a"
		if active.id == target {
			target = "host-b"
		}
		said, err := command(nil, "move", target, "--admin", w.hosts["host-c"].address).CombinedOutput()
		if err != nil || !strings.Contains(string(said), fmt.Sprintf("moved from %s to %s", active.id, target)) {
			t.Fatalf("move: %v: %s", err, said)
		}
		if active, r = w.active(r.Epoch, 1); active.id != target {
			t.Fatalf("%s is active", active.id)
		}
	}
	for range rounds(t) {
		if status := active.stop(); status != 0 {
			t.Errorf("status %d", status)
		}
		stopped := active.id
		active, r = w.active(r.Epoch, 1)
		w.start(stopped).await("standing by", func(r report) bool { return r.Held && len(r.Hosts) == 3 })
	}
	var gaps []time.Duration
	spans := w.history()
	for i := 1; i < len(spans); i++ {
		if spans[i-1].stop == 0 {
			t.Error("a connector was not drained")
		}
		gap := time.Duration(spans[i].start - spans[i-1].stop)
		if gaps = append(gaps, gap); gap < 0 {
			t.Errorf("two received at once, for %v", -gap)
		}
	}
	n := rounds(t)
	t.Logf("gaps when moved: %s", quantiles(gaps[:n]))
	t.Logf("gaps at a clean stop: %s", quantiles(gaps[n:]))

	for _, bad := range []struct{ to, want string }{
		{active.id, "is active already"},
		{"host-x", "there is no connector host"},
	} {
		said, err := command(nil, "move", bad.to, "--admin", active.address).CombinedOutput()
		if err == nil || !strings.Contains(string(said), bad.want) {
			t.Errorf("move to %s: %v: %s", bad.to, err, said)
		}
	}
}

func TestWhatAHostSaysOfItsConnectors(t *testing.T) {
	w := newTrio(t, patient...)
	w.define("orders", "")
	active, r := w.active(0, 1)
	orders := r.Connectors[0]

	t.Log("definitions are watched; one that is bad is refused by name, and touches no other")
	w.put("bad", `{"name": "bad", "kind": "carrier pigeon"}`)
	w.define("sad", "sad")
	w.put("orders", `{"kind": "test"}`)
	got := active.await("refusals", func(r report) bool {
		return len(r.Refused) == 2 && slices.ContainsFunc(r.Connectors, func(s supervise.Status) bool { return s.State == supervise.Failed })
	})
	if bad := got.Refused[0]; bad.Name != "bad" || bad.Kept || !strings.Contains(bad.Reason, `"carrier pigeon"`) {
		t.Errorf("%+v", got.Refused)
	}
	if kept := got.Refused[1]; kept.Name != "orders" || !kept.Kept || got.Connectors[0].PID != orders.PID {
		t.Errorf("%+v, %+v", got.Refused, got.Connectors)
	}
	if sad := got.Connectors[1]; sad.Why != "no such queue: declare it" {
		t.Errorf("%+v", sad)
	}

	t.Log("Consul shows it")
	shown := ""
	eventually(t, "checks", func() bool {
		var entries []struct {
			Service struct {
				Tags []string
				Meta map[string]string
			}
			Checks []struct{ CheckID, Status, Output string }
		}
		w.agent.Call(http.MethodGet, "/v1/health/service/zato-connectorhost", nil, &entries)
		tags, checks := map[string]int{}, map[string]string{}
		epochs := ""
		for _, e := range entries {
			tags[strings.Join(e.Service.Tags, ",")]++
			epochs += e.Service.Meta["epoch"]
			for _, c := range e.Checks {
				checks[c.CheckID] = c.Status + " " + c.Output
			}
		}
		shown = fmt.Sprint(tags, epochs, checks)
		prefix := "service:" + active.id + ":connector:"
		return tags["active"] == 1 && epochs == fmt.Sprint(r.Epoch) && tags["standby"] == 2 && checks[prefix+"orders"] == "passing running" &&
			checks[prefix+"sad"] == "critical failed: no such queue: declare it"
	}, func() string { return shown })

	t.Log("and so do the commands and the metrics")
	said, err := command(nil, "status", "--admin", w.hosts["host-a"].address).CombinedOutput()
	for _, want := range []string{active.id + " is active", "sad", "no such queue", "refused: bad", "the last good one stays", "not healthy"} {
		if err == nil || !strings.Contains(string(said), want) {
			t.Errorf("status: %v: no %q in\n%s", err, want, said)
		}
	}
	text := metrics(t, active.address)
	for _, want := range []string{
		"zatoha_connectorhost_active 1", `zatoha_connectorhost_lease_beat_seconds_count{outcome="ok"}`, "zatoha_connectorhost_definitions_refused 2", "zatoha_connectorhost_tenures_total 1",
		`connector_state{connector="orders",kind="test",state="running"} 1`, `connector_counter{connector="orders",counter="received"} 3`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q", want)
		}
	}

	t.Log("a changed definition that cannot be prepared leaves the one before at work, and is told")
	w.define("orders", "sad")
	const held = "the definition before runs on, the changed one is "
	active.await("why it is not in force", func(r report) bool {
		c := r.Connectors[0]
		return c.PID == orders.PID && c.State == supervise.Running && c.Replacement != "" && strings.HasPrefix(c.Why, held) && strings.HasSuffix(c.Why, ": no such queue: declare it")
	})
	eventually(t, "a check that warns", func() bool {
		var checks map[string]struct{ Status, Output string }
		w.agent.Call(http.MethodGet, "/v1/agent/checks", nil, &checks)
		check := checks["service:"+active.id+":connector:orders"]
		shown = fmt.Sprint(check)
		return check.Status == "warning" && strings.HasPrefix(check.Output, "running: "+held)
	}, func() string { return shown })

	t.Log("what is deleted ends, and its check with it")
	for _, name := range []string{"bad", "sad", "orders"} {
		if err := w.client.Delete(t.Context(), consul.ConnectorsPrefix("main")+name); err != nil {
			t.Fatal(err)
		}
	}
	active.await("no connectors", func(r report) bool { return len(r.Connectors) == 0 })
	eventually(t, "no checks", func() bool {
		var checks map[string]any
		w.agent.Call(http.MethodGet, "/v1/agent/checks", nil, &checks)
		return len(checks) == 3 // the leases' of the three hosts
	}, func() string { return "" })
	if status := active.stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	var services map[string]any
	w.agent.Call(http.MethodGet, "/v1/agent/services", nil, &services)
	if services[active.id] != nil || len(services) != 2 {
		t.Errorf("services %v", services)
	}
}

func TestAForeignPageCannotMoveTheConnectors(t *testing.T) {
	w := newTrio(t, patient...)
	active, _ := w.active(0, 0)
	for name, change := range map[string]func(*http.Request){
		"by a name that it made point here": func(r *http.Request) { r.Host = "evil.example:17110" },
		"by a form":                         func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
	} {
		request, err := http.NewRequest(http.MethodPost, "http://"+active.address+"/move", strings.NewReader(`{"to": "host-a"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Close = true
		change(request)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if text := readAll(t, response); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s %s", name, response.Status, text)
		}
	}
}

func TestAHostWithTheIDOfAnotherIsRefused(t *testing.T) {
	w := newTrio(t, "--lease-ttl", "500ms", "--lease-beat", "100ms")
	w.define("orders", "")
	active, r := w.active(0, 1)
	second := launch(t, w.agent.Address(), active.id, freeport.For(t), w.args...)
	select {
	case <-second.done:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	if status := second.cmd.ProcessState.ExitCode(); status != 2 || !strings.Contains(second.stderr.String(), fmt.Sprintf("%q is the ID of another connector host, which lives at %s", active.id, active.address)) {
		t.Errorf("status %d: %s", status, second.stderr)
	}
	active.await("it goes on", func(now report) bool { return now.Epoch == r.Epoch && len(now.Hosts) == 3 })
}
