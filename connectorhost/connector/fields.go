package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields are the fields of a definition on their way into settings. Each method reads one, notes what is wrong with it,
// and returns its value, or the default if it is missing or wrong. What no method has asked for is unknown.
type Fields struct {
	// Definition has the common fields.
	Definition *Definition

	values map[string]json.RawMessage
	order  []string // names as they came
	asked  []string
	faults []Fault
}

// readFields takes a JSON object apart.
func readFields(text []byte) (*Fields, error) {
	f := &Fields{Definition: &Definition{}, values: map[string]json.RawMessage{}}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("is no JSON object: %w", readError(text, decoder, err))
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("is no JSON: %w", readError(text, decoder, err))
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("is no JSON in field %q: %w", name, readError(text, decoder, err))
		}
		if _, twice := f.values[name]; twice {
			f.Fault(name, "is there twice")
		}
		f.values[name] = value
		f.order = append(f.order, name)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("is no JSON: %w", readError(text, decoder, err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something behind the JSON object")
	}
	return f, nil
}

// readError adds the line to an error about JSON.
func readError(text []byte, decoder *json.Decoder, err error) error {
	if err == nil {
		err = errors.New("it must begin with {")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too soon")
	}
	offset := min(int(decoder.InputOffset()), len(text))
	return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:offset], []byte("\n")), err)
}

// Fault notes what is wrong with a field; the text follows on the field's name: "is missing".
func (f *Fields) Fault(field, format string, args ...any) {
	f.faults = append(f.faults, Fault{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// Has says whether the field is there at all. It counts as asked for.
func (f *Fields) Has(field string) bool {
	f.asked = append(f.asked, field)
	_, there := f.values[field]
	return there
}

// read decodes a field's value, and says whether there is one.
func (f *Fields) read(field, what string, into any) bool {
	if !f.Has(field) {
		return false
	}
	value := f.values[field]
	if string(value) == "null" || json.Unmarshal(value, into) != nil {
		f.Fault(field, "must be %s", what) // the value is not shown: it may be a secret at the wrong place
		return false
	}
	return true
}

// String is a text.
func (f *Fields) String(field, otherwise string) string {
	var value string
	if !f.read(field, "a text", &value) {
		return otherwise
	}
	if strings.Contains(value, "\x00") {
		f.Fault(field, "has a NUL character")
		return otherwise
	}
	return value
}

// Required is a text that must be there and not be empty.
func (f *Fields) Required(field string) string {
	if !f.Has(field) {
		f.Fault(field, "is missing")
		return ""
	}
	faults := len(f.faults)
	value := f.String(field, "")
	if value == "" && len(f.faults) == faults {
		f.Fault(field, "is empty")
	}
	return value
}

// OneOf is one of some texts.
func (f *Fields) OneOf(field, otherwise string, choices ...string) string {
	value := f.String(field, otherwise)
	if value != otherwise && !slices.Contains(choices, value) {
		f.Fault(field, "is %q: use %s", value, list(choices))
		return otherwise
	}
	return value
}

// Secret is a text that nobody shall see.
func (f *Fields) Secret(field string) Secret {
	secret := NewSecret(f.String(field, ""))
	for _, fault := range secret.faults() {
		f.Fault(field, "%s", fault)
	}
	return secret
}

// Bool is true or false.
func (f *Fields) Bool(field string, otherwise bool) bool {
	var value bool
	if !f.read(field, "true or false", &value) {
		return otherwise
	}
	return value
}

// Int is a whole number within bounds.
func (f *Fields) Int(field string, otherwise, least, most int) int {
	var number json.Number
	if f.Has(field) && !bytes.HasPrefix(f.values[field], []byte(`"`)) && f.read(field, "a whole number", &number) {
		value, err := strconv.Atoi(number.String())
		switch {
		case err != nil:
			f.Fault(field, "is %s, must be a whole number", number)
		case value < least || value > most:
			f.Fault(field, "is %d, must be %d to %d", value, least, most)
		default:
			return value
		}
	} else if bytes.HasPrefix(f.values[field], []byte(`"`)) {
		f.Fault(field, "must be a whole number, without quotes")
	}
	return otherwise
}

// Duration is a text such as "5s" or "250ms", within bounds.
func (f *Fields) Duration(field string, otherwise, least, most time.Duration) time.Duration {
	text := f.String(field, "")
	if text == "" {
		return otherwise
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		f.Fault(field, `is %q: use a number with a unit, such as "10s" or "250ms"`, text)
		return otherwise
	}
	if value < least || value > most {
		f.Fault(field, "is %v, must be %v to %v", value, least, most)
		return otherwise
	}
	return value
}

// unknown reports the fields that nobody has asked for.
func (f *Fields) unknown() {
	for _, name := range f.order {
		if !slices.Contains(f.asked, name) {
			f.Fault(name, "is no field of %s connectors of kind %s", f.Definition.Role, f.Definition.Kind)
		}
	}
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
