package program

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Document is a flag type for what is too much for one value: a list, or a table, of whatever depth. In the configuration
// file it stands where its flag's name is; on the command line and in the environment it is JSON, or the path of a file
// of YAML or JSON. What the flag holds in the end is JSON, empty if none was given.
type Document string

// UnmarshalText accepts JSON, and the path of a file.
func (d *Document) UnmarshalText(text []byte) error {
	content := strings.TrimSpace(string(text))
	switch {
	case content == "":
		*d = ""
		return nil
	case content[0] == '[' || content[0] == '{':
		if !json.Valid([]byte(content)) {
			return errors.New("is not valid JSON; give JSON, or the path of a file")
		}
		*d = Document(content)
		return nil
	}
	file, err := os.ReadFile(content)
	if err != nil {
		return fmt.Errorf("%w; give JSON that begins with [ or {, or the path of a file that can be read", err)
	}
	var value any
	if err := yaml.Unmarshal(file, &value); err != nil {
		return fmt.Errorf("%s: %w", content, syntaxError(content, err))
	}
	return d.set(value)
}

func (d *Document) set(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot be written as JSON: %w", err)
	}
	if text[0] != '[' && text[0] != '{' {
		return errors.New("must be a list or a table")
	}
	*d = Document(text)
	return nil
}

// documentText is a part of the configuration file as JSON.
func documentText(node ast.Node) (string, error) {
	var value any
	if err := yaml.NodeToValue(node, &value); err != nil {
		return "", err
	}
	if path, is := value.(string); is {
		return path, nil
	}
	var d Document
	err := d.set(value)
	return string(d), err
}
