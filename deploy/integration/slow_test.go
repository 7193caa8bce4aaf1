package integration

import (
	"context"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"zatoha/bench/load"
	"zatoha/deploy/cluster"
)

const (
	slowClients  = 2000
	slowFor      = 15 * time.Second
	slowOpenings = 500 // connections a second
	paced        = 500 // requests a second of those who do no harm
)

// TestSlowClients holds thousands of connections, each of them as slow as it may be, and looks how others fare.
func TestSlowClients(t *testing.T) {
	tool, err := exec.LookPath("slowhttptest")
	if err != nil {
		t.Skip("NOT RUN, for want of slowhttptest in PATH: `go run ./deploy/tools slowhttptest` installs it")
	}
	allowFiles(t, 4*slowClients)
	c := started(t, newConfig(t, 3))
	url := "http://" + c.Front
	baseline := beside(t, c, func() { pass(t, slowFor/3) })
	for _, attack := range []struct {
		name string
		args []string
	}{
		{"slow headers", []string{"-H", "-i", "2", "-x", "24", "-u", url + "/zato/ping"}},
		{"slow bodies", []string{"-B", "-i", "2", "-x", "10", "-s", "8192", "-u", url + "/zato/ping"}},
		{"slow readers", []string{"-X", "-k", "3", "-n", "5", "-w", "256", "-y", "512", "-z", "32", "-u", url + "/zato/ping"}},
	} {
		var output []byte
		p99 := beside(t, c, func() {
			args := []string{
				"-n", "19", tool, // it keeps a processor busy, which in earnest would not be ours
				"-c", strconv.Itoa(slowClients), "-r", strconv.Itoa(slowOpenings), "-p", "3",
				"-l", strconv.Itoa(int(slowFor.Seconds())),
			}
			ctx, cancel := context.WithTimeout(t.Context(), slowFor+bound)
			defer cancel()
			output, err = exec.CommandContext(ctx, "nice", append(args, attack.args...)...).CombinedOutput()
		})
		if err != nil {
			t.Fatalf("%s: %v\n%s", attack.name, err, output)
		}
		t.Logf("%s: at most %d connections; p99 %v, %.1f × that without", attack.name, mostConnected(output), p99,
			float64(p99)/float64(baseline))
		if p99 > max(10*baseline, 4*time.Second) {
			t.Errorf("%s: p99 of the others is %v and was %v", attack.name, p99, baseline)
		}
	}
	unharmed(t, c)
}

// beside loads the front without doing harm while something else happens, wants no error, and returns the p99.
func beside(t *testing.T, c *cluster.Cluster, happens func()) time.Duration {
	t.Helper()
	running, err := load.Start(t.Context(), load.Options{
		Addr: c.Front, Connections: 16, Templates: []load.Template{load.Get("/zato/ping")}, Rate: paced,
	})
	if err != nil {
		t.Fatal(err)
	}
	happens()
	report := running.Stop()
	t.Log(report)
	if report.Errors() > 0 || report.Requests == 0 {
		t.Errorf("%d of %d requests failed", report.Errors(), report.Requests)
	}
	return report.Latency.P99
}

// allowFiles raises the number of files that we and what we start may have open.
func allowFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n {
		t.Skipf("no more than %d files may be open, %d are needed: raise the hard limit (ulimit -Hn)", limit.Max, n)
	}
	// Also if it is as high already: Go raises its own limit unasked, and hands the old one to what it starts.
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

var connected = regexp.MustCompile(`connected:\D*?(\d+)\s`)

// mostConnected is the largest number of open connections that slowhttptest printed.
func mostConnected(output []byte) (most int) {
	plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAll(output, nil)
	for _, match := range connected.FindAllSubmatch(plain, -1) {
		n, _ := strconv.Atoi(string(match[1]))
		most = max(most, n)
	}
	return most
}
