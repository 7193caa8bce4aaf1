package load

// Sum is the report on several runs as on one. Times of different runs cannot be told apart in it, so that it has no
// ErrorsPerSecond; its FirstError is that of the first run that had one.
func Sum(reports []Report) Report {
	sum := Report{Statuses: map[int]int{}, Failures: map[Failure]int{}, Instances: map[string]int{}, latencies: &histogram{}}
	for _, r := range reports {
		sum.Elapsed += r.Elapsed
		sum.Connections = max(sum.Connections, r.Connections)
		sum.Requests += r.Requests
		sum.MostErrors = max(sum.MostErrors, r.MostErrors)
		sum.MostCutOff = max(sum.MostCutOff, r.MostCutOff)
		sum.AnnouncedCloses += r.AnnouncedCloses
		sum.Reconnects += r.Reconnects
		sum.Failed = append(sum.Failed, r.Failed...)
		add(sum.Statuses, r.Statuses)
		add(sum.Failures, r.Failures)
		add(sum.Instances, r.Instances)
		if sum.FirstError == "" {
			sum.FirstError = r.FirstError
		}
		sum.latencies.merge(r.latencies)
	}
	sum.Latency = sum.latencies.latency()
	return sum
}

func add[K comparable](to, counts map[K]int) {
	for key, n := range counts {
		to[key] += n
	}
}

// merge adds what another counted; nil has counted nothing.
func (h *histogram) merge(other *histogram) {
	if other == nil {
		return
	}
	for bucket, n := range other.buckets {
		h.buckets[bucket] += n
	}
	h.count += other.count
	h.worst = max(h.worst, other.worst)
}
