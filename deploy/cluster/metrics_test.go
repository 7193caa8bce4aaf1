package cluster

import (
	"maps"
	"testing"
)

func TestReadingMetrics(t *testing.T) {
	const text = `# TYPE zatoha_lb_propagation_seconds histogram
zatoha_lb_propagation_seconds_bucket{le="+Inf"} 4
zatoha_lb_propagation_seconds_sum 0.0125

zatoha_lb_said{by="a b"} 1.5e+06
`
	want := Metrics{
		`zatoha_lb_propagation_seconds_bucket{le="+Inf"}`: 4,
		"zatoha_lb_propagation_seconds_sum":               0.0125,
		`zatoha_lb_said{by="a b"}`:                        1.5e6,
	}
	if got, err := parseMetrics(text); err != nil || !maps.Equal(got, want) {
		t.Error(got, err)
	}
	for _, text := range []string{"<html>", "zatoha_lb_slots", "zatoha_lb_slots many"} {
		if got, err := parseMetrics(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
