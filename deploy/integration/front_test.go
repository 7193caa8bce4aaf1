package integration

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// fronted is a load balancer with these arguments before one server of ours in Go.
func fronted(t *testing.T, handler http.HandlerFunc, args ...string) *cluster.Cluster {
	t.Helper()
	config := newConfig(t, 0)
	config.LBArgs = args
	c := started(t, config)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	register(t, c, "stranger", server.Listener.Addr().String())
	await(t, c, inRotation(1))
	return c
}

// writeCertificate makes a PEM file with a self-signed certificate, and returns the certificate.
func writeCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "front"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// trusting is a client that follows no redirect and trusts this certificate only.
func trusting(certificate *x509.Certificate, protocols ...string) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true, ForceAttemptHTTP2: len(protocols) == 0,
			TLSClientConfig: &tls.Config{RootCAs: roots, NextProtos: protocols},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends one request and reads the whole answer.
func ask(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestTheHTTPSFront(t *testing.T) {
	address := freeport.For(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "front.pem")
	certificate := writeCertificate(t, path)
	c := fronted(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q", r.Proto, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("Forwarded"))
	}, "--tls-listen", address, "--tls-cert", path, "--hsts=1h", "--https-redirect", port)

	for name, client := range map[string]*http.Client{"HTTP/2.0": trusting(certificate), "HTTP/1.1": trusting(certificate, "http/1.1")} {
		response, body := ask(t, client, "https://"+address+"/hello")
		if response.Proto != name || body != `HTTP/1.1 https ""` {
			t.Errorf("%s: got %s %s", name, response.Proto, body)
		}
		if hsts := response.Header.Get("Strict-Transport-Security"); hsts != "max-age=3600" {
			t.Errorf("%s: Strict-Transport-Security is %q", name, hsts)
		}
	}
	old := trusting(certificate)
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	if response, err := old.Get("https://" + address + "/hello"); err == nil {
		response.Body.Close()
		t.Error("TLS 1.1 is taken")
	}

	response, _ := ask(t, trusting(certificate), "http://"+c.Front+"/hello?a=b%20c")
	if got, want := response.Header.Get("Location"), "https://"+address+"/hello?a=b%20c"; response.StatusCode != 308 || got != want {
		t.Errorf("plain HTTP: %s to %s, want 308 to %s", response.Status, got, want)
	}
	if response, _ := ask(t, trusting(certificate), "http://"+c.Front+"/zato-lb-alive"); response.StatusCode != http.StatusOK {
		t.Errorf("the monitor answers %s", response.Status)
	}
	eventually(t, func() error {
		if _, body := ask(t, http.DefaultClient, "http://"+c.Admin+"/status"); !strings.Contains(body, path) {
			return fmt.Errorf("no certificate in the status %s", body)
		}
		return nil
	})
}

func TestWebSocketsPass(t *testing.T) {
	address := freeport.For(t)
	path := filepath.Join(t.TempDir(), "front.pem")
	writeCertificate(t, path)
	c := fronted(t, echoFrames, "--tls-listen", address, "--tls-cert", path)
	for name, dial := range map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return new(net.Dialer).DialContext(t.Context(), "tcp", c.Front) },
		"tls": func() (net.Conn, error) {
			dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
			return dialer.DialContext(t.Context(), "tcp", address)
		},
	} {
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(bound)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /chat HTTP/1.1\r\nHost: front\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		in := bufio.NewReader(conn)
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatalf("%s: got %s, %v", name, response.Status, response.Header)
		}
		for _, frame := range []string{"\x81\x05hello", "\x82\x02\x00\xff", "\x88\x00"} {
			if _, err := io.WriteString(conn, frame); err != nil {
				t.Fatal(err)
			}
			echo := make([]byte, len(frame))
			if _, err := io.ReadFull(in, echo); err != nil || string(echo) != frame {
				t.Fatalf("%s: sent %q and got %q, %v", name, frame, echo, err)
			}
		}
	}
}

// echoFrames accepts a WebSocket, knowing its only client's key, and sends back whatever comes. Other requests, as those
// that ask whether it is alive, get an empty answer.
func echoFrames(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		return
	}
	conn, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	_, _ = io.Copy(conn, in)
}

func TestTheRateLimit(t *testing.T) {
	c := fronted(t, func(http.ResponseWriter, *http.Request) {}, "--rate-limit=20/10s")
	codes := map[int]int{}
	for range 30 {
		response, body := ask(t, &client, "http://"+c.Front+"/hello")
		codes[response.StatusCode]++
		if response.StatusCode == http.StatusTooManyRequests {
			enveloped(t, "too many", response, body)
			if after := response.Header.Get("Retry-After"); after != "10" {
				t.Errorf("Retry-After is %q", after)
			}
		}
	}
	if codes[http.StatusOK] != 20 || codes[http.StatusTooManyRequests] != 10 {
		t.Errorf("of 30 requests, answered were %v; want 20 with 200 and 10 with 429", codes)
	}
	answers(t, "http://"+c.Front+"/zato-lb-alive", http.StatusOK) // the monitor does not count
}

var cid = regexp.MustCompile(`^K\d{39}$`)

// enveloped wants an error of HAProxy's own in the form of the servers' errors.
func enveloped(t *testing.T, name string, response *http.Response, body string) {
	t.Helper()
	var envelope struct {
		Env struct{ Result, CID, Details string } `json:"zato_env"`
	}
	err := json.Unmarshal([]byte(body), &envelope)
	header, valid := response.Header.Get("X-Zato-CID"), new(big.Int)
	if err != nil || envelope.Env.Result != "ZATO_ERROR" || envelope.Env.Details == "" || envelope.Env.CID != header {
		t.Errorf("%s: CID %s, body %s: %v", name, header, body, err)
	}
	if !cid.MatchString(header) {
		t.Errorf("%s: X-Zato-CID is %q", name, header)
		return
	}
	if valid.SetString(header[1:], 10); valid.BitLen() > 128 {
		t.Errorf("%s: X-Zato-CID is %s, which has %d bits", name, header, valid.BitLen())
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s: Content-Type is %q", name, kind)
	}
}

// converse sends raw bytes and reads one response.
func converse(t *testing.T, address, request string) (*http.Response, string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return converseOver(t, conn, request)
}

// converseOver sends raw bytes over a connection and reads one response, behind which nothing may come.
func converseOver(t *testing.T, conn net.Conn, request string) (*http.Response, string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	return response, string(body)
}

func TestHAProxysOwnErrorsHaveTheFormOfTheServers(t *testing.T) {
	stop := make(chan struct{})
	c := fronted(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/garbage":
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				fmt.Fprint(conn, "garbage\r\n\r\n")
				conn.Close()
			}
		case "/hang":
			<-stop
		}
	}, "--server-timeout=500ms", "--request-timeout=500ms", "--hide-paths=/metrics,/a/b")
	t.Cleanup(func() { close(stop) })
	const ok = 200
	refused, seen := 0, map[string]bool{}
	for _, test := range []struct {
		request string
		status  int
	}{
		{"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", ok},
		{"GET /hello HTTP/1.0\r\n\r\n", ok},
		{"GET /hello HTTP/1.1\r\n\r\n", 400},
		{"GET /hello HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400},
		{"POST /hello HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"GET /hello HTTP/1.1\r\nHost: a\r\nX_Y: z\r\n\r\n", 403},
		{"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 404},
		{"GET /metrics2 HTTP/1.1\r\nHost: a\r\n\r\n", ok},
		{"GET /a/b/c?x HTTP/1.1\r\nHost: a\r\n\r\n", 404},
		{"GET /a/bc HTTP/1.1\r\nHost: a\r\n\r\n", ok},
		{"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", 408},
		{"POST /garbage HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502},
		{"POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 504},
	} {
		response, body := converse(t, c.Front, test.request)
		if response.StatusCode != test.status {
			t.Errorf("%q is answered by %s %s, want %d", test.request, response.Status, body, test.status)
		}
		if test.status != ok {
			enveloped(t, strconv.Quote(test.request), response, body)
			refused++
			seen[response.Header.Get("X-Zato-CID")] = true
		}
	}
	if len(seen) != refused {
		t.Errorf("%d errors have %d CIDs", refused, len(seen))
	}
}

func TestWithoutServersThereIsA503(t *testing.T) {
	c := started(t, newConfig(t, 0))
	response, body := ask(t, &client, "http://"+c.Front+"/hello")
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" {
		t.Errorf("got %s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
	enveloped(t, "no server", response, body)
}

// TestNobodyOutsideSeesTheMetrics tries all the spellings for which the server itself answers with its metrics.
func TestNobodyOutsideSeesTheMetrics(t *testing.T) {
	c := started(t, newConfig(t, 1))
	shown := 0
	for _, path := range []string{
		"/metrics", "//metrics", "/metrics?x=y", "/%6detrics", "/%6Detric%73", "/./metrics", "/x/../metrics", "/%2e/metrics", "/x/%2e%2E/metrics",
		"/%2fmetrics", "/%zz/../metrics", "/x%/../metrics", "/%0a/../metrics", "/metrics/../metrics", "/..//metrics", "http://a/metrics", "http://a//metrics",
		"/x/..%2fmetrics", "/metrics#x", "/x/y/../../metrics",
	} {
		request := "GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		if _, body := converse(t, c.Config.Servers[0], request); strings.Contains(body, "go_goroutines") {
			shown++
		}
		if response, body := converse(t, c.Front, request); response.StatusCode < 400 || strings.Contains(body, "go_goroutines") {
			t.Errorf("%s shows the metrics", path)
		}
	}
	t.Logf("the server itself shows its metrics for %d of these", shown)
	if shown < 5 {
		t.Errorf("the server itself shows its metrics for only %d of these", shown)
	}
}

func TestTheAccessLog(t *testing.T) {
	c := fronted(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Zato-CID", "K1") }, "--access-log=stdout")
	type line struct {
		Time        float64
		CID         string
		Client      string
		Method      string
		Path        string
		Status      int
		TotalMS     int `json:"total_ms"`
		Server      string
		Retries     string
		Termination string
	}
	logged := func(n int) (lines []line) {
		eventually(t, func() error {
			lines = nil
			text, err := os.ReadFile(filepath.Join(c.Dir, "lb", "haproxy.log"))
			if err != nil {
				return err
			}
			for raw := range bytes.Lines(text) {
				if raw[0] != '{' {
					continue
				}
				var l line
				if err := json.Unmarshal(raw, &l); err != nil {
					return fmt.Errorf("%s: %w", raw, err)
				}
				lines = append(lines, l)
			}
			if len(lines) < n {
				return fmt.Errorf("there are %d lines: %s", len(lines), text)
			}
			return nil
		})
		return lines
	}
	// A request is logged when HAProxy is through with it, which may be after the client has had the answer. The next one
	// waits for that: HAProxy leaves out a line of one thread while another thread writes.
	ask(t, &client, "http://"+c.Front+"/a\"b?secret=1")
	first := logged(1)[0]
	if first.CID != "K1" || first.Path != "/a%22b" || first.Status != 200 || first.Method != "GET" || first.Server != "slot-001" ||
		first.Retries != "0" || first.Termination != "--" || !strings.HasPrefix(first.Client, "127.0.0.1:") || first.Time < 1e9 || first.TotalMS < 0 {
		t.Errorf("logged %+v", first)
	}
	refused, _ := ask(t, &client, "http://"+c.Front+"/metrics")
	if second := logged(2)[1]; second.CID != refused.Header.Get("X-Zato-CID") || second.Status != 404 || second.Termination != "PR" {
		t.Errorf("logged %+v", second)
	}
}

// TestLinesMissingInTheAccessLogAreCounted asks by many connections at once: whether two of HAProxy's threads come to
// write in the same moment is chance, but the lines and those left out are together all requests.
func TestLinesMissingInTheAccessLogAreCounted(t *testing.T) {
	c := fronted(t, func(http.ResponseWriter, *http.Request) {}, "--access-log=stdout")
	const clients, each = 8, 250
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			own := http.Client{Transport: transport, Timeout: bound}
			for range each {
				response, err := own.Get("http://" + c.Front + "/")
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
			}
		})
	}
	all.Wait()
	eventually(t, func() error {
		text, err := os.ReadFile(filepath.Join(c.Dir, "lb", "haproxy.log"))
		if err != nil {
			return err
		}
		lines := bytes.Count(text, []byte("{\"time\":"))
		if dropped := status(t, c).HAProxy.DroppedLogs; lines+dropped != clients*each {
			return fmt.Errorf("%d lines are there and %d left out, of %d", lines, dropped, clients*each)
		}
		return nil
	})
}

func TestACertificateIsReplacedInService(t *testing.T) {
	address := freeport.For(t)
	path := filepath.Join(t.TempDir(), "front.pem")
	writeCertificate(t, path)
	c := fronted(t, func(http.ResponseWriter, *http.Request) {}, "--tls-listen", address, "--tls-cert", path)
	before := status(t, c)

	second := writeCertificate(t, path)
	served := func() error {
		response, err := trusting(second).Get("https://" + address + "/hello")
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	since := time.Now()
	eventually(t, served)
	t.Logf("a new certificate is served %s after it was written", time.Since(since))

	if err := os.WriteFile(path, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !strings.Contains(c.LB.LogTail(), "this certificate is refused") {
			return fmt.Errorf("the bad one is not refused aloud: %s", c.LB.LogTail())
		}
		return nil
	})
	if err := served(); err != nil {
		t.Errorf("with a bad file, the one before is not served: %v", err)
	}
	if after := status(t, c); after.HAProxy.Worker != before.HAProxy.Worker {
		t.Errorf("haproxy's worker was %d and is %d: it was reloaded", before.HAProxy.Worker, after.HAProxy.Worker)
	}
}
