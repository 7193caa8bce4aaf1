package cluster

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metrics are what a program of ours counts, by name and labels as they stand in its /metrics, such as
// zato_server_invocations_total{what="duplicate"}. What it does not tell of is 0.
type Metrics map[string]float64

// ReadMetrics asks a program of ours, which has two seconds to answer.
func ReadMetrics(ctx context.Context, address string) (Metrics, error) {
	url := "http://" + address + "/metrics"
	text, response, err := get(ctx, &once, url)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return parseMetrics(string(text))
}

// parseMetrics reads Prometheus' text format, as far as our programs write it: they give no times.
func parseMetrics(text string) (Metrics, error) {
	all := Metrics{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil || end < 0 {
			return nil, fmt.Errorf("no metric: %q", line)
		}
		all[line[:end]] = value
	}
	return all, nil
}
