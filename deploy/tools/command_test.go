package main

import (
	"testing"
)

func TestATranscriptKeepsTheLastLines(t *testing.T) {
	var seen []string
	output := &transcript{each: func(line string) { seen = append(seen, line) }}
	for range keep + 5 {
		for _, part := range []string{"on", "e\n\ntw", "o\n"} {
			if n, err := output.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	if len(seen) != 2*(keep+5) || seen[0] != "one" || seen[1] != "two" {
		t.Errorf("saw %d lines, first %q", len(seen), seen[:2])
	}
	if len(output.last) != keep || output.line() != "two" {
		t.Errorf("kept %d lines, last %q", len(output.last), output.line())
	}
}
