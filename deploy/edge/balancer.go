package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"zatoha/haproxy"
)

// balancer is one outer load balancer, by its runtime socket.
type balancer struct{ socket string }

// endpoint is a cluster as an outer load balancer sees it.
type endpoint struct {
	cluster    string
	status     string // HAProxy's words: UP, "UP 1/2", DOWN, "DOWN 3/40", DRAIN, "DRAIN 1/2", MAINT
	check      string // what the last check found
	result     string // the same in HAProxy's code: L7OK, L4TOUT, "* L4TOUT" while it checks again
	draining   bool   // by an operator's will
	maintained bool
	sessions   int // open, and waiting
	requests   int // so far
}

// well says whether the endpoint answers its checks, or has failed too few of them to be down.
func (e endpoint) well() bool {
	return strings.HasPrefix(e.status, "UP") || strings.HasPrefix(e.status, "DRAIN") || e.status == "no check"
}

// takes says whether the endpoint gets new requests, or would if it were its turn.
func (e endpoint) takes() bool { return e.well() && !e.draining && !e.maintained }

// askTimeout bounds one conversation with HAProxy, which takes a millisecond.
const askTimeout = 2 * time.Second

// ask gives HAProxy commands and returns its answer.
func (b balancer) ask(ctx context.Context, commands ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	network := "tcp"
	if strings.Contains(b.socket, "/") {
		network = "unix"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, b.socket)
	if err != nil {
		return "", fmt.Errorf("the outer load balancer at %s does not answer: %w", b.socket, cause(err))
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	deadlineErr := conn.SetDeadline(deadline)
	_, writeErr := io.WriteString(conn, strings.Join(commands, ";")+"\n")
	answer, readErr := io.ReadAll(conn)
	if err := errors.Join(deadlineErr, writeErr, readErr); err != nil {
		return "", fmt.Errorf("the outer load balancer at %s does not answer: %w", b.socket, err)
	}
	return string(answer), nil
}

// cause leaves out what the text around it says anyway.
func cause(err error) error {
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network.Err
	}
	return err
}

// tell gives commands that are answered by nothing if they are done.
func (b balancer) tell(ctx context.Context, commands ...string) error {
	answer, err := b.ask(ctx, commands...)
	if err == nil && strings.TrimSpace(answer) != "" {
		err = fmt.Errorf("the outer load balancer at %s refuses: %s", b.socket, strings.Join(strings.Fields(answer), " "))
	}
	return err
}

// What a look asks for: what is wanted of each cluster, and what it does.
const (
	showStates   = "show servers state " + haproxy.EdgeBackend
	showStats    = "show stat " + haproxy.EdgeBackend + " 4 -1"
	lookCommands = showStates + ";" + showStats
)

// look reads what the load balancer does with each cluster.
func (b balancer) look(ctx context.Context) ([]endpoint, error) {
	answer, err := b.ask(ctx, lookCommands)
	if err != nil {
		return nil, err
	}
	endpoints, err := parse(answer)
	if err != nil {
		return nil, fmt.Errorf("the HAProxy at %s: %w", b.socket, err)
	}
	return endpoints, nil
}

// States of will, in HAProxy's numbers: for maintenance, by command or by inheritance, and for draining.
const (
	maintained = 0x01 | 0x02
	draining   = 0x08 | 0x10
)

// parse reads the answers to both of [lookCommands].
func parse(answer string) (all []endpoint, err error) {
	states, stats, found := strings.Cut(answer, "# pxname,")
	if !found {
		return nil, fmt.Errorf("has no backend %s: it does not run a configuration made by edge config: %.100s", haproxy.EdgeBackend, strings.TrimSpace(answer))
	}
	will := map[string]int{}
	for line := range strings.Lines(states) {
		if fields := strings.Fields(line); len(fields) > 6 && fields[1] == haproxy.EdgeBackend {
			if will[fields[3]], err = strconv.Atoi(fields[6]); err != nil {
				return nil, fmt.Errorf("its state of servers: %w", err)
			}
		}
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimSpace("pxname," + stats))).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("its statistics: %w", err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, name := range []string{"svname", "status", "check_status", "check_desc", "scur", "qcur", "stot"} {
		if _, known := column[name]; !known {
			return nil, fmt.Errorf("its statistics have no column %s", name)
		}
	}
	for _, row := range rows[1:] {
		text := func(name string) string { return row[column[name]] }
		number := func(name string) int {
			n, _ := strconv.Atoi(text(name)) // empty where HAProxy does not count
			return n
		}
		name := text("svname")
		all = append(all, endpoint{
			cluster: name, status: text("status"), check: text("check_desc"), result: text("check_status"),
			draining: will[name]&draining != 0, maintained: will[name]&maintained != 0,
			sessions: number("scur") + number("qcur"), requests: number("stot"),
		})
	}
	return all, nil
}
