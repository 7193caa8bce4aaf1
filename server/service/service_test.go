package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestPingIsTheContractByteForByte(t *testing.T) {
	ping, found := NewRegistry().Lookup("zato.ping")
	if !found {
		t.Fatal("zato.ping is not built in")
	}
	response, err := ping(NewContext(t.Context(), Call{}), Request{CID: "K1", Payload: []byte("ignored")})
	want := `{"zato_env": {"details": "", "result": "ZATO_OK", "cid": "K1"}, "zato_ping_response": {"pong": "zato"}}`
	if err != nil || string(response.Payload) != want {
		t.Errorf("got %s, %v\nwant %s", response.Payload, err, want)
	}
}

func TestCIDIsTheDecimalNumberPaddedWithZeros(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, high, low uint64) {
		number := new(big.Int).SetUint64(high)
		number.Lsh(number, 64).Or(number, new(big.Int).SetUint64(low))
		if got, want := formatCID(high, low), fmt.Sprintf("K%039d", number); got != want {
			t.Errorf("formatCID(%d, %d) = %s, want %s", high, low, got, want)
		}
	}
	for _, edge := range []uint64{0, 1, 1e19 - 1, 1e19, 1e19 + 1, math.MaxUint64} {
		check(t, edge, edge)
		check(t, 0, edge)
		check(t, edge, 0)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Uint64().Draw(t, "high"), rapid.Uint64().Draw(t, "low")) })
}

func TestNewCIDsDiffer(t *testing.T) {
	form, seen := regexp.MustCompile(`^K[0-9]{39}$`), map[string]bool{}
	for range 10_000 {
		cid := NewCID()
		if seen[cid] || !form.MatchString(cid) {
			t.Fatalf("%q is malformed or was seen before", cid)
		}
		seen[cid] = true
	}
}

func TestNewCIDAllocatesOnlyItsString(t *testing.T) {
	if got := testing.AllocsPerRun(1000, func() { NewCID() }); got > 1 {
		t.Errorf("%v allocations, want 1", got)
	}
}

func BenchmarkNewCID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewCID()
	}
}

func TestRegistry(t *testing.T) {
	none := func(*Context, Request) (Response, error) { return Response{}, nil }
	registry := NewRegistry()
	for _, c := range []struct {
		name    string
		service Service
		want    string
	}{
		{"orders.create", none, ""},
		{"orders.create", none, `service "orders.create": the name is taken, choose another`},
		{"zato.ping", none, `service "zato.ping": the name is taken, choose another`},
		{"", none, `service name "": must have characters and no spaces`},
		{"two words", none, `service name "two words": must have characters and no spaces`},
		{"nothing", nil, `service "nothing": is nil, give a function`},
	} {
		got := ""
		if err := registry.Add(c.name, c.service); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Add(%q) = %q, want %q", c.name, got, c.want)
		}
	}
	if got, want := registry.Names(), []string{"demo.echo", "demo.log", "demo.send", "demo.sleep", "orders.create", "zato.ping"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	if _, found := registry.Lookup("none"); found {
		t.Error("found a service that nobody added")
	}
}

func TestHashDependsOnTheNamesOnly(t *testing.T) {
	none := func(*Context, Request) (Response, error) { return Response{}, nil }
	one, other := NewRegistry(), NewRegistry()
	for _, name := range []string{"a", "b"} {
		if err := one.Add(name, none); err != nil {
			t.Fatal(err)
		}
	}
	before := other.Hash()
	for _, name := range []string{"b", "a"} {
		if err := other.Add(name, none); err != nil {
			t.Fatal(err)
		}
	}
	if one.Hash() != other.Hash() || one.Hash() == before || len(before) != 16 {
		t.Errorf("hashes %s, %s, of fewer services %s", one.Hash(), other.Hash(), before)
	}
}

func TestClassifyShowsOnlyWhatIsMeantToBeShown(t *testing.T) {
	const hidden = "internal error, the log has more under this cid"
	for _, c := range []struct {
		err     error
		kind    Kind
		details string
		text    string
	}{
		{NewError(Conflict, "order 7 is closed", io.EOF), Conflict, "order 7 is closed", "conflict: order 7 is closed: EOF"},
		{fmt.Errorf("while paying: %w", NewError(NotFound, "no order 7", nil)), NotFound, "no order 7", "while paying: not found: no order 7"},
		{NewError(Internal, "db1 password wrong", nil), Internal, hidden, "internal: db1 password wrong"},
		{NewError(Internal, "query", context.Canceled), Internal, hidden, "internal: query: context canceled"},
		{errors.New("db1 password wrong"), Internal, hidden, "db1 password wrong"},
		{fmt.Errorf("query: %w", context.DeadlineExceeded), Timeout, "the service took too long", "query: context deadline exceeded"},
		{fmt.Errorf("query: %w", context.Canceled), Internal, hidden, "query: context canceled"},
	} {
		kind, details := Classify(c.err)
		if kind != c.kind || details != c.details || c.err.Error() != c.text {
			t.Errorf("%v: %v, %q; want %q: %v, %q", c.err, kind, details, c.text, c.kind, c.details)
		}
	}
	if !errors.Is(NewError(Conflict, "", io.EOF), io.EOF) {
		t.Error("the cause is not wrapped")
	}
	if got := Kind(99).String(); got != "kind 99" {
		t.Errorf("Kind(99) is %q", got)
	}
}
