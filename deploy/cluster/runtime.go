package cluster

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var statsSocket = regexp.MustCompile(`(?m)^\s*stats socket (\S+)`)

// runtimeTimeout bounds one command to HAProxy.
const runtimeTimeout = 5 * time.Second

// Runtime gives a command, or several with a semicolon between, to HAProxy's runtime socket and returns its answer.
func (c *Cluster) Runtime(ctx context.Context, command string) (string, error) {
	text, err := os.ReadFile(c.HAProxyCfg())
	if err != nil {
		return "", fmt.Errorf("haproxy's runtime socket: %w", err)
	}
	found := statsSocket.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("haproxy's runtime socket: %s has none", c.HAProxyCfg())
	}
	return AskHAProxy(ctx, string(found[1]), command)
}

// AskHAProxy is [Cluster.Runtime] for any HAProxy, by the path of its runtime socket.
func AskHAProxy(ctx context.Context, socket, command string) (string, error) {
	dialer := net.Dialer{Timeout: runtimeTimeout}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", fmt.Errorf("haproxy's runtime socket: %w", err)
	}
	defer conn.Close()
	deadlineErr := conn.SetDeadline(time.Now().Add(runtimeTimeout))
	_, writeErr := io.WriteString(conn, command+"\n")
	answer, readErr := io.ReadAll(conn)
	if err := errors.Join(deadlineErr, writeErr, readErr); err != nil {
		return "", fmt.Errorf("haproxy's runtime socket: %s: %w", command, err)
	}
	return string(answer), nil
}

var workerPID = regexp.MustCompile(`(?m)^Pid: (\d+)$`)

// ReadWorker is the process of the worker that has answered "show info" so.
func ReadWorker(info string) (pid int, err error) {
	found := workerPID.FindStringSubmatch(info)
	if found == nil {
		return 0, fmt.Errorf("haproxy does not tell its pid: %.200q", info)
	}
	return strconv.Atoi(found[1])
}

// ServerState is one of a backend's servers in HAProxy's runtime.
type ServerState struct {
	Name    string
	Address string // host:port
	Weight  int    // that was set
	Up      bool   // by its checks
	Away    bool   // nothing new is to be sent there, whatever its checks say
}

// away are the bits of HAProxy's administrative state that keep traffic away: maintenance, forced, inherited or by
// resolution, and drain, forced or inherited. Bit 4 only tells that the server was disabled in the file.
const away = 0x01 | 0x02 | 0x20 | 0x08 | 0x10

// ReadServers reads the answer to `show servers state`, whose fields are those of HAProxy's server-state file.
func ReadServers(state string) (all []ServerState) {
	const name, address, operational, admin, weight, port = 3, 4, 5, 6, 7, 18
	for line := range strings.Lines(state) {
		fields := strings.Fields(line)
		if len(fields) <= port || strings.HasPrefix(line, "#") {
			continue
		}
		administrative, adminErr := strconv.Atoi(fields[admin])
		weighs, weightErr := strconv.Atoi(fields[weight])
		if adminErr != nil || weightErr != nil {
			continue
		}
		all = append(all, ServerState{
			Name: fields[name], Address: net.JoinHostPort(fields[address], fields[port]), Weight: weighs,
			Up: fields[operational] != "0", Away: administrative&away != 0,
		})
	}
	return all
}

// StatColumns are columns of HAProxy's answer to `show stat`, by their names, one row for each line of it.
func StatColumns(stats string, names ...string) ([][]string, error) {
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(stats, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("haproxy's show stat: %.200q: %w", stats, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	var columns [][]string
	for _, row := range rows[1:] {
		var values []string
		for _, name := range names {
			i := slices.Index(rows[0], name)
			if i < 0 {
				return nil, fmt.Errorf("haproxy's show stat: %.200q has no %s", stats, name)
			}
			values = append(values, row[i])
		}
		columns = append(columns, values)
	}
	return columns, nil
}

// Launch starts another program beside the cluster's own, as they are started: its output goes to the cluster's logs,
// its Consul is the cluster's, and it is killed if we die. Whoever launches it stops it.
func (c *Cluster) Launch(name, binary string, args ...string) (*Process, error) {
	return c.begin(name, "", binary, args...)
}
