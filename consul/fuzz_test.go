package consul

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"
)

// answering is an agent, without a network, that gives every query the same body.
type answering []byte

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"X-Consul-Index": {"7"}},
		Body: io.NopCloser(bytes.NewReader(a)), Request: r,
	}, nil
}

// decode is what a watch makes of one answer.
func decode(t *testing.T, body []byte) (Snapshot, error) {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: "consul.test", HttpClient: &http.Client{Transport: bodyReader{answering(body)}}})
	if err != nil {
		t.Fatal(err)
	}
	c := Client{address: "consul.test", api: client, timeout: defaultTimeout, wait: defaultWait}
	return c.snapshot(t.Context(), "web", question{}, new(entries))
}

// FuzzSnapshot reads any body of /v1/health/service as a watch does. The corpus holds an answer of a real agent, and much
// that an agent should never send.
func FuzzSnapshot(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		snapshot, err := decode(t, body)
		if err != nil {
			if !reflect.DeepEqual(snapshot, Snapshot{}) {
				t.Errorf("half a snapshot beside %v: %+v", err, snapshot)
			}
			return
		}
		isSnapshot(t, snapshot)
		remembers(t, body, snapshot.Instances)
		// Whatever the order of the instances was, the snapshot is the same, unless two cannot be told apart.
		if other := reversed(t, body); other != nil && distinct(snapshot) {
			again, err := decode(t, other)
			if err != nil || !reflect.DeepEqual(again, snapshot) {
				t.Errorf("the order matters: %v\n%+v\n%+v", err, snapshot, again)
			}
		}
	})
}

// remembers wants the same from who has seen another answer, or this one, before.
func remembers(t *testing.T, body []byte, want []Instance) {
	t.Helper()
	entries := new(entries)
	for _, answer := range [][]byte{body, []byte(oneInstance), []byte("[{]"), body, body} {
		got, err := entries.decode(bytes.NewReader(answer))
		if bytes.Equal(answer, body) && (err != nil || !reflect.DeepEqual(got, want)) {
			t.Errorf("who has seen more before decodes\n%+v, %v, not\n%+v", got, err, want)
		}
	}
}

// isSnapshot wants what the users of a snapshot rely on.
func isSnapshot(t *testing.T, s Snapshot) {
	t.Helper()
	if s.Service != "web" || s.Index != 7 || s.Instances == nil {
		t.Errorf("not a whole snapshot: %+v", s)
	}
	if !slices.IsSortedFunc(s.Instances, byNode) {
		t.Errorf("instances out of order: %+v", s.Instances)
	}
	type identity struct{ node, id string }
	identities, keys := map[identity]bool{}, map[string]bool{}
	for _, instance := range s.Instances {
		identities[identity{instance.Node, instance.ID}] = true
		keys[instance.Key()] = true
		if !slices.Contains([]Status{Passing, Warning, Critical, Maintenance}, instance.Status) {
			t.Errorf("%s has the status %q", instance.Key(), instance.Status)
		}
		if !slices.IsSortedFunc(instance.Checks, byID) {
			t.Errorf("checks out of order: %+v", instance.Checks)
		}
	}
	if len(keys) != len(identities) {
		t.Errorf("%d keys for %d instances: %v", len(keys), len(identities), keys)
	}
}

func byID(a, b Check) int { return cmp.Compare(a.ID, b.ID) }

// distinct says whether no two instances, and no two checks of one, have the same name.
func distinct(s Snapshot) bool {
	keys := map[string]bool{}
	for _, instance := range s.Instances {
		same := func(a, b Check) bool { return a.ID == b.ID }
		if len(slices.CompactFunc(slices.Clone(instance.Checks), same)) != len(instance.Checks) {
			return false
		}
		keys[instance.Key()] = true
	}
	return len(keys) == len(s.Instances)
}

// reversed is a list of instances the other way round, nil where the body is no list.
func reversed(t *testing.T, body []byte) []byte {
	t.Helper()
	var entries []json.RawMessage
	// A decoder, as Consul's client has, does not look at what follows the list.
	if json.NewDecoder(bytes.NewReader(body)).Decode(&entries) != nil || entries == nil {
		return nil
	}
	slices.Reverse(entries)
	other, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return other
}
