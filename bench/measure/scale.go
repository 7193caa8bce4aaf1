package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"zatoha/bench/report"
	"zatoha/deploy/cluster"
)

// scaled are the figures of one size.
type scaled struct {
	instances  int
	inHand     Sample        // from the snapshot in hand to HAProxy's runtime
	newInHand  Sample        // the same of an instance that is new
	endToEnd   Sample        // from the change being sent to Consul to HAProxy's runtime
	newcomer   Sample        // the same of an instance that is new
	burst      int           // changes at once
	bursts     Sample        // from the controller's learning of so many at one stroke to all being in HAProxy's runtime
	registered time.Duration // from the first registration to the last slot
	resident   float64       // of the controller, MB, at its most
}

// What a controller may take, of time and of memory.
const (
	inHandLimit   = 10   // ms, of one change at every size, and so of the median and of the p99
	burstLimit    = 2000 // ms
	residentLimit = 150  // MB
	burstRounds   = 5
)

// Scale measures single changes, many at once, and the controller's memory, at each number of instances.
func Scale(ctx context.Context, o Options, sizes []int) (Outcome, error) {
	page := report.New("Scale", o.Circumstances)
	page.Paragraph("Instances are registered in one Consul agent, without checks; nobody listens at their addresses, so HAProxy's own " +
		"checks are refused. A change is a new weight, a newcomer one instance more, each time another; it has arrived when HAProxy's runtime socket says so. " +
		"Between two of them all comes to rest. \"In hand\" is the " +
		"controller's own zatoha_lb_propagation_seconds: from Consul's answer decoded to HAProxy set. Changes are made \"at once\" while the controller is " +
		"stopped, by SIGSTOP, and their time begins at its SIGCONT.")
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
		all = append(all, target{fmt.Sprintf("%d: snapshot in hand → runtime", size), s.inHand, inHandLimit, inHandLimit}, endToEnd,
			target{fmt.Sprintf("%d: newcomer, snapshot in hand → runtime", size), s.newInHand, inHandLimit, inHandLimit},
			target{what: fmt.Sprintf("%d: newcomer, end to end", size), sample: s.newcomer},
			target{what: fmt.Sprintf("%d: %d changes at once", size, s.burst), sample: s.bursts, p99: burstLimit})
		good := s.resident <= residentLimit
		passed = passed && good
		rows = append(rows, []string{fmt.Sprint(size), fmt.Sprintf("%.1f s", s.registered.Seconds()), fmt.Sprintf("%.0f MB", s.resident), fmt.Sprint(good)})
		for i, sample := range []Sample{s.inHand, s.endToEnd, s.newcomer} {
			chart.Series[i].Points = append(chart.Series[i].Points, report.Point{X: float64(size), Y: sample.Quantile(0.5)})
		}
		fmt.Fprintf(o.Progress, "%d instances: in hand → runtime %s; end to end %s; newcomer %s, of which in hand %s; %d at once %s; at most %.0f MB\n",
			size, s.inHand, s.endToEnd, s.newcomer, s.newInHand, s.burst, s.bursts, s.resident)
	}
	met, summary := targets(page, all)
	page.Plot(chart)
	page.Table([]string{"instances", "all registered and in their slots after", fmt.Sprintf("controller resident at its most (≤ %d MB)", residentLimit), "within"}, rows)
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
		if err := s.arrive(ctx, l, instance(size+i, 10+i%200)); err != nil {
			return s, err
		}
	}
	for i := range burstRounds {
		if err := s.atOnce(ctx, l, 5+i%2); err != nil {
			return s, err
		}
	}
	s.resident, err = mostResident(l.LB.PID())
	return s, err
}

// atOnce gives many instances another weight behind the controller's back, and waits for HAProxy to have them all.
func (s *scaled) atOnce(ctx context.Context, l *lab, weight int) error {
	l.LB.Signal(syscall.SIGSTOP)
	err := l.weigh(ctx, s.burst, weight)
	began := time.Now()
	l.LB.Signal(syscall.SIGCONT)
	if err != nil {
		return err
	}
	if err := l.weighed(ctx, s.burst, weight); err != nil {
		return err
	}
	s.bursts.add(time.Since(began))
	return wait(ctx, s.rest())
}

// rest is how long a controller takes to come to rest.
func (s *scaled) rest() time.Duration { return quiet + time.Duration(s.instances)*100*time.Microsecond }

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

// arrive registers one instance more, waits for HAProxy to have it, and deregisters it. It is known by its weight, which
// no other has, in a slot that was free. It must be another one each time: one that came again within half a minute would
// have its old slot, at the same address, kept for it.
func (s *scaled) arrive(ctx context.Context, l *lab, newcomer cluster.Registration) error {
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
	counted, err := l.propagation(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := l.Register(ctx, newcomer); err != nil {
		return err
	}
	err = poll(ctx, time.Millisecond, func() (bool, error) {
		answer, err := l.Runtime(ctx, strings.Join(ask, ";"))
		return slices.ContainsFunc(strings.Split(answer, "\n"), func(line string) bool { return strings.HasPrefix(line, strconv.Itoa(newcomer.Weight)+" ") }), err
	})
	if err != nil {
		return err
	}
	s.newcomer.add(time.Since(began))
	if err := l.applied(ctx, counted, &s.newInHand); err != nil {
		return err
	}
	if err := l.Deregister(ctx, newcomer.ID); err != nil {
		return err
	}
	if err := l.await(ctx, func(status cluster.Status) bool { return len(status.Slots) == s.instances }); err != nil {
		return err
	}
	return wait(ctx, s.rest())
}

// change gives an instance another weight and waits for HAProxy to have it.
func (s *scaled) change(ctx context.Context, l *lab, id, slot string, weight int) error {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "instance-"))
	if err != nil {
		return err
	}
	counted, err := l.propagation(ctx)
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
	if err := l.applied(ctx, counted, &s.inHand); err != nil {
		return err
	}
	return wait(ctx, s.rest())
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
