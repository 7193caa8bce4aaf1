package consultest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/consultest"
)

// ask makes a call to a server, which must be answered with 200, and returns the answer.
func ask(ctx context.Context, method, address, call, body string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/v1/"+call, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return string(answer), err
}

// until looks until the condition holds, and fails the test when it does not in a minute.
func until(t *testing.T, what string, condition func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-ticker.C:
		}
	}
}

// What three servers know outlives their leader; one of three alone knows nothing for sure; two do again.
func TestThreeServersOutliveTheirLeader(t *testing.T) {
	t.Parallel()
	began := time.Now()
	servers := consultest.StartServers(t)
	leader := servers.AwaitLeader()
	t.Logf("three servers had a leader after %v", time.Since(began))
	write := func(ctx context.Context, i int, value string) error {
		_, err := ask(ctx, http.MethodPut, servers.Address(i), "kv/a", value)
		return err
	}
	if err := write(t.Context(), leader, "1"); err != nil {
		t.Fatal(err)
	}

	began = time.Now()
	servers.Kill(leader)
	second := servers.AwaitLeader()
	t.Logf("two servers had a leader %v after the kill of the first", time.Since(began))
	if second == leader || servers.Running(leader) {
		t.Fatalf("the leader is %d, which was killed", second)
	}
	value, err := ask(t.Context(), http.MethodGet, servers.Address(second), "kv/a?raw&consistent", "")
	if err != nil || value != "1" {
		t.Fatalf("after the first leader's death: %q, %v", value, err)
	}

	servers.Kill(second)
	third := servers.Count() - leader - second
	if i, known := servers.Leader(); known {
		t.Errorf("%d of one is the leader", i)
	}
	if err := write(t.Context(), third, "2"); err == nil {
		t.Error("one server of three took a write")
	}

	began = time.Now()
	servers.Start(leader)
	servers.AwaitLeader()
	t.Logf("quorum was back %v after the start of a second", time.Since(began))
	until(t, "a write by two of three", func(ctx context.Context) error { return write(ctx, third, "3") })
	servers.Start(second)
	until(t, "a write by the last one", func(ctx context.Context) error { return write(ctx, second, "4") })
}
