package remote

import (
	"fmt"
	"strings"
)

// InheritanceError says that a proxy of the operator's would come to stand below our defaults, and take them.
type InheritanceError struct {
	Line  int    // of the proxy's header, counted from 1
	Proxy string // its kind and name, e.g. "backend other"
}

func (e *InheritanceError) Error() string {
	return fmt.Sprintf("line %d: %q has no defaults, and the Data Plane API sorts the file, so that it would take ours: put \"from\" and the name of defaults of yours behind it",
		e.Line, e.Proxy)
}

// explicit says of each proxy of the operator's from which defaults it inherits, where only its place said so: the API
// sorts all defaults above all proxies by name, which would hand the proxies over to the last of them. Defaults without a
// name are given the one that the API would give them. No line is added or removed.
func explicit(text string) (string, error) {
	var out strings.Builder
	above, ours, unnamed, n := "", false, 0, 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 {
			words = []string{""}
		}
		switch words[0] {
		case "defaults":
			ours = marked(line)
			if above = name(words); above == "" {
				unnamed++
				above = unnamedDefaults(text, &unnamed)
				line = strings.Replace(line, "defaults", "defaults "+above, 1)
			}
		case "frontend", "backend", "listen":
			if ours || marked(line) || len(words) < 2 || len(words) > 2 && words[2] == "from" {
				break
			}
			if above == "" {
				return "", &InheritanceError{Line: n, Proxy: words[0] + " " + words[1]}
			}
			line = strings.Replace(line, words[0], "", 1)
			line = words[0] + strings.Replace(line, words[1], words[1]+" from "+above, 1)
		}
		out.WriteString(line)
	}
	return out.String(), nil
}

// name is that of a defaults section, or "".
func name(words []string) string {
	if len(words) < 2 || words[1] == "from" || strings.HasPrefix(words[1], "#") {
		return ""
	}
	return words[1]
}

// unnamedDefaults is the next such name that the text does not have.
func unnamedDefaults(text string, n *int) string {
	for ; ; *n++ {
		if candidate := fmt.Sprintf("unnamed_defaults_%d", *n); !strings.Contains(text, candidate) {
			return candidate
		}
	}
}
