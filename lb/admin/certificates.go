package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/haproxy"
)

// renewal is how long before its end a certificate should have been renewed; one that lives for less than four times as
// long, in the last quarter of its life.
const renewal = 7 * 24 * time.Hour

func expires(c haproxy.Certificate, now time.Time) bool {
	return !c.NotAfter.IsZero() && c.NotAfter.Sub(now) < min(renewal, c.NotAfter.Sub(c.NotBefore)/4)
}

// certificateRisks is what is wrong with the certificates of the HTTPS front, or soon will be.
func (s *Status) certificateRisks() []Risk {
	var found []Risk
	risk := func(is bool, what, means string) {
		if is {
			found = append(found, Risk{What: what, Means: means})
		}
	}
	for _, c := range s.Certificates {
		left := c.NotAfter.Sub(s.Now)
		risk(expires(c, s.Now) && left <= 0, fmt.Sprintf("The certificate in %s has expired", c.File),
			"Clients refuse it. Put a good one in its place: it is taken up at once.")
		risk(expires(c, s.Now) && left > 0, fmt.Sprintf("The certificate in %s expires in %s", c.File, span(left)),
			"Then clients refuse it. Put a new one in its place: it is taken up at once.")
		risk(c.Refused != "", fmt.Sprintf("The certificate file %s is refused: %s", c.File, c.Refused),
			"HAProxy goes on with what it has, but may not start or reload with this file. Put a good one in its place.")
	}
	return found
}

var (
	descCertificateEnd     = desc("certificate_expires_in_seconds", "Seconds until a certificate of the HTTPS front expires.", "file")
	descCertificateDue     = desc("certificate_due", "1 if a certificate of the HTTPS front should have been renewed by now.", "file")
	descCertificateRefused = desc("certificate_refused", "1 if a certificate file has something that is not served.", "file")
)

func exportCertificates(gauge func(desc *prometheus.Desc, value float64, labels ...string), s Status) {
	for _, c := range s.Certificates {
		file := strings.ToValidUTF8(c.File, "\uFFFD")
		gauge(descCertificateRefused, truth(c.Refused != ""), file)
		gauge(descCertificateDue, truth(expires(c, s.Now)), file)
		if !c.NotAfter.IsZero() { // of one that was never good nothing is known
			gauge(descCertificateEnd, c.NotAfter.Sub(s.Now).Seconds(), file)
		}
	}
}
