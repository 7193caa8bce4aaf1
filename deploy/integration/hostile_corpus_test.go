package integration

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// payload is one entry of the corpus, and what may come of it: how HAProxy answers before a server that takes
// everything, how HAProxy and our server answer together, and how our server answers by itself. An answer reads "200 405
// open": the status of each, then whether the connection is left open. Alternatives are separated by "|"; "refused" is
// any status of an error behind which the connection is closed, for releases that are stricter.
type payload struct {
	name                   string
	bytes                  string
	recorder, front, alone string
	known                  string // the one fault that HAProxy is known to let through
}

var repeated = regexp.MustCompile(`\{(\d+)\*([^}]*)\}`)

// readCorpus reads the payloads. An entry is a line "# name: why", the bytes, as they stand in a Go string and without
// the ends of the lines in the file, where {3*ab} is ababab, and the lines "=> recorder:" and so on.
func readCorpus(t *testing.T) []payload {
	t.Helper()
	files, err := filepath.Glob("testdata/hostile/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var corpus []payload
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
			p, err := readPayload(strings.TrimSuffix(filepath.Base(file), ".txt"), entry)
			if err != nil {
				t.Fatalf("%s: %v in\n%s", file, err, entry)
			}
			corpus = append(corpus, p)
		}
	}
	return corpus
}

func readPayload(topic, entry string) (payload, error) {
	title, rest, _ := strings.Cut(entry, "\n")
	name, _, _ := strings.Cut(strings.TrimPrefix(title, "# "), ":")
	p := payload{name: topic + " " + name}
	var quoted strings.Builder
	for line := range strings.SplitSeq(rest, "\n") {
		who, answers, expected := strings.Cut(line, ": ")
		switch {
		case expected && who == "=> recorder":
			p.recorder = answers
		case expected && who == "=> front":
			p.front = answers
		case expected && who == "=> alone":
			p.alone = answers
		case expected && who == "=> known":
			p.known = answers
		default:
			quoted.WriteString(strings.ReplaceAll(line, `"`, `\"`))
		}
	}
	if !strings.HasPrefix(title, "# ") || p.recorder == "" || p.front == "" || p.alone == "" {
		return p, errors.New("no title, or not all of what is expected")
	}
	long := repeated.ReplaceAllStringFunc(quoted.String(), func(s string) string {
		parts := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(parts[1])
		return strings.Repeat(parts[2], n)
	})
	raw, err := strconv.Unquote(`"` + long + `"`)
	p.bytes = raw
	return p, err
}
