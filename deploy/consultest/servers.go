package consultest

import (
	"context"
	"syscall"
	"testing"

	"zatoha/deploy/cluster"
	"zatoha/deploy/tools/find"
)

// Servers is a Consul datacenter of three servers, as it runs in production, that a test kills and starts again:
//
//	servers := consultest.StartServers(t)
//	client, err := consul.New(servers.Address(0))
//	leader := servers.AwaitLeader()
//	servers.Kill(leader)           // the other two elect another
//	servers.Kill(servers.AwaitLeader()) // one alone is no quorum
//	servers.Start(leader)          // with what it knew; two are one
//	servers.AwaitLeader()
//
// It belongs to the test's goroutine, and ends with the test.
type Servers struct {
	t   testing.TB
	all *cluster.ConsulServers
}

// StartServers starts three servers, and returns when they have a leader. It skips the test if there is no consul binary.
func StartServers(t testing.TB) *Servers {
	t.Helper()
	binary, err := find.FindConsul()
	if err != nil {
		t.Skipf("needs a real Consul: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	all, err := cluster.StartConsulServers(ctx, cluster.ConsulServersConfig{Binary: binary, Dir: t.TempDir(), Count: 3})
	if err != nil {
		t.Fatalf("consultest: %v", err)
	}
	t.Cleanup(func() { all.Kill() })
	return &Servers{t: t, all: all}
}

// Address is a server's HTTP address, host:port, the same for all its runs.
func (s *Servers) Address(i int) string { return s.all.Servers[i].HTTP }

// Serf is a server's address for agents that join the datacenter.
func (s *Servers) Serf(i int) string { return s.all.Servers[i].Serf }

// PID is the process of a server, or the last that it had.
func (s *Servers) PID(i int) int { return s.all.Servers[i].Process().PID() }

// Count is how many servers there are, whether they run or not.
func (s *Servers) Count() int { return len(s.all.Servers) }

// Running says whether a server's process is there.
func (s *Servers) Running(i int) bool { return s.all.Servers[i].Running() }

// Leader says which server is the leader, if a quorum of them knows one that runs.
func (s *Servers) Leader() (i int, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	i, err := s.all.Leader(ctx)
	return i, err == nil
}

// StartAgent starts an agent that is no server, as each machine of our programs has one, and returns when it has joined.
// It ends with the test.
func (s *Servers) StartAgent(name string) *cluster.ConsulServer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	agent, err := s.all.StartClient(ctx, name)
	if err != nil {
		s.t.Fatalf("consultest: %v", err)
	}
	s.t.Cleanup(agent.Process().Kill)
	return agent
}

// AwaitLeader waits for a leader, and returns which it is.
func (s *Servers) AwaitLeader() int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	leader, err := s.all.AwaitLeader(ctx)
	if err != nil {
		s.t.Fatalf("consultest: %v", err)
	}
	return leader
}

// Kill ends servers with SIGKILL, as a crash would.
func (s *Servers) Kill(which ...int) {
	if len(which) > 0 {
		s.all.Kill(which...)
	}
}

// Stop ends a server in good order. It stays a member of the quorum, as when its machine is restarted.
func (s *Servers) Stop(i int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.all.Stop(ctx, i); err != nil {
		s.t.Errorf("consultest: %v", err)
	}
}

// Start starts a server that does not run, with all that it knew, and does not wait for it: see [Servers.AwaitLeader].
func (s *Servers) Start(i int) {
	s.t.Helper()
	if err := s.all.Start(i); err != nil {
		s.t.Fatalf("consultest: %v", err)
	}
}

// Freeze stops a server's process with SIGSTOP, as a machine would that hangs.
func (s *Servers) Freeze(i int) { s.all.Signal(i, syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Servers) Thaw(i int) { s.all.Signal(i, syscall.SIGCONT) }
