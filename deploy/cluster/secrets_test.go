package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAProgramFindsItsAgentByWhatItsMachineWasGiven(t *testing.T) {
	s := Secrets{Program: "/bin/zatoha-consul", Dir: t.TempDir(), Flags: []string{"--client", "web-1=10.0.0.1"}}
	installed := filepath.Join(s.Dir, "web-1", "zatoha")
	if err := os.MkdirAll(installed, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"consul.env": "# A comment.\nCONSUL_HTTP_ADDR=https://127.0.0.1:8501\nCONSUL_CACERT=/etc/zatoha/consul-ca.pem\n",
		"lb.env":     "CONSUL_HTTP_TOKEN_FILE=/etc/zatoha/lb.token\n",
	} {
		if err := os.WriteFile(filepath.Join(installed, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"CONSUL_HTTP_ADDR=https://127.0.0.1:8501", "CONSUL_CACERT=" + installed + "/consul-ca.pem", "CONSUL_HTTP_TOKEN_FILE=" + installed + "/lb.token",
	}
	if got, err := s.Environ("web-1", "lb"); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := s.Environ("web-1", ""); err != nil || !slices.Equal(got, want[:2]) {
		t.Errorf("without a token: %q, %v", got, err)
	}
	if _, err := s.Environ("web-2", "lb"); err == nil {
		t.Error("a machine that was given nothing has something")
	}
	if got := strings.Join(s.Command("--acl", "https://10.0.0.1:8501"), " "); got != "/bin/zatoha-consul --dir "+s.Dir+" --install-dir "+s.Dir+
		"/{machine}/consul.d --client web-1=10.0.0.1 --acl https://10.0.0.1:8501" {
		t.Error(got)
	}
}
