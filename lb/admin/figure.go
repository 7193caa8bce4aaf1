package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// labels are those of one thing, which all its figures share, in the order of their names.
type labels []*dto.LabelPair

func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// figure is a counter or a gauge. The library's own has labels of its own, which with thousands of servers would be most
// of what a scrape takes: some tens of megabytes.
type figure struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  float64
	labels labels
}

// Desc is the description.
func (f figure) Desc() *prometheus.Desc { return f.desc }

// Write shows the value. It never fails.
func (f figure) Write(to *dto.Metric) error {
	to.Label = f.labels
	if f.kind == prometheus.CounterValue {
		to.Counter = &dto.Counter{Value: &f.value}
	} else {
		to.Gauge = &dto.Gauge{Value: &f.value}
	}
	return nil
}
