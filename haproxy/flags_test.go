package haproxy

import (
	"strings"
	"testing"
	"time"
)

func TestRateLimitsAreRead(t *testing.T) {
	for text, want := range map[string]RateLimit{
		"":            {},
		"off":         {},
		"100/10s":     {100, 10 * time.Second},
		"1/1m":        {1, time.Minute},
		"1000000/1h":  {1_000_000, time.Hour},
		"60/1m0s":     {60, time.Minute},
		"1/60s":       {1, time.Minute},
		"0/1s":        {-1, 0},
		"-1/1s":       {-1, 0},
		"100":         {-1, 0},
		"100/":        {-1, 0},
		"100/10":      {-1, 0},
		"100/2h":      {-1, 0},
		"100/500ms":   {-1, 0},
		"100/1.5s":    {-1, 0},
		"many/10s":    {-1, 0},
		"100/10s/10s": {-1, 0},
	} {
		var got RateLimit
		err := got.UnmarshalText([]byte(text))
		switch {
		case want.Requests < 0 && (err == nil || !strings.Contains(err.Error(), text)):
			t.Errorf("%q: read as %v, %v", text, got, err)
		case want.Requests >= 0 && (err != nil || got != want):
			t.Errorf("%q: read as %v, %v", text, got, err)
		}
		var again RateLimit
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%q: %v reads back as %v, %v", text, got, again, err)
		}
	}
}

func TestAccessLogsAreRead(t *testing.T) {
	for _, text := range []string{"stdout", "stderr", "127.0.0.1:514", "[::1]:514", "/dev/log", "/run/my-log.sock"} {
		var got AccessLog
		if err := got.UnmarshalText([]byte(text)); err != nil || string(got) != text {
			t.Errorf("%q: read as %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "off"} {
		got := AccessLog("stdout")
		if err := got.UnmarshalText([]byte(text)); err != nil || got != "" {
			t.Errorf("%q: read as %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"on", "syslog", "localhost:514", "127.0.0.1", "127.0.0.1:0", ":514", "/dev/my log", "/", "/dev/../log", "/dev/log'"} {
		var got AccessLog
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: read as %q", text, got)
		}
	}
}
