package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// validateTimeout bounds haproxy -c; 5,000 servers take it 0.3 s.
const validateTimeout = 30 * time.Second

// InvalidError says that haproxy refuses a configuration file, and why.
type InvalidError struct{ complaint string }

func (e *InvalidError) Error() string { return e.complaint }

// Validate has haproxy check a configuration file and returns its complaints, on one line, as an [InvalidError]. That
// haproxy could not check it is another error.
func Validate(ctx context.Context, binary, file string) error {
	ctx, cancel := context.WithTimeout(ctx, validateTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary, "-c", "-f", file).CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s -c -f %s: %w", binary, file, ctx.Err())
	}
	if ended, ran := errors.AsType[*exec.ExitError](err); !ran || !ended.Exited() {
		return fmt.Errorf("%s -c -f %s: %w: %s", binary, file, err, complaints(string(output)))
	}
	return &InvalidError{fmt.Sprintf("%s -c -f %s: %v: %s", binary, file, err, complaints(string(output)))}
}

// complaints keeps the alerts of haproxy's output, without its preamble and its closing summary.
func complaints(output string) string {
	var alerts []string
	for _, line := range strings.Split(output, "\n") {
		_, alert, found := strings.Cut(line, "[ALERT]")
		if !found {
			continue
		}
		_, alert, _ = strings.Cut(alert, ") : ")
		alert = strings.TrimPrefix(alert, "config : ")
		if strings.HasPrefix(alert, "Error(s) found") || strings.HasPrefix(alert, "Fatal errors found") {
			continue
		}
		alerts = append(alerts, alert)
	}
	if len(alerts) == 0 {
		return strings.Join(strings.Fields(output), " ")
	}
	return strings.Join(alerts, "; ")
}

// MinimumVersion is the oldest HAProxy whose behaviour we know, as major and minor.
var MinimumVersion = [2]int{2, 6}

var versionLine = regexp.MustCompile(`version (\d+)\.(\d+)\S*`)

// CheckVersion says whether the binary is there and recent enough.
func CheckVersion(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeout(ctx, validateTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary, "-v").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("no %s on PATH: install the package haproxy", binary)
	}
	if err != nil {
		return fmt.Errorf("%s -v: %w", binary, err)
	}
	found := versionLine.FindStringSubmatch(string(output))
	if found == nil {
		return fmt.Errorf("%s -v says %q, which names no version", binary, strings.TrimSpace(string(output)))
	}
	major, _ := strconv.Atoi(found[1])
	minor, _ := strconv.Atoi(found[2])
	if major < MinimumVersion[0] || major == MinimumVersion[0] && minor < MinimumVersion[1] {
		return fmt.Errorf("%s is %s, at least %d.%d is needed: install a newer haproxy",
			binary, found[0], MinimumVersion[0], MinimumVersion[1])
	}
	return nil
}
