package remote

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/haproxytech/client-native/v5/models"

	"zatoha/haproxy"
)

// rows are HAProxy's statistics, a row for each proxy and each server.
func (d *DataPlane) rows(ctx context.Context) ([]*models.NativeStat, error) {
	var all models.NativeStats
	_, err := d.api.call(ctx, request{method: http.MethodGet, path: "stats/native", timeout: readTimeout}, &all)
	if failure(err, (*Error).fault) {
		return nil, fmt.Errorf("%w (%w)", ErrNotRunning, err)
	}
	if err != nil {
		return nil, err
	}
	for _, process := range all {
		if process.Error == "" {
			return process.Stats, nil
		}
	}
	return nil, ErrNotRunning
}

// Stats are the counters of our frontend, our backend and each of its servers.
func (d *DataPlane) Stats(ctx context.Context) (haproxy.Stats, error) {
	rows, err := d.rows(ctx)
	if err != nil {
		return haproxy.Stats{}, err
	}
	info, err := d.info(ctx)
	if err != nil {
		return haproxy.Stats{}, err
	}
	counted := stats(rows)
	counted.Uptime = time.Duration(value(info.Uptime)) * time.Second
	counted.DroppedLogs = count(info.DroppedLogs)
	counted.Full = counted.Full || value(info.MaxConn) > 0 && value(info.CurrConns) >= value(info.MaxConn)
	return counted, nil
}

func stats(rows []*models.NativeStat) haproxy.Stats {
	counted := haproxy.Stats{Servers: map[string]haproxy.Counters{}}
	for _, row := range rows {
		switch {
		case row.Stats == nil:
		case row.Type == "server" && row.BackendName == haproxy.Backend:
			counted.Servers[row.Name] = counters(row.Stats)
		case row.Type == "backend" && row.Name == haproxy.Backend:
			counted.Backend = counters(row.Stats)
		case row.Type == "frontend" && row.Name == haproxy.Frontend:
			counted.Frontend = counters(row.Stats)
			// Its sessions are connections, of which each may carry many requests.
			counted.Frontend.Rate = int(value(row.Stats.ReqRate))
			counted.Frontend.Requests = count(row.Stats.ReqTot)
			counted.Full = value(row.Stats.Slim) > 0 && value(row.Stats.Scur) >= value(row.Stats.Slim)
		}
	}
	return counted
}

func counters(row *models.NativeStatStats) haproxy.Counters {
	return haproxy.Counters{
		Traffic: haproxy.Traffic{
			Status:   row.Status,
			Check:    checkResult(row),
			Sessions: int(value(row.Scur)),
			Rate:     int(value(row.Rate)),
			Requests: count(row.Stot),
		},
		InStatus: time.Duration(value(row.Lastchg)) * time.Second,
		Queue:    int(value(row.Qcur)),
		BytesIn:  count(row.Bin),
		BytesOut: count(row.Bout),
		Responses: haproxy.Responses{
			count(row.HrspOther), count(row.Hrsp1xx), count(row.Hrsp2xx),
			count(row.Hrsp3xx), count(row.Hrsp4xx), count(row.Hrsp5xx),
		},
		Retries:        count(row.Wretr),
		Redispatches:   count(row.Wredis),
		Denied:         count(row.Dreq) + count(row.Dresp),
		RequestErrors:  count(row.Ereq),
		ConnectErrors:  count(row.Econ),
		ResponseErrors: count(row.Eresp),
		CheckFailures:  count(row.Chkfail),
		Downs:          count(row.Chkdown),
	}
}

// checkResult reads like HAProxy's own page: "L7OK/200 in 1ms".
func checkResult(row *models.NativeStatStats) string {
	text := row.CheckStatus
	if row.CheckCode != nil {
		text += fmt.Sprintf("/%d", *row.CheckCode)
	}
	if row.CheckDuration != nil {
		text += fmt.Sprintf(" in %dms", *row.CheckDuration)
	}
	return text
}

func count(n *int64) uint64 { return uint64(value(n)) }
