package haproxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy/edit"
)

// TestHAProxyTakesEveryOption has the real haproxy check each option alone, all together, and the ends of their ranges.
func TestHAProxyTakesEveryOption(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy on PATH: install the package haproxy to run this test")
	}
	dir := filepath.Join(t.TempDir(), "with 'quotes' # and spaces")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	certificate := filepath.Join(dir, "front.pem")
	writeCertificate(t, certificate)

	for name, choose := range map[string]func(*Options){
		"nothing":         func(*Options) {},
		"tls of a file":   func(o *Options) { o.TLS = TLS{Bind: "127.0.0.1:1443", Certificate: certificate} },
		"tls of a folder": func(o *Options) { o.TLS = TLS{Bind: "[::1]:1443", Certificate: dir} },
		"redirect to 443": func(o *Options) { o.TLS = TLS{Bind: "127.0.0.1:1443", Certificate: certificate, RedirectPort: 443} },
		"redirect to 8443": func(o *Options) {
			o.TLS = TLS{Bind: "127.0.0.1:1443", Certificate: certificate, RedirectPort: 8443, HSTS: time.Hour}
		},
		"yields":             func(o *Options) { o.Bind, o.Yields = "[::]:11223", true },
		"rate limit":         func(o *Options) { o.RateLimit = RateLimit{1, time.Second} },
		"slow rate limit":    func(o *Options) { o.RateLimit = RateLimit{1_000_000_000, time.Hour} },
		"log to stdout":      func(o *Options) { o.AccessLog = "stdout" },
		"log to stderr":      func(o *Options) { o.AccessLog = "stderr" },
		"log to a server":    func(o *Options) { o.AccessLog = "127.0.0.1:514" },
		"log to IPv6":        func(o *Options) { o.AccessLog = "[::1]:514" },
		"log to a socket":    func(o *Options) { o.AccessLog = "/dev/log" },
		"nothing hidden":     func(o *Options) { o.HidePaths = nil },
		"much hidden":        func(o *Options) { o.HidePaths = []string{"/a.b/c~d/_e-f", "/x"} },
		"slowstart":          func(o *Options) { o.SlowStart = 5 * time.Second },
		"no retries":         func(o *Options) { o.Retries = 0 },
		"every failure":      func(o *Options) { o.RetryOn = retryable },
		"one failure":        func(o *Options) { o.RetryOn = []string{connFailure} },
		"nothing buffered":   func(o *Options) { o.BufferRequest = false },
		"names left out":     func(o *Options) { o.HeaderNames = deleteNames },
		"names kept":         func(o *Options) { o.HeaderNames = preserveNames },
		"every check counts": func(o *Options) { o.CheckFall, o.CheckRise = 1, 1 },
		"many checks":        func(o *Options) { o.CheckFall, o.CheckRise = 10, 100 },
		"shortest interval":  func(o *Options) { o.CheckInterval = time.Millisecond },
		"longest times": func(o *Options) {
			const longest = 20 * 24 * time.Hour
			o.RequestTimeout, o.ClientTimeout, o.KeepAliveTimeout, o.QueueTimeout = longest, longest, longest, longest
			o.ConnectTimeout, o.ServerTimeout, o.TunnelTimeout, o.CheckTimeout = longest, longest, longest, longest
			o.HardStop, o.CheckInterval, o.SlowStart = longest, longest/2, longest
			o.CheckFastInterval, o.CheckDownInterval = longest/2, longest
		},
		"largest numbers": func(o *Options) { o.BufferSize, o.MaxConn, o.QueueLimit, o.Retries = 1<<20, 1_000_000, 1_000_000, 10 },
		"everything": func(o *Options) {
			*o = allOptions()
			o.TLS.Certificate, o.StatsSocket, o.RelaySocket = dir, filepath.Join(dir, "stats.sock"), filepath.Join(dir, "relay.sock")
		},
		"everything differently": func(o *Options) {
			*o = otherOptions()
			o.TLS.Certificate, o.StatsSocket, o.RelaySocket = dir, filepath.Join(dir, "stats.sock"), filepath.Join(dir, "relay.sock")
		},
	} {
		t.Run(name, func(t *testing.T) {
			options := DefaultOptions()
			options.StatsSocket = "/tmp/stats.sock"
			choose(&options)
			check(t, options)
		})
	}
}

// TestHAProxyTakesTheOuterFile has it check each form.
func TestHAProxyTakesTheOuterFile(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy on PATH: install the package haproxy to run this test")
	}
	dir := t.TempDir()
	certificate := filepath.Join(dir, "front.pem")
	writeCertificate(t, certificate)
	for name, edge := range edges() {
		if edge.TLS.Bind != "" {
			edge.TLS.Certificate = certificate
		}
		edge.TrustedProxies = allOptions().TrustedProxies
		if edge.StateFile != "" {
			edge.StateFile = filepath.Join(dir, "edge.state")
			if err := os.WriteFile(edge.StateFile, []byte("1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text, err := edit.Apply("", edge.Sections())
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(name), func(t *testing.T) { checkText(t, text) })
	}
}

// check wants haproxy to take the options without a complaint. An operator has a global section above and a frontend
// below ours.
func check(t *testing.T, options Options) {
	t.Helper()
	const (
		above = "global\n    maxconn 500\n\ndefaults\n    mode tcp\n    timeout client 1s\n"
		below = "\nfrontend partner from zatoha\n    bind 127.0.0.1:8080\n    default_backend bck_http_plain\n"
	)
	text, err := edit.Apply(above, options.Sections(someServers))
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, text+below)
}

func checkText(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), "haproxy", "-c", "-f", file).CombinedOutput()
	if err != nil || strings.Contains(string(output), "[WARNING]") {
		t.Errorf("%v: %s", err, output)
	}
}

// writeCertificate makes a PEM file with a self-signed certificate and its key.
func writeCertificate(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
