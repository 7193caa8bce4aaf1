package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// told are the lines by which a run says when certificates end: the level and the file of each.
func told(t *testing.T, s *setup, now time.Time) (lines []string, text string) {
	t.Helper()
	var said bytes.Buffer
	s.tellEndings(zerolog.New(&said), now)
	for line := range strings.Lines(said.String()) {
		var event struct{ Level, File, Ends string }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(s.Dir, event.File)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, event.Level+" "+name)
	}
	return lines, said.String()
}

// Each run says when certificates end, also of machines that it was not told of; it warns of those that it does not
// renew.
func TestEachRunTellsWhenCertificatesEnd(t *testing.T) {
	t.Parallel()
	s := someSetup(t, t.TempDir())
	written(t, s)
	short := someSetup(t, s.Dir)
	short.Client, short.Valid = []string{"web-3=10.0.1.3"}, 50*24*time.Hour
	written(t, short)
	now := time.Now()
	const of = "/consul.d/agent.pem"
	day := func(n time.Duration) time.Time { return now.Add(n * 24 * time.Hour) }
	named := []string{"info consul-1" + of, "info consul-2" + of, "info consul-3" + of, "info web-1" + of, "info web-2" + of}
	for _, test := range []struct {
		at        time.Time
		web3, ca  string
		part, not string
	}{
		{day(0), "warn", "info", `"days":49,"message":"a certificate ends, and this run did not renew it`, "the authority ends"},
		{day(3600), "warn", "warn", `"days":49,"message":"the authority ends`, "nobody knows"},
	} {
		lines, text := told(t, s, test.at)
		middle := slices.Clone(lines)
		slices.Sort(middle[1 : len(middle)-1]) // they were made within a second
		want := slices.Concat([]string{test.web3 + " web-3" + of}, named, []string{test.ca + " ca.pem"})
		if !slices.Equal(middle, want) || !strings.Contains(text, test.part) || strings.Contains(text, test.not) {
			t.Errorf("at %v: %s; want %q, and %s", test.at, text, want, test.part)
		}
	}
	var said bytes.Buffer
	if err := s.Run(t.Context(), zerolog.New(&said)); err != nil || strings.Count(said.String(), `"message":"a certificate ends`) != 7 {
		t.Errorf("a run: %v, %s", err, said.String())
	}
	if lines, _ := told(t, short, now); slices.Contains(lines, "warn web-3"+of) {
		t.Errorf("a warning of what this run renews: %q", lines)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "web-3", "consul.d", "agent.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if lines, text := told(t, s, now); lines[0] != "warn web-3"+of || !strings.Contains(text, "nobody knows when this certificate ends") {
		t.Errorf("of a damaged one: %s", text)
	}
}
