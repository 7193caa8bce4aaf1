package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"zatoha/bench/report"
	"zatoha/deploy/cluster"
)

// scaled are the figures of one size.
type scaled struct {
	instances  int
	inHand     Sample        // from the snapshot in hand to HAProxy's runtime
	endToEnd   Sample        // from the change being sent to Consul to HAProxy's runtime
	newcomer   Sample        // the same of one that is new
	burst      int           // changes at once
	burstTime  time.Duration // from the last of them being in Consul to all being in HAProxy's runtime
	registered time.Duration // from the first registration to the last slot
	resident   float64       // of the controller, MiB
}

// Scale measures single changes, many at once, and the controller's memory, at each number of instances.
func Scale(ctx context.Context, o Options, sizes []int) (Outcome, error) {
	page := report.New("Scale", o.Circumstances)
	page.Paragraph("Instances are registered in one Consul agent, without checks; nobody listens at their addresses, so HAProxy's own " +
		"checks are refused. A change is a new weight, a newcomer one instance more; it has arrived when HAProxy's runtime socket says so. \"In hand\" is the " +
		"controller's own zatoha_lb_propagation_seconds: from Consul's answer decoded to HAProxy set.")
	var all []target
	var rows [][]string
	chart := report.Chart{Title: "One change, median", X: report.Axis{Label: "instances", Log: true}, Y: report.Axis{Label: "ms", Log: true}, Series: []report.Series{
		{Name: "snapshot in hand → runtime", Line: true}, {Name: "end to end", Line: true}, {Name: "newcomer, end to end", Line: true},
	}}
	passed := true
	for _, size := range sizes {
		s, err := o.scale(ctx, size)
		if err != nil {
			return Outcome{}, fmt.Errorf("%d instances: %w", size, err)
		}
		endToEnd := target{what: fmt.Sprintf("%d: end to end", size), sample: s.endToEnd}
		if size == 5000 {
			endToEnd.median = 250
		}
		all = append(all, target{what: fmt.Sprintf("%d: snapshot in hand → runtime", size), sample: s.inHand, median: 10}, endToEnd,
			target{what: fmt.Sprintf("%d: newcomer, end to end", size), sample: s.newcomer})
		good := s.burstTime <= 2*time.Second && s.resident <= 150
		passed = passed && good
		rows = append(rows, []string{
			fmt.Sprint(size), fmt.Sprintf("%.1f s", s.registered.Seconds()), fmt.Sprint(s.burst),
			fmt.Sprintf("%.2f s", s.burstTime.Seconds()), fmt.Sprintf("%.0f MiB", s.resident), fmt.Sprint(good),
		})
		for i, sample := range []Sample{s.inHand, s.endToEnd, s.newcomer} {
			chart.Series[i].Points = append(chart.Series[i].Points, report.Point{X: float64(size), Y: sample.Quantile(0.5)})
		}
		fmt.Fprintf(o.Progress, "%d instances: in hand → runtime %s; end to end %s; newcomer %s; %d at once %.2f s; %.0f MiB\n",
			size, s.inHand, s.endToEnd, s.newcomer, s.burst, s.burstTime.Seconds(), s.resident)
	}
	met, summary := targets(page, all)
	page.Plot(chart)
	page.Table([]string{"instances", "all registered and in their slots after", "changes at once", "applied after the last (≤ 2 s)", "controller resident (≤ 150 MiB)", "within"}, rows)
	return Outcome{page, passed && met, summary}, nil
}

func (o Options) scale(ctx context.Context, size int) (s scaled, err error) {
	l, err := o.lab(ctx, 0, fmt.Sprintf("--slots=%d", size+10))
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	s = scaled{instances: size, burst: min(size, 1000)}
	began := time.Now()
	if err := l.weigh(ctx, size, 1); err != nil {
		return s, err
	}
	if err := l.await(ctx, func(status cluster.Status) bool { return len(status.Slots) == size && status.Sync.Error == "" }); err != nil {
		return s, err
	}
	s.registered = time.Since(began)
	status, err := l.Status(ctx)
	if err != nil {
		return s, err
	}
	slot := status.Slots[len(status.Slots)/2]
	for i := range o.Trials {
		if err := s.change(ctx, l, slot.Instance, slot.Slot, 2+i%2); err != nil {
			return s, err
		}
	}
	for i := range o.Trials {
		if err := s.arrive(ctx, l, 10+i%200); err != nil {
			return s, err
		}
	}
	if err := l.weigh(ctx, s.burst, 5); err != nil {
		return s, err
	}
	began = time.Now()
	if err := l.weighed(ctx, s.burst, 5); err != nil {
		return s, err
	}
	s.burstTime = time.Since(began)
	s.resident, err = resident(l.LB.PID())
	return s, err
}

// instance is the n-th of them, at an address of its own.
func instance(n, weight int) cluster.Registration {
	return cluster.Registration{
		ID: fmt.Sprintf("instance-%d", n), Service: service, Weight: weight,
		Address: fmt.Sprintf("127.1.%d.%d:9", n/250, n%250+1),
	}
}

// weigh registers the first n instances with a weight, as fast as Consul takes it.
func (l *lab) weigh(ctx context.Context, n, weight int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error { return l.Register(ctx, instance(i, weight)) })
	}
	return group.Wait()
}

// weighed waits until n servers of HAProxy's have the weight.
func (l *lab) weighed(ctx context.Context, n, weight int) error {
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		state, err := l.Runtime(ctx, "show servers state bck_http_plain")
		if err != nil {
			return false, err
		}
		have := 0
		for _, server := range cluster.ReadServers(state) {
			if server.Weight == weight {
				have++
			}
		}
		return have >= n, nil
	})
}

// arrive registers one instance more, waits for HAProxy to have it, and deregisters it. It is known by its weight, which no
// other has, in a slot that was free.
func (s *scaled) arrive(ctx context.Context, l *lab, weight int) error {
	state, err := l.Runtime(ctx, "show servers state bck_http_plain")
	if err != nil {
		return err
	}
	var ask []string
	for _, server := range cluster.ReadServers(state) {
		if server.Away {
			ask = append(ask, "get weight bck_http_plain/"+server.Name)
		}
	}
	newcomer := instance(s.instances, weight)
	began := time.Now()
	if err := l.Register(ctx, newcomer); err != nil {
		return err
	}
	err = poll(ctx, time.Millisecond, func() (bool, error) {
		answer, err := l.Runtime(ctx, strings.Join(ask, ";"))
		return slices.ContainsFunc(strings.Split(answer, "\n"), func(line string) bool { return strings.HasPrefix(line, strconv.Itoa(weight)+" ") }), err
	})
	if err != nil {
		return err
	}
	s.newcomer.add(time.Since(began))
	if err := l.Deregister(ctx, newcomer.ID); err != nil {
		return err
	}
	if err := l.await(ctx, func(status cluster.Status) bool { return len(status.Slots) == s.instances }); err != nil {
		return err
	}
	return wait(ctx, quiet+time.Duration(s.instances)*100*time.Microsecond) // for the controller to come to rest
}

// change gives an instance another weight and waits for HAProxy to have it.
func (s *scaled) change(ctx context.Context, l *lab, id, slot string, weight int) error {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "instance-"))
	if err != nil {
		return err
	}
	sum, count, err := l.propagation(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := l.Register(ctx, instance(n, weight)); err != nil {
		return err
	}
	err = poll(ctx, time.Millisecond, func() (bool, error) {
		answer, err := l.Runtime(ctx, "get weight bck_http_plain/"+slot)
		return strings.HasPrefix(answer, strconv.Itoa(weight)+" "), err
	})
	if err != nil {
		return err
	}
	s.endToEnd.add(time.Since(began))
	return poll(ctx, 10*time.Millisecond, func() (bool, error) { // the controller counts it a moment later
		sumNow, countNow, err := l.propagation(ctx)
		if err != nil || countNow == count {
			return false, err
		}
		s.inHand = append(s.inHand, (sumNow-sum)/(countNow-count)*1000)
		return true, nil
	})
}

var propagationMetric = regexp.MustCompile(`(?m)^zatoha_lb_propagation_seconds_(sum|count) (\S+)$`)

// propagation reads the controller's own histogram.
func (l *lab) propagation(ctx context.Context) (sum, count float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Admin+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, 0, err
	}
	for _, found := range propagationMetric.FindAllSubmatch(text, -1) {
		value, err := strconv.ParseFloat(string(found[2]), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("the metric %s: %w", found[0], err)
		}
		if string(found[1]) == "sum" {
			sum = value
		} else {
			count = value
		}
	}
	return sum, count, nil
}

// poll asks until it is so, fails, or takes too long.
func poll(ctx context.Context, every time.Duration, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		if done, err := so(); done || err != nil {
			return err
		}
		if err := wait(ctx, every); err != nil {
			return err
		}
	}
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s*(\d+) kB$`)

// resident is a process' memory in MiB.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	found := residentLine.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
	}
	kb, err := strconv.ParseFloat(string(found[1]), 64)
	return kb / 1024, err
}
