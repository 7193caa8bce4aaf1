package edit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHAProxyAcceptsTheResult asks HAProxy about each file of the corpus before and after we are put into it.
func TestHAProxyAcceptsTheResult(t *testing.T) {
	haproxy := newChecker(t)
	compared := 0
	for name, text := range corpus(t) {
		after, err := Apply(text, typical(5, 3))
		if err != nil {
			t.Logf("%s: not edited: %v", name, err)
			continue
		}
		if _, ok := haproxy.check(t, text); !ok && text != "" {
			t.Logf("%s: not valid before", name)
			continue
		}
		compared++
		if output, ok := haproxy.check(t, after); !ok {
			t.Errorf("%s: no longer valid:\n%s", name, output)
		}
	}
	if compared < 25 {
		t.Errorf("only %d files of the corpus were valid before", compared)
	}
}

// TestScanReadsAsHAProxyDoes holds our words against those of HAProxy, which repeats the second word of a line that
// starts with ".notice", and complains about a third.
func TestScanReadsAsHAProxyDoes(t *testing.T) {
	haproxy := newChecker(t)
	said := regexp.MustCompile(`(?s)parsing \[[^:]*:(\d+)\]: (.*?)\.?\n\[`)
	// The variable stands for itself, so that both sides read the same; its default, which counts only inside double
	// quotes, is cut out on both.
	t.Setenv("VAR", "${VAR}")
	fallback := regexp.MustCompile(`(\$\{VAR)-[^}]*`)
	word := rapid.StringOf(rapid.SampledFrom([]rune(", \\\"'#$\t\r")))
	fragment := rapid.OneOf(word, rapid.SampledFrom([]string{`"${VAR-`, `"${VAR}`, `}`, `}"`, ` # zatoha`}))

	rapid.Check(t, func(t *rapid.T) {
		const atMost = 40 // HAProxy gives up after 50 bad lines
		rests := rapid.SliceOfN(rapid.SliceOfN(fragment, 1, 4), 1, atMost).Draw(t, "lines")
		var file strings.Builder
		for _, parts := range rests {
			file.WriteString(".notice x" + strings.Join(parts, "") + "\n")
		}
		output, _ := haproxy.check(t, file.String())
		lines := strings.Split(file.String(), "\n")
		for _, m := range said.FindAllStringSubmatch(output+"[", -1) {
			number, _ := strconv.Atoi(m[1])
			words := append(scan(lines[number-1], nil).words, "", "")
			expect := fmt.Sprintf("'%s'", words[1])
			if words[2] != "" {
				expect = fmt.Sprintf("Unexpected argument '%s' for '.notice'", words[2])
			}
			if refused(m[2]) {
				continue
			}
			if !strings.HasPrefix(fallback.ReplaceAllString(m[2], "$1"), fallback.ReplaceAllString(expect, "$1")) {
				t.Fatalf("%q: HAProxy says %q, we read %q", lines[number-1], m[2], words)
			}
		}
	})
}

// refused says whether HAProxy could not take the line apart at all; then it does not matter what we make of it.
func refused(message string) bool {
	for _, problem := range []string{"unmatched quote", "unmatched brace", "forbidden first char"} {
		if strings.HasPrefix(message, problem) {
			return true
		}
	}
	return false
}

// checker runs "haproxy -c" in a folder that has what the files of the corpus refer to.
type checker struct{ program, folder string }

func newChecker(t *testing.T) checker {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("SKIPPED: no haproxy on PATH to check the result with; install it (apt-get install haproxy)")
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("testdata/site")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "site.pem"), certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return checker{program, folder}
}

// check returns what HAProxy says of the text, and whether it takes it. A file without a listener is fine.
func (c checker) check(t rapid.TB, text string) (string, bool) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, "haproxy.cfg"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, "-c", "-f", "haproxy.cfg")
	cmd.Dir = c.folder
	output, err := cmd.CombinedOutput()
	return string(output), err == nil || strings.Contains(string(output), "has no error but will not start")
}

func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
}
