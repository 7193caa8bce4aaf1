package measure

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"zatoha/deploy/cluster"
)

// propagation is the controller's own histogram of how long changes took from Consul's answer to HAProxy.
type propagation struct{ sum, count float64 }

// applied adds how long the controller says that a change took since it had counted so much, which it counts a moment
// later.
func (l *lab) applied(ctx context.Context, before propagation, sample *Sample) error {
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		now, err := l.propagation(ctx)
		if err != nil || now.count == before.count {
			return false, err
		}
		*sample = append(*sample, (now.sum-before.sum)/(now.count-before.count)*1000)
		return true, nil
	})
}

func (l *lab) propagation(ctx context.Context) (propagation, error) {
	metrics, err := cluster.ReadMetrics(ctx, l.Admin)
	return propagation{
		sum:   metrics["zatoha_lb_propagation_seconds_sum"],
		count: metrics["zatoha_lb_propagation_seconds_count"],
	}, err
}

// mostResident is the most memory, in MB, that a process has had.
func mostResident(pid int) (float64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	most, ok := highWater(string(text))
	if !ok {
		return 0, fmt.Errorf("%s has no VmHWM", path)
	}
	return most, nil
}

var highWaterLine = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// highWater reads it from the kernel's text, whose kB are of 1024 bytes.
func highWater(status string) (mb float64, ok bool) {
	found := highWaterLine.FindStringSubmatch(status)
	if found == nil {
		return 0, false
	}
	kb, err := strconv.ParseFloat(found[1], 64)
	return kb * 1024 / 1e6, err == nil
}
