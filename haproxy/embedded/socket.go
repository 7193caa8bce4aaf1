package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/haproxytech/client-native/v5/runtime"
	"github.com/haproxytech/client-native/v5/runtime/options"

	"zatoha/haproxy"
)

// socket is HAProxy's runtime API, at this path. The library takes no context, so each call runs on its own goroutine,
// which ends with the library's own deadline at the latest.
type socket string

// api is the library's client, for one call: one client has its calls wait for each other, so that a change would come
// after all statistics that somebody reads, which take tens of milliseconds with thousands of servers.
func (s socket) api() *runtime.SingleRuntime {
	api := &runtime.SingleRuntime{}
	// Init only notes the path when it is told not to check: HAProxy need not be running yet.
	_ = api.Init(string(s), 0, 0, options.RuntimeOptions{DoNotCheckRuntimeOnInit: true})
	return api
}

// within runs a call of the library and gives up waiting for it when ctx ends. The library takes an answer apart
// without looking whether it is whole: that it panics on one that was cut short, by HAProxy's end, is an error here.
func within[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if cause := recover(); cause != nil {
				o.err = fmt.Errorf("haproxy's answer was cut short (%v)", cause)
			}
			done <- o
		}()
		o.value, o.err = call()
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("haproxy's runtime socket did not answer: %w", ctx.Err())
	}
}

// batch is the number of servers set in one round trip: their commands must fit into HAProxy's buffer.
const batch = 50

// set makes each server what it shall be, in the order given.
func (s socket) set(ctx context.Context, backend string, changes []haproxy.Change) error {
	for batched := range slices.Chunk(changes, batch) {
		var commands []string
		for _, change := range batched {
			if !change.To.Free() && !isIP(change.To.Address) {
				return fmt.Errorf("setting servers of %s: %s: %q is not an IP address", backend, change.To.Name, change.To.Address)
			}
			commands = append(commands, setCommands(backend, change)...)
		}
		if len(commands) == 0 {
			continue
		}
		answer, err := within(ctx, func() (string, error) { return s.api().ExecuteRaw(strings.Join(commands, ";")) })
		if err != nil {
			return fmt.Errorf("setting servers of %s: %w", backend, err)
		}
		if err := refusals(answer); err != nil {
			return fmt.Errorf("setting servers of %s: haproxy says: %w", backend, err)
		}
	}
	return nil
}

// cut ends the sessions of servers.
func (s socket) cut(ctx context.Context, backend string, servers []string) error {
	for batched := range slices.Chunk(servers, batch) {
		var commands []string
		for _, server := range batched {
			commands = append(commands, fmt.Sprintf("shutdown sessions server %s/%s", backend, server))
		}
		answer, err := within(ctx, func() (string, error) { return s.api().ExecuteRaw(strings.Join(commands, ";")) })
		if err := errors.Join(err, refusals(answer)); err != nil {
			return fmt.Errorf("ending the sessions of servers of %s: %w", backend, err)
		}
	}
	return nil
}

// Announce tells the HAProxy behind a runtime socket to close the connections to an address behind their next answers,
// or, without one, no connections any more. A reload ends that too.
func Announce(ctx context.Context, statsSocket string, address netip.Addr) error {
	text := ""
	if address.IsValid() {
		text = address.String()
	}
	command := fmt.Sprintf("experimental-mode on; set var %s str(%s)", haproxy.YieldVariable, text)
	answer, err := within(ctx, func() (string, error) { return socket(statsSocket).api().ExecuteRaw(command) })
	if err := errors.Join(err, refusals(answer)); err != nil {
		return fmt.Errorf("tell haproxy to close the connections to %s: %w", text, err)
	}
	return nil
}

// Yields says whether the HAProxy behind a runtime socket has a configuration by which it can be told so.
func Yields(ctx context.Context, statsSocket string) (bool, error) {
	answer, err := within(ctx, func() (string, error) {
		return socket(statsSocket).api().ExecuteRaw("get var " + haproxy.YieldVariable)
	})
	if err != nil {
		return false, fmt.Errorf("ask haproxy whether it can close the connections to an address: %w", err)
	}
	return strings.Contains(answer, haproxy.YieldVariable+":"), nil
}

// isIP keeps everything else out of a command line: commands are parted by semicolons, which a zone could have too.
func isIP(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.Zone() == ""
}

// setCommands are the commands of one change, only those that change something.
func setCommands(backend string, change haproxy.Change) (commands []string) {
	from, to := change.From, change.To
	set := func(format string, args ...any) {
		commands = append(commands, fmt.Sprintf("set server %s/%s ", backend, to.Name)+fmt.Sprintf(format, args...))
	}
	if change.Moves() && from.Admin != haproxy.Maint {
		set("state %s", haproxy.Maint)
		from.Admin = haproxy.Maint
	}
	if change.Moves() {
		set("addr %s port %d", to.Address, to.Port)
	}
	if !to.Free() && from.Weight != to.Weight {
		set("weight %d", to.Weight)
	}
	if !to.Free() && from.MaxConn != to.MaxConn {
		commands = append(commands, fmt.Sprintf("set maxconn server %s/%s %d", backend, to.Name, to.MaxConn))
	}
	if from.Admin != to.Admin {
		set("state %s", to.Admin)
	}
	// Who leaves maintenance is up at once, but only until one check fails, which may be one of the server before, that
	// was under way. Who is declared up can bear that.
	if to.Admin == haproxy.Ready && (change.Anew || change.Moves()) {
		set("health up")
	}
	if from.Unchecked {
		commands = append(commands, fmt.Sprintf("enable health %s/%s", backend, to.Name))
	}
	return commands
}

// refusals are the answers of severity error or worse (0 to 3 of syslog's).
func refusals(answer string) error {
	var all []error
	for _, line := range strings.Split(answer, "\n") {
		if len(line) > 4 && line[0] == '[' && line[1] <= '3' && line[2:4] == "]:" {
			all = append(all, errors.New(strings.TrimSpace(line[4:])))
		}
	}
	return errors.Join(all...)
}

// structure is which structure of ours the running HAProxy has, or "".
func (s socket) structure(ctx context.Context) (string, error) {
	answer, err := within(ctx, func() (string, error) { return s.api().ExecuteRaw(haproxy.AskStructure) })
	if err != nil {
		return "", fmt.Errorf("%s: %w", haproxy.AskStructure, err)
	}
	return haproxy.RunningStructure(answer), nil
}

// servers reads "show servers state", and the limits of connections, which are only in "show stat". The library's own
// reading has no weights and takes the decimal state for a hexadecimal one, which turns a drained slot into one in
// maintenance.
func (s socket) servers(ctx context.Context, backend string) ([]haproxy.Server, error) {
	const allServers = " 4 -1"
	command := "show servers state " + backend + ";show stat " + backend + allServers
	answer, err := within(ctx, func() (string, error) { return s.api().ExecuteWithResponse(command) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	states, stats, _ := strings.Cut(answer, "# pxname,")
	servers, err := parseServers(states)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	if err := takeLimits(servers, stats); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return servers, nil
}

// Columns of "show stat", whose order HAProxy's management guide promises.
const (
	statName  = 1
	statLimit = 6
	statRest  = 7
)

// takeLimits sets the servers' limits from the rows of "show stat", which has the same servers in the same order.
func takeLimits(servers []haproxy.Server, stats string) error {
	i := 0
	for row := range strings.SplitSeq(stats, "\n") {
		fields := strings.SplitN(row, ",", statRest+1)
		if i == len(servers) || len(fields) <= statRest || fields[statName] != servers[i].Name {
			continue // the header, and a last empty line
		}
		if fields[statLimit] != "" {
			limit, err := strconv.Atoi(fields[statLimit])
			if err != nil {
				return fmt.Errorf("the row %q: %w", row, err)
			}
			servers[i].MaxConn = limit
		}
		i++
	}
	if i < len(servers) {
		return fmt.Errorf("no row for server %s", servers[i].Name)
	}
	return nil
}

// Columns of "show servers state", version 1.
const (
	columnName   = 3
	columnAddr   = 4
	columnAdmin  = 6
	columnWeight = 7
	columnCheck  = 13
	columnPort   = 18
)

// Bits of a server's administrative state, as HAProxy's management guide lists them.
const (
	maintBits = 0x01 | 0x02 | 0x20 // forced, inherited, by failed resolution
	drainBits = 0x08 | 0x10        // forced, inherited
)

// Bits of the state of a server's health checks. Enabled are also those that rest in maintenance.
const (
	checkConfigured = 0x02
	checkEnabled    = 0x04
)

func parseServers(answer string) ([]haproxy.Server, error) {
	version, table, _ := strings.Cut(strings.TrimSpace(answer), "\n")
	if version != "1" {
		return nil, fmt.Errorf("the format is %q, not version 1", version)
	}
	var servers []haproxy.Server
	for _, line := range strings.Split(table, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) <= columnPort {
			return nil, fmt.Errorf("the line %q is too short", line)
		}
		port, portErr := strconv.Atoi(fields[columnPort])
		weight, weightErr := strconv.Atoi(fields[columnWeight])
		bits, bitsErr := strconv.Atoi(fields[columnAdmin])
		check, checkErr := strconv.Atoi(fields[columnCheck])
		if err := errors.Join(portErr, weightErr, bitsErr, checkErr); err != nil {
			return nil, fmt.Errorf("the line %q: %w", line, err)
		}
		servers = append(servers, haproxy.Server{
			Name: fields[columnName], Address: fields[columnAddr], Port: port, Weight: weight, Admin: admin(bits),
			Unchecked: check&(checkConfigured|checkEnabled) == checkConfigured,
		})
	}
	return servers, nil
}

func admin(bits int) haproxy.Admin {
	switch {
	case bits&maintBits != 0:
		return haproxy.Maint
	case bits&drainBits != 0:
		return haproxy.Drain
	default:
		return haproxy.Ready
	}
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
