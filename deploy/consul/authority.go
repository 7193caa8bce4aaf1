package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// pair is a certificate and its key, as PEM.
type pair struct{ cert, key []byte }

// authorityFor is how long an authority is good for. It is not renewed by itself: all machines would have to trust the
// new one before any has a certificate of it.
const authorityFor = 10 * 365 * 24 * time.Hour

// skew is how far behind the clock of a machine may be.
const skew = time.Hour

// newAuthority makes the authority that alone signs the certificates of a datacenter.
func newAuthority(datacenter string, now time.Time) (pair, error) {
	template := x509.Certificate{
		Subject:   pkix.Name{CommonName: "zatoha Consul authority of " + datacenter},
		NotBefore: now.Add(-skew), NotAfter: now.Add(authorityFor),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	return sign(&template, nil)
}

// wanted is what a machine's certificate is to say.
type wanted struct {
	role, datacenter string // "server" or "client"
	machine          machine
	now              time.Time
	valid            time.Duration
}

// names are those by which others may reach the machine. server.<datacenter>.consul makes it a server.
func (w wanted) names() []string {
	return []string{w.role + "." + w.datacenter + ".consul", w.machine.name, "localhost"}
}

func (w wanted) addresses() []net.IP {
	loopback := net.IPv4(127, 0, 0, 1).To4()
	own := net.IP(w.machine.ip.AsSlice())
	if own.Equal(loopback) {
		return []net.IP{loopback}
	}
	return []net.IP{loopback, own}
}

// satisfied says whether a certificate is as wanted, from this authority, and good for at least a third of its time.
func (w wanted) satisfied(have, authority pair) bool {
	cert, err := parseCertificate(have.cert)
	if err != nil {
		return false
	}
	issuer, err := parseCertificate(authority.cert)
	if err != nil || cert.CheckSignatureFrom(issuer) != nil {
		return false
	}
	if _, err := x509.ParseECPrivateKey(block(have.key)); err != nil {
		return false
	}
	sameAddresses := slices.EqualFunc(cert.IPAddresses, w.addresses(), net.IP.Equal)
	return sameAddresses && slices.Equal(cert.DNSNames, w.names()) && w.now.Add(w.valid/3).Before(cert.NotAfter)
}

// issue makes the certificate.
func (w wanted) issue(authority pair) (pair, error) {
	template := x509.Certificate{
		Subject:   pkix.Name{CommonName: w.names()[0]},
		NotBefore: w.now.Add(-skew), NotAfter: w.now.Add(w.valid), DNSNames: w.names(), IPAddresses: w.addresses(),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	return sign(&template, &authority)
}

// sign makes a key and signs a certificate of it: by the authority, or, if that is nil, by itself.
func sign(template *x509.Certificate, authority *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return pair{}, fmt.Errorf("make a certificate: %w", err)
	}
	parent, signer := template, key
	if authority != nil {
		if parent, err = parseCertificate(authority.cert); err != nil {
			return pair{}, fmt.Errorf("read the authority's certificate: %w", err)
		}
		if signer, err = x509.ParseECPrivateKey(block(authority.key)); err != nil {
			return pair{}, fmt.Errorf("read the authority's key: %w", err)
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return pair{}, fmt.Errorf("make a certificate: %w", err)
	}
	text, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("write a key: %w", err)
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}),
	}, nil
}

var errNoPEM = errors.New("it has no PEM block")

func parseCertificate(text []byte) (*x509.Certificate, error) {
	found := block(text)
	if found == nil {
		return nil, errNoPEM
	}
	return x509.ParseCertificate(found)
}

func block(text []byte) []byte {
	found, _ := pem.Decode(bytes.TrimSpace(text))
	if found == nil {
		return nil
	}
	return found.Bytes
}
