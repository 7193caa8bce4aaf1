package load

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"
)

// Report is what became of the requests of a run. Each is counted in Requests and in one of Statuses and Failures.
type Report struct {
	Elapsed         time.Duration // since the start, or of the whole run once it has ended
	Connections     int
	Requests        int             // those with an outcome
	Statuses        map[int]int     // whole answers by status code
	Failures        map[Failure]int // requests without a whole answer
	AnnouncedCloses int             // answers that ended their connection, as `Connection: close` says; no errors
	Reconnects      int             // connections opened by a client that had one before
	Latency         Latency
	Instances       map[string]int // whole answers by the value of Options.InstanceHeader
	ErrorsPerSecond []int          // by when the outcome came; ends with the last second that had an error
	FirstError      string         // when and what, for the reader
	MostErrors      int            // of the client that had the most
	MostCutOff      int            // errors but refused connections, of the client that had the most of those
	Failed          []time.Time    // when each request that failed was begun

	latencies *histogram // for Sum
}

// Latency is of whole answers, whatever their status, from when the request was due (at full speed: when it began) to
// the last byte. Median and P99 are at most 0.8 % too high; Worst is exact.
type Latency struct {
	Count              int
	Median, P99, Worst time.Duration
}

func success(status int) bool { return status >= 200 && status <= 299 }

// Errors is how many requests a client would call failed: answered with other than 2xx, or not answered.
func (r Report) Errors() int {
	failed := r.Requests
	for status, n := range r.Statuses {
		if success(status) {
			failed -= n
		}
	}
	return failed
}

// Closes is how many connections ended without notice.
func (r Report) Closes() (n int) {
	for _, failure := range []Failure{Reset, SilentClose, EarlyClose, Truncated} {
		n += r.Failures[failure]
	}
	return n
}

// String is the report as one paragraph.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests over %d connections in %v; answers: %s; %d errors, not answered: %s; "+
		"%d announced closes, %d reconnects; latency of %d: median %v, p99 %v, worst %v",
		r.Requests, r.Connections, readable(r.Elapsed), tally(r.Statuses), r.Errors(), tally(r.Failures),
		r.AnnouncedCloses, r.Reconnects,
		r.Latency.Count, readable(r.Latency.Median), readable(r.Latency.P99), readable(r.Latency.Worst))
	if len(r.Instances) > 0 {
		fmt.Fprintf(&b, "; served by: %s", tally(r.Instances))
	}
	if r.FirstError != "" {
		fmt.Fprintf(&b, "; errors in each second: %v, the first %s", r.ErrorsPerSecond, r.FirstError)
	}
	return b.String() + "."
}

// tally lists counts in the order of their keys, as in "990 × 200, 6 × 503".
func tally[K cmp.Ordered](counts map[K]int) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d × %v", counts[key], key))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// readable rounds to a precision that a reader wants.
func readable(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// recorder adds up the outcomes of all clients.
type recorder struct {
	start time.Time

	mu        sync.Mutex
	end       time.Time // zero while the run lasts
	sums      Report    // Elapsed and Latency are worked out when asked for
	latencies histogram
}

func newRecorder(connections int) *recorder {
	return &recorder{start: time.Now(), sums: Report{
		Connections: connections,
		Statuses:    map[int]int{},
		Failures:    map[Failure]int{},
		Instances:   map[string]int{},
	}}
}

// record adds a request that was due and has now ended. errors are those of its client so far, and cutOff those among
// them that are no refused connections.
func (r *recorder) record(out outcome, due time.Time, errors, cutOff int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.sums.Requests++
	r.sums.MostErrors, r.sums.MostCutOff = max(r.sums.MostErrors, errors), max(r.sums.MostCutOff, cutOff)
	if out.reconnected {
		r.sums.Reconnects++
	}
	if out.failure != "" {
		r.sums.Failures[out.failure]++
		r.failed(now, out, fmt.Sprintf("%s: %v", out.failure, out.cause))
		return
	}
	r.sums.Statuses[out.status]++
	r.latencies.add(now.Sub(due))
	if !success(out.status) {
		r.failed(now, out, fmt.Sprintf("status %d", out.status))
	}
	if out.announcedClose {
		r.sums.AnnouncedCloses++
	}
	if out.instance != "" {
		r.sums.Instances[out.instance]++
	}
}

func (r *recorder) failed(at time.Time, out outcome, what string) {
	r.sums.Failed = append(r.sums.Failed, out.begun)
	if r.sums.FirstError == "" {
		r.sums.FirstError = fmt.Sprintf("after %v: %s", readable(at.Sub(r.start)), what)
	}
	second := int(at.Sub(r.start) / time.Second)
	for len(r.sums.ErrorsPerSecond) <= second {
		r.sums.ErrorsPerSecond = append(r.sums.ErrorsPerSecond, 0)
	}
	r.sums.ErrorsPerSecond[second]++
}

func (r *recorder) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = time.Now()
}

// report copies the sums; later outcomes do not change what it returned.
func (r *recorder) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.sums
	report.Elapsed = time.Since(r.start)
	if !r.end.IsZero() {
		report.Elapsed = r.end.Sub(r.start)
	}
	latencies := r.latencies
	report.latencies, report.Latency = &latencies, latencies.latency()
	report.Statuses = maps.Clone(report.Statuses)
	report.Failures = maps.Clone(report.Failures)
	report.Instances = maps.Clone(report.Instances)
	report.ErrorsPerSecond = slices.Clone(report.ErrorsPerSecond)
	report.Failed = slices.Clone(report.Failed)
	return report
}

// The histogram cuts each power of two of nanoseconds into 128 buckets, so that none is wider than 0.8 %.
const cutBits = 7

// histogram counts durations without allocating.
type histogram struct {
	buckets [(65 - cutBits) << cutBits]int
	count   int
	worst   time.Duration
}

func (h *histogram) add(d time.Duration) {
	shift := max(bits.Len64(uint64(d))-cutBits-1, 0)
	h.buckets[shift<<cutBits+int(d>>shift)]++
	h.count++
	h.worst = max(h.worst, d)
}

func (h *histogram) latency() Latency {
	return Latency{h.count, h.quantile(0.5), h.quantile(0.99), h.worst}
}

// quantile is the end of the bucket that holds the smallest duration which a share q of all do not exceed; 0 of none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(h.count)))
	for bucket, n := range h.buckets {
		if rank -= n; n > 0 && rank <= 0 {
			shift := max(bucket>>cutBits-1, 0)
			return min(time.Duration(bucket-shift<<cutBits+1)<<shift-1, h.worst)
		}
	}
	return 0
}
