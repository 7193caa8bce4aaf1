package admin

import (
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
)

func TestCertificatesAreMetricsByFile(t *testing.T) {
	f := healthy()
	if _, body := f.get(t, "/metrics"); strings.Contains(body, "zatoha_lb_certificate") {
		t.Error("there are metrics of certificates without a certificate")
	}
	year := func(left time.Duration) haproxy.Certificate {
		end := time.Now().Add(left)
		return haproxy.Certificate{NotBefore: end.Add(-365 * day), NotAfter: end}
	}
	due, good, never := year(6*day), year(8*day), haproxy.Certificate{File: "/never.pem", Refused: "no key"}
	due.File, good.File = "/due.pem", "/good.pem"
	f.certificates = []haproxy.Certificate{due, good, never}
	_, body := f.get(t, "/metrics")
	for _, line := range []string{
		`zatoha_lb_certificate_due{file="/due.pem"} 1`, `zatoha_lb_certificate_due{file="/good.pem"} 0`, `zatoha_lb_certificate_due{file="/never.pem"} 0`,
		`zatoha_lb_certificate_refused{file="/good.pem"} 0`, `zatoha_lb_certificate_refused{file="/never.pem"} 1`,
		`zatoha_lb_certificate_expires_in_seconds{file="/due.pem"} 518`, `zatoha_lb_certificate_expires_in_seconds{file="/good.pem"} 691`,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(body, `zatoha_lb_certificate_expires_in_seconds{file="/never.pem"}`) {
		t.Error("the end of a certificate is told that was never read")
	}
}
