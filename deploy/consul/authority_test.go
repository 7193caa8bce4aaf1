package main

import (
	"crypto/x509"
	"testing"
	"time"
)

// A certificate is good for a machine that it was made for, and only there; it is renewed in the last third of its time.
func TestCertificatesAreRenewedInTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	authority, err := newAuthority("dc1", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority("dc1", now)
	if err != nil {
		t.Fatal(err)
	}
	all, err := machines("--server", []string{"consul-1=10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	w := wanted{role: "server", datacenter: "dc1", machine: all[0], now: now, valid: 30 * 24 * time.Hour}
	have, err := w.issue(authority)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCertificate(have.cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority.cert)
	for _, name := range []string{"server.dc1.consul", "consul-1", "localhost", "127.0.0.1", "10.0.0.1"} {
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if cert.VerifyHostname("client.dc1.consul") == nil || cert.VerifyHostname("10.0.0.2") == nil {
		t.Error("it is good for another machine too")
	}
	at := func(d time.Duration) wanted { later := w; later.now = now.Add(d); return later }
	if !at(19*24*time.Hour).satisfied(have, authority) || at(21*24*time.Hour).satisfied(have, authority) {
		t.Error("it is not renewed when a third of its time is left")
	}
	if w.satisfied(have, other) {
		t.Error("another authority's certificate is taken for ours")
	}
}
