package reconcile

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"zatoha/consul"
	"zatoha/lb/state"
)

// services shows the loop a snapshot of web-1, web-2 … that publish these hashes.
func (w *world) services(t *testing.T, hashes ...string) {
	t.Helper()
	w.index++
	snapshot := consul.Snapshot{Index: w.index}
	for i, hash := range hashes {
		snapshot.Instances = append(snapshot.Instances, consul.Instance{
			Node: "n", ID: fmt.Sprintf("web-%d", i+1), Address: fmt.Sprintf("10.0.0.%d", i+1), Port: 80,
			WeightPassing: 1, WeightWarning: 1, Status: consul.Passing, Meta: map[string]string{"services_hash": hash},
		})
	}
	w.Observe(t.Context(), consul.Observation{Snapshot: snapshot})
	synctest.Wait()
}

func TestAServerWithOtherServicesIsHeldUntilItIsLikeMost(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		w.options.Policy.Parity = state.HoldParity
		w.services(t, "a", "a", "b")
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 drain")
		report := w.Report().Parity
		if report.Majority != "a" || len(report.Differing) != 1 || !report.Differing[0].Held || report.Differing[0].ID != "web-3" {
			t.Errorf("%+v", report)
		}
		pass(time.Minute)
		if ack := w.plane.take("zato/main/drained/web-3"); ack != "" {
			t.Errorf("who is held was told that it may go: %s", ack)
		}
		w.services(t, "a", "a", "a")
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 ready")
		if report := w.Report().Parity; len(report.Differing) > 0 {
			t.Errorf("%+v", report)
		}
		// It is in rotation now, and stays there whatever it publishes.
		w.services(t, "a", "a", "b")
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 ready")
		if report := w.Report().Parity; len(report.Differing) != 1 || report.Differing[0].Held {
			t.Errorf("%+v", report)
		}
	})
}

func TestParityIsOnlyReportedByDefault(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.services(t, "a", "a", "b")
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 ready")
		if report := w.Report().Parity; len(report.Differing) != 1 || report.Differing[0].Held {
			t.Errorf("%+v", report)
		}
	})
}
