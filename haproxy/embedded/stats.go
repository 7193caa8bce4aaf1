package embedded

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/haproxytech/client-native/v5/models"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// Stats are the counters of our frontend, our backend and each of its servers. Servers have also those sessions that go
// on in workers which a reload has replaced: who waits until a server is idle must not cut these off.
func (d *DataPlane) Stats(ctx context.Context) (haproxy.Stats, error) {
	stats, err := d.Counters(ctx)
	if err != nil {
		return haproxy.Stats{}, err
	}
	answers, err := process.AskOld(ctx, d.paths.Master(), "show sess")
	if err != nil {
		return haproxy.Stats{}, fmt.Errorf("the sessions of old workers: %w", err)
	}
	for _, old := range answers {
		for name, sessions := range parseSessions(old.Answer, haproxy.Backend) {
			counters := stats.Servers[name]
			counters.Sessions += sessions
			stats.Servers[name] = counters
		}
	}
	return stats, nil
}

// parseSessions counts the sessions of a backend's servers in an answer to "show sess", which has a line for each:
// "0x55d0c0: proto=tcpv4 src=127.0.0.1:45744 fe=front be=back srv=s1 ts=00 …".
func parseSessions(answer, backend string) map[string]int {
	count := map[string]int{}
	for line := range strings.SplitSeq(answer, "\n") {
		_, rest, ours := strings.Cut(line, " be="+backend+" srv=")
		if server, _, found := strings.Cut(rest, " "); ours && found && server != "<none>" {
			count[server]++
		}
	}
	return count
}

// Counters are Stats without the sessions of old workers, so that they need no answer of the master's.
func (d *DataPlane) Counters(ctx context.Context) (haproxy.Stats, error) {
	stats, err := d.runtime.stats(ctx, haproxy.Frontend, haproxy.Backend)
	if err != nil {
		return haproxy.Stats{}, err
	}
	info, err := d.runtime.info(ctx)
	if err != nil {
		return haproxy.Stats{}, err
	}
	stats.Uptime = time.Duration(value(info.Uptime)) * time.Second
	stats.DroppedLogs = uint64(value(info.DroppedLogs))
	stats.Full = stats.Full || value(info.MaxConn) > 0 && value(info.CurrConns) >= value(info.MaxConn)
	return stats, nil
}

// stats reads "show stat". The library's own reading takes a second or more for some thousand servers, too long for a
// page that asks every second.
func (s socket) stats(ctx context.Context, frontend, backend string) (haproxy.Stats, error) {
	return s.counted(ctx, "show stat", frontend, backend)
}

// counted reads as much of "show stat" as is asked for.
func (s socket) counted(ctx context.Context, command, frontend, backend string) (haproxy.Stats, error) {
	answer, err := within(ctx, func() (string, error) { return s.api().ExecuteWithResponse(command) })
	if err != nil {
		return haproxy.Stats{}, fmt.Errorf("%s: %w", command, err)
	}
	stats, err := parseStats(answer, frontend, backend)
	if err != nil {
		return haproxy.Stats{}, fmt.Errorf("%s: %w", command, err)
	}
	return stats, nil
}

// parseStats reads the table of all proxies and servers, of which one frontend and one backend are ours.
func parseStats(answer, frontend, backend string) (haproxy.Stats, error) {
	table := csv.NewReader(strings.NewReader(strings.TrimPrefix(answer, "# ")))
	table.FieldsPerRecord, table.ReuseRecord = -1, true
	header, err := table.Read()
	if err != nil {
		return haproxy.Stats{}, fmt.Errorf("it has no header: %w", err)
	}
	r := row{columns: map[string]int{}}
	for i, name := range header {
		r.columns[name] = i
	}
	if _, known := r.columns["svname"]; !known {
		return haproxy.Stats{}, fmt.Errorf("it is not a table of counters: %.100q", answer)
	}
	stats := haproxy.Stats{Servers: map[string]haproxy.Counters{}}
	for {
		if r.fields, err = table.Read(); errors.Is(err, io.EOF) {
			return stats, nil
		} else if err != nil {
			return haproxy.Stats{}, err
		}
		switch proxy, server := r.text("pxname"), r.text("svname"); {
		case proxy == frontend && server == "FRONTEND":
			stats.Frontend = r.counters()
			// Its sessions are connections, of which each may carry many requests.
			stats.Frontend.Rate, stats.Frontend.Requests = int(r.number("req_rate")), r.number("req_tot")
			stats.Full = r.number("slim") > 0 && r.number("scur") >= r.number("slim")
		case proxy == backend && server == "BACKEND":
			stats.Backend = r.counters()
		case proxy == backend:
			stats.Servers[server] = r.counters()
		}
	}
}

// row is one proxy's or server's line of the table.
type row struct {
	columns map[string]int
	fields  []string
}

// text is a field, or "" if this HAProxy or this line has no such field.
func (r row) text(name string) string {
	i, known := r.columns[name]
	if !known || i >= len(r.fields) {
		return ""
	}
	return r.fields[i]
}

// number is a field, or 0 if there is none or what it says is not countable.
func (r row) number(name string) uint64 {
	n, _ := strconv.ParseUint(r.text(name), 10, 64) // one too large is the largest
	return n
}

func (r row) counters() haproxy.Counters {
	return haproxy.Counters{
		Traffic: haproxy.Traffic{
			Status:   r.text("status"),
			Check:    r.check(),
			Sessions: int(r.number("scur")),
			Rate:     int(r.number("rate")),
			Requests: r.number("stot"),
		},
		InStatus: time.Duration(r.number("lastchg")) * time.Second,
		Queue:    int(r.number("qcur")),
		BytesIn:  r.number("bin"),
		BytesOut: r.number("bout"),
		Responses: haproxy.Responses{
			r.number("hrsp_other"), r.number("hrsp_1xx"), r.number("hrsp_2xx"),
			r.number("hrsp_3xx"), r.number("hrsp_4xx"), r.number("hrsp_5xx"),
		},
		Retries:        r.number("wretr"),
		Redispatches:   r.number("wredis"),
		Denied:         r.number("dreq") + r.number("dresp"),
		RequestErrors:  r.number("ereq"),
		ConnectErrors:  r.number("econ"),
		ResponseErrors: r.number("eresp"),
		CheckFailures:  r.number("chkfail"),
		Downs:          r.number("chkdown"),
	}
}

// check reads like HAProxy's own page: "L7OK/200 in 1ms". That another check is under way is of no interest.
func (r row) check() string {
	text := strings.TrimPrefix(r.text("check_status"), "* ")
	if code := r.text("check_code"); code != "" {
		text += "/" + code
	}
	if duration := r.text("check_duration"); duration != "" {
		text += " in " + duration + "ms"
	}
	return text
}

// info is what the worker that answers says about itself.
func (s socket) info(ctx context.Context) (*models.ProcessInfoItem, error) {
	info, err := within(ctx, func() (*models.ProcessInfoItem, error) {
		answer := s.api().GetInfo()
		if answer.Error != "" {
			return nil, errors.New(answer.Error)
		}
		return answer.Info, nil
	})
	if err != nil {
		return nil, fmt.Errorf("show info: %w", err)
	}
	return info, nil
}
