package integration

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// standIn is a Data Plane API with the five calls that the load balancer makes, before a real HAProxy. It stands in for
// the real program where that is not at hand, to test how the load balancer's parts work together. It keeps the file as
// it is given, where the real one takes it apart: that is tested against recordings of the real one, in haproxy/remote.
type standIn struct {
	*foreign
	mu      sync.Mutex
	version int
}

// standIn starts one.
func (f *foreign) standIn(t *testing.T) (kill func()) {
	t.Helper()
	listener, err := net.Listen("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{foreign: f, version: 1}
	mux := http.NewServeMux()
	for call, answer := range map[string]func(*http.Request) (any, error){
		"GET /configuration/raw":  s.read,
		"POST /configuration/raw": s.write,
		"GET /runtime/info":       s.info,
		"GET /runtime/servers":    s.servers,
		"GET /stats/native":       s.stats,
	} {
		method, path, _ := strings.Cut(call, " ")
		mux.HandleFunc(method+" /v2/services/haproxy"+path, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, answer) })
	}
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	return func() {
		server.Close()
		<-done
	}
}

// failure is an answer that is none of success.
type failure struct {
	status  int
	message string
}

func (f *failure) Error() string { return f.message }

func (s *standIn) answer(w http.ResponseWriter, r *http.Request, call func(*http.Request) (any, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := any(nil), error(&failure{http.StatusUnauthorized, "invalid password"})
	if user, password, _ := r.BasicAuth(); user == apiUser && password == apiPassword {
		value, err = call(r)
	}
	status := http.StatusOK
	if err != nil {
		var known *failure
		if status = http.StatusInternalServerError; errors.As(err, &known) {
			status = known.status
		}
		value = map[string]any{"code": status, "message": err.Error()}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func (s *standIn) read(*http.Request) (any, error) {
	text, err := os.ReadFile(s.path("haproxy.cfg"))
	return map[string]any{"_version": s.version, "data": string(text)}, err
}

func (s *standIn) write(r *http.Request) (any, error) {
	query := r.URL.Query()
	if query.Get("version") != strconv.Itoa(s.version) {
		return nil, &failure{http.StatusConflict, "version mismatch"}
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	next := s.path("haproxy.cfg.next")
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return nil, err
	}
	if output, err := exec.CommandContext(r.Context(), haproxyBin, "-c", "-f", next).CombinedOutput(); err != nil {
		return nil, &failure{http.StatusBadRequest, fmt.Sprintf("validation error: %v: %s", err, output)}
	}
	if err := os.Rename(next, s.path("haproxy.cfg")); err != nil {
		return nil, err
	}
	s.version++
	if query.Has("force_reload") {
		output, err := exec.CommandContext(r.Context(), "/bin/sh", s.path("reload")).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("reload failed: %w: %s", err, output)
		}
		return nil, nil
	}
	return nil, s.act(r.Header.Get("X-Runtime-Actions"))
}

// act does what the header asks for.
func (s *standIn) act(actions string) error {
	for action := range strings.SplitSeq(actions, ";") {
		words := strings.Fields(action)
		if len(words) < 4 {
			continue
		}
		server := "set server " + words[1] + "/" + words[2] + " "
		command := map[string]string{
			"SetServerState": "state " + words[3], "SetServerWeight": "weight " + words[3], "SetServerAddr": "addr " + words[3],
		}[words[0]]
		if len(words) > 4 {
			command += " port " + words[4]
		}
		answer, err := s.ask(server + command)
		if err != nil || strings.Contains(answer, "No such server") {
			return fmt.Errorf("%s: %w%s", action, err, answer)
		}
	}
	return nil
}

func (s *standIn) info(*http.Request) (any, error) {
	answer, err := s.ask("show info")
	if err != nil {
		return nil, err
	}
	info := map[string]int{}
	for line := range strings.Lines(answer) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if key := map[string]string{"Pid": "pid", "Uptime_sec": "uptime"}[name]; key != "" {
			if info[key], err = strconv.Atoi(value); err != nil {
				return nil, err
			}
		}
	}
	return []any{map[string]any{"info": info}}, nil
}

// Bits of the administrative state, as HAProxy's management guide lists them.
const (
	maintBits = 0x01 | 0x02 | 0x20
	drainBits = 0x08 | 0x10
)

// servers are those of "show servers state", of which the admin state is all that the load balancer wants to know.
func (s *standIn) servers(r *http.Request) (any, error) {
	answer, err := s.ask("show servers state " + r.URL.Query().Get("backend"))
	all := []any{}
	for line := range strings.Lines(answer) {
		fields := strings.Fields(line)
		if len(fields) < 19 || fields[0] == "#" {
			continue
		}
		port, portErr := strconv.Atoi(fields[18])
		bits, bitsErr := strconv.Atoi(fields[6])
		if err := errors.Join(portErr, bitsErr); err != nil {
			return nil, err
		}
		admin := "ready"
		switch {
		case bits&maintBits != 0:
			admin = "maint"
		case bits&drainBits != 0:
			admin = "drain"
		}
		all = append(all, map[string]any{"name": fields[3], "address": fields[4], "port": port, "admin_state": admin})
	}
	return all, err
}

func (s *standIn) stats(*http.Request) (any, error) {
	answer, err := s.ask("show stat")
	if err != nil {
		return nil, err
	}
	table, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(answer), "# "))).ReadAll()
	if err != nil {
		return nil, err
	}
	rows := []any{}
	for _, fields := range table[1:] {
		row := map[string]any{"type": "server", "backend_name": fields[0], "name": fields[1]}
		switch fields[1] {
		case "FRONTEND", "BACKEND":
			row = map[string]any{"type": strings.ToLower(fields[1]), "name": fields[0]}
		}
		row["stats"] = counters(table[0], fields)
		rows = append(rows, row)
	}
	return []any{map[string]any{"stats": rows}}, nil
}

// counters are a row's numbers, and the texts that the load balancer wants to know.
func counters(header, fields []string) map[string]any {
	all := map[string]any{}
	for i, name := range header {
		switch name {
		case "status", "check_status":
			all[name] = fields[i]
		case "weight", "slim", "throttle", "scur", "rate", "stot", "req_rate", "req_tot", "lastchg", "qcur", "bin", "bout", "check_code", "check_duration":
			if n, err := strconv.Atoi(fields[i]); err == nil {
				all[name] = n
			}
		}
	}
	return all
}
