package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
)

// StartConsulClient starts an agent that is no server, as each machine of a datacenter has one, which joins servers by
// their Serf addresses, and waits until it knows their leader. Its API listens at the address given.
func StartConsulClient(ctx context.Context, binary, node, address, dir string, servers ...string) (*Process, error) {
	serf, err := FreePorts(1)
	if err != nil {
		return nil, err
	}
	args := []string{
		"agent", "-node=" + node, "-data-dir=" + filepath.Join(dir, "data"), "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn",
		"-hcl=disable_update_check = true", "-retry-interval=200ms", "-disable-host-node-id",
		"-http-port=" + port(address), "-serf-lan-port=" + strconv.Itoa(serf[0]), "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
	}
	for _, server := range servers {
		args = append(args, "-retry-join="+server)
	}
	p, err := startProcess(node, filepath.Join(dir, "consul.log"), withoutConsul(os.Environ()), binary, args...)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, func(ctx context.Context) error { return hasLeader(ctx, address) }); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}
