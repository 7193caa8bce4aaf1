package debian

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// shippedDocs is the folder of the documents in the package.
const shippedDocs = "/usr/share/doc/zatoha"

// sourcesOnly is what documents point to that makes sense in the source alone.
var sourcesOnly = map[string]bool{"server/example": true, "deploy/compose": true}

var (
	link    = regexp.MustCompile(`\]\(([^)]+)\)`)
	title   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile(`[^a-z0-9 -]`)
)

// inPackage are the documents of the package and the folders that they are in, by their paths in the source.
func inPackage(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Contents []struct{ Src, Dst string }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, content := range file.Contents {
		at, is := strings.CutPrefix(content.Dst, shippedDocs+"/")
		if !is {
			continue
		}
		sources, err := filepath.Glob(filepath.Join("../..", content.Src))
		if err != nil || len(sources) == 0 {
			t.Errorf("%s: there is none, %v", content.Src, err)
		}
		for _, source := range sources {
			file := at
			if strings.HasSuffix(at, "/") {
				file += filepath.Base(source)
			}
			for ; file != "."; file = path.Dir(file) {
				there[file] = true
			}
		}
	}
	return there
}

// What a document points to is there, in the source and on a machine that has only the package, and has that section.
func TestDocumentsPointToWhatIsThere(t *testing.T) {
	t.Parallel()
	there, documents := inPackage(t), 0
	for document := range there {
		if path.Ext(document) != ".md" {
			continue
		}
		documents++
		text, err := os.ReadFile(filepath.Join("../..", document))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			target, section, _ := strings.Cut(found[1], "#")
			at := document
			if target != "" {
				at = path.Join(path.Dir(document), target)
			}
			if err := pointsTo(at, section); err != nil {
				t.Errorf("%s points to %s: %v", document, found[1], err)
			}
			if !there[at] && !sourcesOnly[at] {
				t.Errorf("%s points to %s, which is not in the package", document, found[1])
			}
		}
	}
	if documents < 4 {
		t.Errorf("the package has %d documents", documents)
	}
}

// pointsTo says what is wrong with a place in the source.
func pointsTo(at, section string) error {
	if section == "" {
		_, err := os.Stat(filepath.Join("../..", at))
		return err
	}
	text, err := os.ReadFile(filepath.Join("../..", at))
	if err != nil {
		return err
	}
	for _, found := range title.FindAllStringSubmatch(string(text), -1) {
		if strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-") == section {
			return nil
		}
	}
	if strings.Contains(string(text), fmt.Sprintf("<a id=%q></a>", section)) {
		return nil
	}
	return fmt.Errorf("it has no section or anchor %q", section)
}
