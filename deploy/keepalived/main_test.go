package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"zatoha/deploy/program"
)

// written is what a command line for a and b makes of its flags.
func written(t *testing.T, args ...string) (*writeCommand, error) {
	t.Helper()
	g := &grammar{}
	parser, err := kong.New(g)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"--node=a=10.0.0.1", "--node=b=10.0.0.2"}, args...))
	return &g.Write, err
}

func TestEachNodeGetsAFileWithTheAddress(t *testing.T) {
	out := t.TempDir()
	command, err := written(t, "--virtual=10.0.0.100/24", "--out", out)
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Run(t.Context(), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"a", "b"} {
		text, err := os.ReadFile(filepath.Join(out, node, "keepalived.conf"))
		if err != nil || !strings.Contains(string(text), " 10.0.0.100/24 dev eth0\n") {
			t.Errorf("%s: %v\n%s", node, err, text)
		}
	}
}

func TestThereIsOneAddress(t *testing.T) {
	for _, args := range [][]string{
		{"--virtual=10.0.0.100/24", "--virtual=10.0.0.101/24"}, {"--virtual=10.0.0.100/24,10.0.0.100/24"},
	} {
		_, err := written(t, args...)
		if _, bad := errors.AsType[*program.ConfigError](err); !bad || !strings.Contains(err.Error(), "--virtual: there are 2, and the nodes share one address") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
