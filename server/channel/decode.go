package channel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Decode reads a definition from a JSON object. It returns every fault of its form: fields that there are not, or that
// are there twice, values of the wrong type, and those missing. A definition that does not say its name has the one
// given, and one that says another is at fault; with no name given it must say one. Whether what the fields say makes
// sense is for [Definition.Validate].
func Decode(name string, text []byte) (Definition, Faults) {
	d := Definition{Name: name, DataFormat: JSON, Security: None, IsActive: true}
	if len(text) > longestText {
		return d, Faults{{What: fmt.Sprintf("the definition has %d bytes, at most %d are allowed", len(text), longestText)}}
	}
	members, err := readMembers(text)
	if err != nil {
		return d, Faults{{What: err.Error()}}
	}
	var faults Faults
	seen := map[string]bool{}
	for _, m := range members {
		set, known := fields[m.name]
		what := ""
		switch {
		case seen[m.name]:
			what = "is there twice"
		case !known:
			what = "there is no such field" + likeness(m.name)
		default:
			what = set(&d, m.value)
		}
		if what != "" {
			faults = append(faults, Fault{shortened(m.name), what})
		}
		seen[m.name] = true
	}
	for _, required := range []string{"name", "method", "path", "service"} {
		if !seen[required] && (required != "name" || name == "") {
			faults = append(faults, Fault{required, "is missing"})
		}
	}
	if name != "" && d.Name != name && !hasField(faults, "name") {
		faults = append(faults, Fault{"name", fmt.Sprintf("%s: must be %s, after which the definition is kept", quoted(d.Name), quoted(name))})
	}
	return d, faults
}

func hasField(faults Faults, field string) bool {
	for _, fault := range faults {
		if fault.Field == field {
			return true
		}
	}
	return false
}

// fields set a field from a JSON value. They return what is wrong with it, or nothing.
var fields = map[string]func(d *Definition, value any) string{
	"name":        func(d *Definition, v any) string { return text(&d.Name, v) },
	"method":      func(d *Definition, v any) string { return text(&d.Method, v) },
	"path":        func(d *Definition, v any) string { return text(&d.Path, v) },
	"service":     func(d *Definition, v any) string { return text(&d.Service, v) },
	"data_format": func(d *Definition, v any) string { return text(&d.DataFormat, v) },
	"security":    func(d *Definition, v any) string { return text(&d.Security, v) },
	"username":    func(d *Definition, v any) string { return text(&d.Username, v) },
	"password":    func(d *Definition, v any) string { return text((*string)(&d.Password), v) },
	"api_key":     func(d *Definition, v any) string { return text((*string)(&d.APIKey), v) },
	"timeout_ms":  func(d *Definition, v any) string { return whole(&d.TimeoutMS, v) },
	"is_active":   func(d *Definition, v any) string { return truth(&d.IsActive, v) },
}

func text(to *string, value any) string {
	s, ok := value.(string)
	if !ok {
		return "must be a string, not " + kindOf(value)
	}
	if len(s) > longest {
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), longest)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "must not have control characters"
	}
	*to = s
	return ""
}

func whole(to *int64, value any) string {
	number, ok := value.(json.Number)
	if !ok {
		return "must be a whole number, not " + kindOf(value)
	}
	n, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil {
		// 2e3 and 2000.0 are whole too.
		f, err := number.Float64()
		if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return "must be a whole number, not " + shortened(number.String())
		}
		n = int64(f)
	}
	*to = n
	return ""
}

func truth(to *bool, value any) string {
	b, ok := value.(bool)
	if !ok {
		return "must be true or false, not " + kindOf(value)
	}
	*to = b
	return ""
}

func kindOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return strconv.FormatBool(value)
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

func shortened(text string) string {
	if len(text) > 60 {
		return strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

// likeness helps with names that are spelt almost as they should be.
func likeness(name string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	for known := range fields {
		if plain(known) == plain(name) {
			return fmt.Sprintf(", did you mean %s?", known)
		}
	}
	return ""
}

type member struct {
	name  string
	value any
}

// readMembers reads the members of one JSON object in their order, also those that are there twice.
func readMembers(text []byte) (members []member, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	opening, err := decoder.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	if opening != json.Delim('{') {
		return nil, fmt.Errorf("must be a JSON object, one for each channel")
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		m := member{name: name.(string)} // in an object it is one
		if err := decoder.Decode(&m.value); err != nil {
			return nil, notJSON(err)
		}
		members = append(members, m)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("has something behind the JSON object, remove it")
	}
	return members, nil
}

func notJSON(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("is not valid JSON: %w", err)
}
