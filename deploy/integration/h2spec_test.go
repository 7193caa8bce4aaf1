package integration

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/freeport"
)

// TestHTTP2ConformsAsFarAsHAProxyDoes runs h2spec, the conformance suite for HTTP/2 and HPACK, against the TLS front with
// one of our servers behind it. Nothing may fail but what testdata/h2spec.txt explains.
func TestHTTP2ConformsAsFarAsHAProxyDoes(t *testing.T) {
	program := h2spec(t)
	address := freeport.For(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificate := filepath.Join(folder, "front.pem")
	writeCertificate(t, certificate)
	config := newConfig(t, 1)
	config.LBArgs = []string{"--tls-listen", address, "--tls-cert", certificate}
	c := started(t, config)

	report := filepath.Join(folder, "report.xml")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, program, "--tls", "--insecure", "--host", "127.0.0.1", "--port", port,
		"--path", "/zato/ping", "--timeout", "2", "--junit-report", report).CombinedOutput()
	results, readErr := readH2Spec(report)
	if readErr != nil { // its status is 1 already if anything failed
		t.Fatalf("h2spec: %v, %v\n%s", err, readErr, output)
	}
	known := knownH2Spec(t)
	passed, skipped, failed := 0, 0, 0
	for _, r := range results {
		reason, expected := known[r.name]
		switch {
		case r.skipped:
			skipped++
		case !r.failed:
			passed++
			if expected {
				t.Logf("passes with this HAProxy, though it is known to fail: %s", r.name)
			}
		case expected:
			failed++
			t.Logf("fails as known: %s: %s\n    because %s", r.name, r.got, reason)
		default:
			failed++
			t.Errorf("fails: %s: %s", r.name, r.got)
		}
	}
	t.Logf("%d cases of h2spec: %d passed, %d failed, %d skipped", len(results), passed, failed, skipped)
	if len(results) < 140 {
		t.Errorf("only %d cases were run:\n%s", len(results), output)
	}
	unharmed(t, c)
}

// h2spec builds the suite, which is pinned in a module of its own.
func h2spec(t *testing.T) string {
	t.Helper()
	program := filepath.Join(bin, "h2spec")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir = "../tools/h2spec"
	if output, err := build.CombinedOutput(); err != nil {
		why := fmt.Sprintf("h2spec cannot be built in deploy/tools/h2spec: %v: %s", err, bytes.TrimSpace(output))
		if os.Getenv("ZATOHA_REQUIRE_TOOLS") != "" {
			t.Fatal(why)
		}
		t.Skip("SKIPPED: " + why)
	}
	return program
}

// h2specCase is what came of one of its cases.
type h2specCase struct {
	name            string // "http2/5.1.2: Sends HEADERS frames that …"
	failed, skipped bool
	got             string
}

func readH2Spec(path string) (cases []h2specCase, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var report struct {
		Suites []struct {
			Cases []struct {
				Package   string    `xml:"package,attr"`
				ClassName string    `xml:"classname,attr"`
				Failure   *string   `xml:"failure"`
				Error     *string   `xml:"error"`
				Skipped   *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		return nil, err
	}
	for _, suite := range report.Suites {
		for _, c := range suite.Cases {
			one := h2specCase{name: c.Package + ": " + c.ClassName, skipped: c.Skipped != nil}
			for _, why := range []*string{c.Failure, c.Error} {
				if why != nil {
					one.failed, one.got = true, strings.Join(strings.Fields(*why), " ")
				}
			}
			cases = append(cases, one)
		}
	}
	return cases, nil
}

// knownH2Spec reads what is known to fail: lines "case => why".
func knownH2Spec(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/h2spec.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, ok := strings.Cut(line, " => ")
		if !ok {
			t.Fatalf("testdata/h2spec.txt: %q has no =>", line)
		}
		known[name] = why
	}
	return known
}
