package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/haproxytech/client-native/v5/models"

	"zatoha/haproxy"
)

// actions are the runtime commands of changes, as the API spells them, and only those that change something. An address
// is changed only in maintenance, so that no request and no check sees half a change.
func actions(backend string, changes []haproxy.Change) (commands []string) {
	for _, change := range changes {
		from, to := change.From, change.To
		add := func(command string, arguments ...any) {
			commands = append(commands, fmt.Sprintf("%s %s %s ", command, backend, to.Name)+strings.TrimSpace(fmt.Sprintln(arguments...)))
		}
		if change.Moves() && from.Admin != haproxy.Maint {
			add("SetServerState", haproxy.Maint)
			from.Admin = haproxy.Maint
		}
		if change.Moves() {
			add("SetServerAddr", to.Address, to.Port)
		}
		// What weight a server in maintenance has, the API does not tell.
		if !to.Free() && (from.Weight != to.Weight || from.Admin == haproxy.Maint && to.Admin != haproxy.Maint) {
			add("SetServerWeight", to.Weight)
		}
		if from.Admin != to.Admin {
			add("SetServerState", to.Admin)
		}
	}
	return commands
}

// Servers are the backend's servers as the running HAProxy has them. The API's list of servers has no weights, and
// takes a server that drains for one in maintenance when the file has it disabled. Its statistics know better, but have
// the weight that a server has at the moment: in its slow start and in maintenance that is not the one that was set, and
// the one in the file stands in. That its checks were switched off they say of a server that is up.
func (d *DataPlane) Servers(ctx context.Context) ([]haproxy.Server, error) {
	rows, err := d.rows(ctx) // which says so when HAProxy does not run; the list is empty then
	if err != nil {
		return nil, err
	}
	d.closed.Store(stats(rows).Frontend.Closed())
	saved, err := d.saved(ctx)
	if err != nil {
		return nil, err
	}
	var running models.RuntimeServers
	_, err = d.api.call(ctx, request{
		method: http.MethodGet, path: "runtime/servers", query: url.Values{"backend": {haproxy.Backend}}, timeout: readTimeout,
	}, &running)
	if err != nil {
		return nil, err
	}
	return merged(running, statistics(rows), saved)
}

// unchecked is the status of a server that is up because nobody looks whether it is.
const unchecked = "no check"

// statistics are those of the backend's servers, by name.
func statistics(rows []*models.NativeStat) map[string]*models.NativeStatStats {
	byName := map[string]*models.NativeStatStats{}
	for _, row := range rows {
		if row.Type == "server" && row.BackendName == haproxy.Backend && row.Stats != nil {
			byName[row.Name] = row.Stats
		}
	}
	return byName
}

// merged are the running servers, as far as each of the three sources knows.
func merged(running models.RuntimeServers, stats map[string]*models.NativeStatStats, saved []haproxy.Server) ([]haproxy.Server, error) {
	weights := make(map[string]int, len(saved))
	for _, server := range saved {
		weights[server.Name] = server.Weight
	}
	servers := make([]haproxy.Server, 0, len(running))
	for _, one := range running {
		if one == nil || stats[one.Name] == nil {
			return nil, errors.New("haproxy was reloaded while its servers were read: read them again")
		}
		row := stats[one.Name]
		server := haproxy.Server{
			Name: one.Name, Address: one.Address, Port: int(value(one.Port)),
			Weight: int(value(row.Weight)), MaxConn: int(value(row.Slim)), Admin: haproxy.Admin(one.AdminState),
			Unchecked: row.Status == unchecked,
		}
		maint := strings.HasPrefix(row.Status, "MAINT")
		if server.Admin == haproxy.Maint && !maint {
			server.Admin = haproxy.Drain
		}
		if weight, ok := weights[one.Name]; ok && (maint || row.Throttle != nil) {
			server.Weight = weight
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// Answers asks whether HAProxy answers through the API. The error is [ErrNotRunning] if only the API itself does.
func (d *DataPlane) Answers(ctx context.Context) error {
	_, err := d.worker(ctx)
	return err
}

// worker is the process id of the worker that answers. The error is ErrNotRunning if none does but the API.
func (d *DataPlane) worker(ctx context.Context) (int64, error) {
	info, err := d.info(ctx)
	if err != nil {
		return 0, err
	}
	return value(info.Pid), nil
}

func (d *DataPlane) info(ctx context.Context) (*models.ProcessInfoItem, error) {
	var all models.ProcessInfos
	_, err := d.api.call(ctx, request{method: http.MethodGet, path: "runtime/info", timeout: readTimeout}, &all)
	if failure(err, (*Error).fault) {
		return nil, fmt.Errorf("%w (%w)", ErrNotRunning, err)
	}
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Error == "" && one.Info != nil && one.Info.Pid != nil {
			return one.Info, nil
		}
	}
	return nil, ErrNotRunning
}

// How long a new worker may take to answer, and how often it is asked for. HAProxy 2.6 loses the signal to reload if it
// comes too soon behind the last one, when the new worker answers already and the master is not yet listening: measured,
// in one of four cases after 5 ms and in none after 20 ms. So a reload is given time to end, and asked for again.
const (
	reloadTimeout  = 15 * time.Second
	reloadInterval = 20 * time.Millisecond
	reloadEnd      = 100 * time.Millisecond
	reloadPatience = 4 * time.Second // till it is asked for again
)

// awaitWorker returns when another worker than the old one answers: HAProxy 2.6 itself does not tell how a reload went.
func (d *DataPlane) awaitWorker(ctx context.Context, old int64) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	ticker, again := time.NewTicker(reloadInterval), time.NewTicker(d.patience)
	defer ticker.Stop()
	defer again.Stop()
	for {
		worker, err := d.worker(ctx)
		if err == nil && worker != old {
			ticker.Reset(reloadEnd)
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
			return nil
		}
		select {
		case <-ticker.C:
		case <-again.C:
			_ = d.reload(ctx) // if that fails, the wait ends by the worker or by the time-out all the same
		case <-ctx.Done():
			return fmt.Errorf("haproxy was told to reload and worker %d still serves: see the API's reload command and haproxy's log: %w", old, ctx.Err())
		}
	}
}

// reload has HAProxy load the file as it is.
func (d *DataPlane) reload(ctx context.Context) error {
	have, err := d.read(ctx)
	if err != nil {
		return err
	}
	query := url.Values{"version": {strconv.FormatInt(have.version, 10)}, "force_reload": {"true"}}
	_, err = d.api.call(ctx, request{method: http.MethodPost, path: rawPath, query: query, body: have.raw, timeout: writeTimeout}, nil)
	return err
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
