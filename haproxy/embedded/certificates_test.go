package embedded

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/freeport"
	"zatoha/haproxy"
)

// newCertificate is a PEM file with a self-signed certificate for a name and its key. Each has another serial number.
func newCertificate(t *testing.T, name string, notAfter time.Time) (text []byte, serial string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: notAfter,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join([][]byte{
		[]byte("what an authority writes above\n\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		[]byte("\n"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil), number.String()
}

// startTLS runs HAProxy with an HTTPS front.
func startTLS(t *testing.T, path string) (*DataPlane, *Certificates) {
	t.Helper()
	d, paths := newDataPlane(t)
	d.options.TLS = haproxy.TLS{Bind: freeport.For(t), Certificate: path}
	serve(t, d, paths, 1)
	return d, d.Certificates(zerolog.New(zerolog.NewTestWriter(t)))
}

// presented is the serial number of the certificate that a client who asks for a name gets.
func presented(t *testing.T, d *DataPlane, name string) string {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", d.options.TLS.Bind)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestACertificateIsReplacedWithoutAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "front; my.pem")
	first, one := newCertificate(t, "a.test", time.Now().Add(time.Hour))
	write(t, path, string(first))
	d, certificates := startTLS(t, path)
	worker := d.process.Status().Worker
	wants := func(when, serial, refused string) {
		t.Helper()
		certificates.look(t.Context())
		if got := presented(t, d, "a.test"); got != serial {
			t.Errorf("%s: %s is presented, want %s", when, got, serial)
		}
		list := certificates.List()
		if len(list) != 1 || list[0].File != path || !strings.Contains(list[0].Refused, refused) || (refused == "") != (list[0].Refused == "") {
			t.Errorf("%s: the list is %+v", when, list)
		}
	}
	wants("as HAProxy has loaded it", one, "")

	next, two := newCertificate(t, "a.test", time.Now().Add(2*time.Hour))
	write(t, path, string(next))
	wants("written over", two, "")
	if now := certificates.List()[0]; len(now.Names) != 1 || now.Names[0] != "a.test" || now.NotAfter.Sub(now.NotBefore) < 25*time.Hour {
		t.Errorf("it is for %v, from %v to %v", now.Names, now.NotBefore, now.NotAfter)
	}
	write(t, path, "no certificate at all")
	wants("with a bad one", two, "not a certificate and its key")
	write(t, path, string(next[:len(next)/2]))
	wants("with half of one", two, "not a certificate and its key")
	expired, _ := newCertificate(t, "a.test", time.Now().Add(-time.Hour))
	write(t, path, string(expired))
	wants("with an expired one", two, "it expired on")
	good, three := newCertificate(t, "a.test", time.Now().Add(time.Hour))
	write(t, path, string(good))
	wants("with a good one again", three, "")

	again := d.Certificates(zerolog.Nop()) // another controller
	last, four := newCertificate(t, "a.test", time.Now().Add(time.Hour))
	write(t, path, string(last))
	again.look(t.Context())
	if got := presented(t, d, "a.test"); got != four {
		t.Errorf("what was replaced while no controller looked is not served: %s, want %s", got, four)
	}
	if now := d.process.Status().Worker; now != worker {
		t.Errorf("the worker was %d and is %d: haproxy was reloaded", worker, now)
	}
}

func TestACertificateIsAddedToADirectory(t *testing.T) {
	dir := t.TempDir()
	first, one := newCertificate(t, "a.test", time.Now().Add(time.Hour))
	write(t, filepath.Join(dir, "a.pem"), string(first))
	d, certificates := startTLS(t, dir)
	certificates.look(t.Context())

	write(t, filepath.Join(dir, "b.pem"), "not yet complete")
	write(t, filepath.Join(dir, ".hidden"), "not to be read")
	certificates.look(t.Context())
	if list := certificates.List(); len(list) != 2 || list[1].Refused == "" {
		t.Errorf("with half a file the list is %+v", list)
	}
	second, two := newCertificate(t, "b.test", time.Now().Add(time.Hour))
	write(t, filepath.Join(dir, "b.pem"), string(second))
	certificates.look(t.Context())
	if a, b := presented(t, d, "a.test"), presented(t, d, "b.test"); a != one || b != two {
		t.Errorf("presented are %s and %s, want %s and %s", a, b, one, two)
	}
	if err := os.Remove(filepath.Join(dir, "a.pem")); err != nil {
		t.Fatal(err)
	}
	certificates.look(t.Context())
	if got := presented(t, d, "a.test"); got != one {
		t.Errorf("a certificate whose file is gone is no longer served before a reload: %s", got)
	}
}

func TestCertificatesWaitForHAProxy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "front.pem")
	text, _ := newCertificate(t, "a.test", time.Now().Add(time.Hour))
	write(t, path, string(text))
	d, _ := newDataPlane(t)
	d.options.TLS.Certificate = path
	certificates := d.Certificates(zerolog.Nop())
	certificates.look(t.Context())
	if list := certificates.List(); len(list) != 0 {
		t.Errorf("no haproxy runs, and the list is %+v", list)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	d, _ := newDataPlane(t)
	for _, path := range []string{"", "/no/such/file.pem"} {
		d.options.TLS.Certificate = path
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Certificates(zerolog.Nop()).Run(ctx); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}
