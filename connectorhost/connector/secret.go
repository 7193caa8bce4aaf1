package connector

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"

	"zatoha/deploy/program/secretfile"
)

// Secret is a text of a definition that nobody shall see: printed, formatted, logged or made into JSON it is "***".
// It may hold references, ${env:NAME} and ${file:/path}, which only [Secret.Reveal] looks up: late, so that a changed
// file counts at the next connection, and in the process that needs it, so that no other ever has the value.
type Secret struct{ text string }

// NewSecret makes a secret of a text, with its references.
func NewSecret(text string) Secret { return Secret{text} }

const hidden = "***"

// String is "***", or nothing if there is no secret.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return hidden
}

// Format writes the same, whatever the verb.
func (s Secret) Format(state fmt.State, _ rune) { fmt.Fprint(state, s.String()) }

// MarshalText is the same, for JSON and everything else that asks for a text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is the same.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// IsZero says whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// reference matches ${env:NAME} and ${file:/path}, and what somebody may have meant by it.
var reference = regexp.MustCompile(`\$\{[^}]*\}?`)

// Reveal returns the text with its references replaced. The line end behind the text of a file is no part of it, and an
// empty file is an error. The error names the reference, never a value.
func (s Secret) Reveal() (string, error) { return s.reveal(func(value string) string { return value }) }

// RevealURL is Reveal for an address: what is put in for a reference is escaped, so that a password may have any
// characters, unless the whole text is one reference, which then stands for a whole address.
func (s Secret) RevealURL() (string, error) {
	if s.Whole() {
		return s.Reveal()
	}
	return s.reveal(func(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") })
}

func (s Secret) reveal(escape func(string) string) (string, error) {
	var failed error
	text := reference.ReplaceAllStringFunc(s.text, func(found string) string {
		value, err := lookUp(found)
		if err != nil && failed == nil {
			failed = err
		}
		return escape(value)
	})
	if failed != nil {
		return "", failed
	}
	return text, nil
}

// Shape returns the text with each reference replaced by something else, for a check before the references can be looked
// up. What is not a reference is in it as it is: never show it.
func (s Secret) Shape(substitute string) string {
	return reference.ReplaceAllLiteralString(s.text, substitute)
}

// Whole says whether the text is nothing but one reference.
func (s Secret) Whole() bool { return s.text != "" && reference.FindString(s.text) == s.text }

// faults are the references that could never be looked up.
func (s Secret) faults() (faults []string) {
	for _, found := range reference.FindAllString(s.text, -1) {
		if _, _, err := splitReference(found); err != nil {
			faults = append(faults, err.Error())
		}
	}
	return faults
}

func splitReference(found string) (source, name string, err error) {
	inner, closed := strings.CutSuffix(strings.TrimPrefix(found, "${"), "}")
	source, name, _ = strings.Cut(inner, ":")
	switch {
	case !closed:
		return "", "", fmt.Errorf("has a ${ without a }")
	case source != "env" && source != "file":
		return "", "", fmt.Errorf("has a reference to %q: there are ${env:NAME} and ${file:/path}", source)
	case name == "":
		return "", "", fmt.Errorf("has a reference ${%s:} that names nothing", source)
	case source == "file" && !strings.HasPrefix(name, "/"):
		return "", "", fmt.Errorf("has a reference ${file:%s} that is not an absolute path", name)
	}
	return source, name, nil
}

func lookUp(found string) (string, error) {
	source, name, err := splitReference(found)
	if err != nil {
		return "", err
	}
	if source == "env" {
		value, there := os.LookupEnv(name)
		if !there {
			return "", fmt.Errorf("secret ${env:%s}: the variable is not set: set it for the connector host", name)
		}
		return value, nil
	}
	value, err := secretfile.Read(name)
	if err != nil {
		return "", fmt.Errorf("secret ${file:%s}: %w", name, err)
	}
	return value, nil
}
