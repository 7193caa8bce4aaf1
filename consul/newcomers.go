package consul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// serviceQuery asks for the instances of one service. Consul answers with all of them: 2 KB for each, which takes it two
// milliseconds with 100 and a hundred with 5,000. What is most urgent in them is an instance that can take traffic and
// could not before. So it is first asked for those that are not known as passing, which is answered by any change, with
// hardly anything in it; then for all.
//
// An agent answers from what the servers stream to it, which reaches it some time after they know, and keeps it in step
// for each question by itself. So where it is urgent, and instances are few enough, the servers are asked themselves,
// though it is more to do for them.
//
// One case. A hundred instances are known, at index 50, and another registers at index 51. The answer to the question for
// newcomers is that one; ask returns the hundred and it, as the state of index 51. The next ask gets all of them, which
// tells the same, or what else has changed.
type serviceQuery struct {
	client  *Client
	service string
	entries entries // of the answers with all
	fresh   entries // of those with newcomers
	urgent  bool
	last    Snapshot // that ask has returned
	told    bool     // of newcomers, while the rest is to be asked for
	filters filters
	doubted *Snapshot // the state before the last one, if who could take traffic in it is lacking now; nil else
}

// ask is a [query]. The index is of the last answer with all instances, also when it tells of newcomers.
func (q *serviceQuery) ask(ctx context.Context, index uint64) (Snapshot, uint64, error) {
	if q.doubted != nil {
		return q.verify(ctx)
	}
	direct := q.urgent && len(q.last.Instances) < maxDirect
	if (q.told || index != 0 && !direct) && !sleep(ctx, breather(len(q.last.Instances))) {
		return Snapshot{}, 0, ctx.Err()
	}
	if filter := notPassing(q.last.Instances); filter != "" && index != 0 && !q.told && (direct || q.filters.may(filter, time.Now())) {
		newcomers, err := q.client.snapshot(ctx, q.service, question{index: index, filter: filter, direct: direct}, &q.fresh)
		if !direct {
			q.filters[filter] = time.Now()
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded): // the other question would only wait as long again
			q.last = Snapshot{}
			return Snapshot{}, 0, err
		case err != nil: // if Consul is away, the other question tells so
		case newcomers.Index == index: // it was held until the wait was over
			index = 0 // see verify
		case newcomers.Index < index:
			index = 0 // see watch
		case len(newcomers.Instances) > 0:
			q.told, q.last = true, q.last.with(newcomers)
			return q.last, index, nil
		}
	}
	all, err := q.client.snapshot(ctx, q.service, question{index: index, direct: direct}, &q.entries)
	if before := q.last; err == nil && index != 0 && !direct && before.loses(all) {
		q.doubted = &before
		if all.Index == index { // nothing was written down, so it is no removal
			return q.verify(ctx)
		}
	}
	q.told, q.last = false, all
	return all, all.Index, err
}

// verify asks again when somebody is lacking who could take traffic. An agent's answer to a question with an index does
// not tell that it leaves out what the token may not read, when a policy has lost a right since; one to a question
// without does. What was lacking was observed at once, since it mostly is a removal; if it is none, what was before is
// observed again, and then the error.
func (q *serviceQuery) verify(ctx context.Context) (Snapshot, uint64, error) {
	all, err := q.client.snapshot(ctx, q.service, question{}, &q.entries)
	switch {
	case errors.Is(err, errHidden):
		q.last, q.doubted = *q.doubted, nil
		return q.last, 0, nil
	case err == nil:
		q.last, q.doubted = all, nil
	}
	q.told = false
	return all, all.Index, err
}

// loses says whether an instance that can take traffic is not in a later state.
func (s Snapshot) loses(later Snapshot) bool {
	return slices.ContainsFunc(s.Instances, func(i Instance) bool {
		_, there := slices.BinarySearchFunc(later.Instances, i, byNode)
		return !there && (i.Status == Passing || i.Status == Warning)
	})
}

// with is the state with those instances of another, later one.
func (s Snapshot) with(later Snapshot) Snapshot {
	instances := slices.Clone(s.Instances)
	for _, instance := range later.Instances {
		if i, known := slices.BinarySearchFunc(instances, instance, byNode); known {
			instances[i] = instance
		} else {
			instances = slices.Insert(instances, i, instance)
		}
	}
	return Snapshot{Service: s.Service, Index: later.Index, Instances: instances}
}

// breather is the time that whoever was told of an answer with so many instances has to act on it, before Consul and this
// program are busy with the next one, on what may be the same machine: for some milliseconds with the rest, behind
// newcomers, and where there are many also with the question alone.
func breather(instances int) time.Duration {
	return max(4*time.Millisecond, time.Duration(instances)*4*time.Microsecond)
}

const (
	minInstances = 16        // with fewer, the answer with all is as quick
	maxDirect    = 128       // with more, it would be much to do for Consul's servers
	maxUnsettled = 16        // with more that do not pass, both answers are long
	maxFilter    = 256 << 10 // bytes; Consul takes a megabyte of headers, a long URL among them
)

// notPassing is a filter, in Consul's language, for instances that are not among those that pass, or an empty one where
// the answer would be no shorter. An instance is taken for known by its ID and its node's name, each by itself: one with
// an ID known elsewhere, on a known node, comes with the others only.
func notPassing(instances []Instance) string {
	var ids, nodes []string
	for _, i := range instances {
		if i.Status != Passing {
			continue
		}
		ids = append(ids, i.ID)
		if len(nodes) == 0 || nodes[len(nodes)-1] != i.Node { // they are in the order of nodes
			nodes = append(nodes, i.Node)
		}
	}
	if len(instances) < minInstances || len(instances)-len(ids) > maxUnsettled {
		return ""
	}
	filter := fmt.Sprintf("Service.ID not matches %s or Node.Node not matches %s", anyOf(ids), anyOf(nodes))
	if len(url.QueryEscape(filter)) > maxFilter {
		return ""
	}
	return filter
}

// anyOf is a regular expression for some texts, quoted for a filter, whose quotation knows no escapes.
func anyOf(texts []string) string {
	var quoted []string
	for _, text := range texts {
		quoted = append(quoted, strings.ReplaceAll(regexp.QuoteMeta(text), "`", `\x60`))
	}
	return "`^(?:" + strings.Join(quoted, "|") + ")$`"
}

// filters are those of the last questions for newcomers to the agent, by when they were answered last. For each of them,
// so for each set of instances that pass, the agent follows the service anew, and goes on so for a while after the last
// answer. Each makes a change known some 15 µs later, and all together took half a gigabyte of memory with 5,000
// instances by these limits, 1.2 with eight times as many bytes.
type filters map[string]time.Time

const (
	followed    = 21 * time.Minute // Consul's own 20, and some
	maxFilters  = 64               // instances that restart one by one would have more
	maxFollowed = 512 << 10        // bytes of filters
)

// may says whether a question by a filter leaves the agent with no more to follow than it should have.
func (f filters) may(filter string, now time.Time) bool {
	maps.DeleteFunc(f, func(_ string, last time.Time) bool { return now.Sub(last) > followed })
	if _, known := f[filter]; known {
		return true
	}
	size := len(filter)
	for other := range f {
		size += len(other)
	}
	return size <= maxFollowed && len(f) < maxFilters
}
