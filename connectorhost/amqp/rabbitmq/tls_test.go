package rabbitmq

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/deploy/freeport"
)

// certificates and where the node speaks TLS.
var (
	tlsAddress     string
	ownCA, otherCA string // paths
)

// secure makes certificates, and the lines of rabbitmq.conf by which the node speaks TLS.
func secure(folder string) ([]string, error) {
	address, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	tlsAddress = address
	path := func(name string) string { return filepath.Join(folder, name) }
	ownCA, otherCA = path("cert.pem"), path("other.pem")
	for name, key := range map[string]string{"cert.pem": "key.pem", "other.pem": "other-key.pem"} {
		if err := selfSigned(path(name), path(key)); err != nil {
			return nil, err
		}
	}
	return []string{
		"listeners.ssl.1 = " + tlsAddress, "ssl_options.certfile = " + path("cert.pem"), "ssl_options.keyfile = " + path("key.pem"),
		"ssl_options.cacertfile = " + path("cert.pem"), "ssl_options.verify = verify_none",
	}, nil
}

func selfSigned(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "zatoha test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o644); err != nil {
		return err
	}
	return os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

func TestTLSIsUsedAndProven(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	address := "amqps://guest:guest@" + tlsAddress + "/?cacertfile="
	r := runChannel(t, map[string]any{"url": address + ownCA, "queue": queue}, succeed)
	r.await(t, connector.Running)
	put(t, queue, named("1"))
	conformance.Eventually(t, "call", func() bool { return r.now().Counts.Accepted == 1 })
	r.stop(t)

	for name, url := range map[string]string{"another CA": address + otherCA, "no CA": strings.TrimSuffix(address, "?cacertfile=")} {
		r := runChannel(t, map[string]any{"url": url, "queue": queue}, succeed)
		if s := r.await(t, connector.BackingOff); !strings.Contains(s.Reason, "refused") || !strings.Contains(s.Reason, "certificate") {
			t.Errorf("%s: %+v", name, s)
		}
		r.stop(t)
	}
}
