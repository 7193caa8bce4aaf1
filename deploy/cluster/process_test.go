package cluster

import (
	"os/exec"
	"strings"
	"testing"
)

func TestAShellTakesTheLineThatStartsAProgramAgain(t *testing.T) {
	args := []string{"printf", "[%s]", "--plain=1.2.3.4:5", "-hcl=disable_update_check = true", "it's", "$HOME `x`; #", ""}
	p := &Process{cmd: exec.Command(args[0], args[1:]...)}
	if want := `'[%s]' --plain=1.2.3.4:5 '-hcl=disable_update_check = true' 'it'\''s' '`; !strings.Contains(p.Command(), want) {
		t.Errorf("%s does not have %s", p.Command(), want)
	}
	output, err := exec.CommandContext(t.Context(), "sh", "-c", p.Command()).Output()
	if want := "[" + strings.Join(args[2:], "][") + "]"; err != nil || string(output) != want {
		t.Errorf("%s, %v, want %s", output, err, want)
	}
}
