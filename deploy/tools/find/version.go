package find

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Version is a release: major, minor, patch.
type Version [3]int

// Less says whether v is older than other.
func (v Version) Less(other Version) bool { return slices.Compare(v[:], other[:]) < 0 }

// String is the version as people write it: "2.6.12", but "2.6" for 2.6.0.
func (v Version) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]), ".0")
}

// inFirstLine finds the number in "HAProxy version 2.6.12-1+deb12u4 2026/10/17", "HA-Proxy version 2.0.13-2ubuntu0.3",
// "HAProxy version 3.1-dev5-7d1a0f6" and "Consul v1.20.1".
var inFirstLine = regexp.MustCompile(`^\S+ (?:version )?v?(\d+)\.(\d+)(?:\.(\d+))?`)

func parseVersion(output string) (Version, error) {
	match := inFirstLine.FindStringSubmatch(output)
	if match == nil {
		line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
		return Version{}, fmt.Errorf("no version in its answer %q", line)
	}
	var version Version
	for i, digits := range match[1:] {
		if digits == "" {
			continue
		}
		number, err := strconv.Atoi(digits)
		if err != nil {
			return Version{}, fmt.Errorf("version %q: %w", match[0], err)
		}
		version[i] = number
	}
	return version, nil
}
