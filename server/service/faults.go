package service

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// mostFaults are told of one payload: it is the sender's, and could have any number.
const mostFaults = 20

// joined is faults as one line.
func joined(faults []string) string {
	if len(faults) > mostFaults {
		faults = append(slices.Clone(faults[:mostFaults]), fmt.Sprintf("and %d more", len(faults)-mostFaults))
	}
	return strings.ReplaceAll(strings.Join(faults, "; "), "\n", "; ")
}

// jsonFaults is everything in a payload that does not fit a type, each fault beginning with its field: "lines[2].price:
// must be a number, not a string". There are none where encoding/json would take it and no required field is missing.
func jsonFaults[In any](payload []byte) []string {
	if !json.Valid(payload) {
		var anything any
		return []string{"the payload is not JSON: " + fmt.Sprint(json.Unmarshal(payload, &anything))}
	}
	payload = bytes.TrimSpace(payload)
	if string(payload) == "null" {
		payload = []byte("{}")
	}
	var w walk
	w.value("", payload, reflect.TypeFor[In]())
	return w.faults
}

// walk compares a JSON value with a type.
type walk struct{ faults []string }

func (w *walk) fault(path, what string) {
	if path == "" {
		path = "the payload"
	}
	w.faults = append(w.faults, path+": "+what)
}

var (
	decodesItself = reflect.TypeFor[json.Unmarshaler]()
	decodesText   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (w *walk) value(path string, raw json.RawMessage, t reflect.Type) {
	if string(raw) == "null" { // as if it were not there, by encoding/json's rule
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	own := reflect.PointerTo(t).Implements(decodesItself) || reflect.PointerTo(t).Implements(decodesText)
	switch {
	case own:
		w.leaf(path, raw, t)
	case t.Kind() == reflect.Struct:
		w.object(path, raw, t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8, t.Kind() == reflect.Array:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			w.fault(path, "must be a list, not "+kindOf(raw))
		}
		for i, item := range items {
			w.value(fmt.Sprintf("%s[%d]", path, i), item, t.Elem())
		}
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		var items map[string]json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			w.fault(path, "must be an object, not "+kindOf(raw))
		}
		for _, name := range slices.Sorted(maps.Keys(items)) {
			w.value(within(path, name), items[name], t.Elem())
		}
	default:
		w.leaf(path, raw, t)
	}
}

func (w *walk) leaf(path string, raw json.RawMessage, t reflect.Type) {
	err := json.Unmarshal(raw, reflect.New(t).Interface())
	if err == nil {
		return
	}
	wanted := ""
	switch kind := t.Kind(); {
	case kind >= reflect.Int && kind <= reflect.Int64:
		wanted = "a whole number"
	case kind >= reflect.Uint && kind <= reflect.Uintptr:
		wanted = "a whole number that is not negative"
	case kind == reflect.Float32 || kind == reflect.Float64:
		wanted = "a number"
	case kind == reflect.String:
		wanted = "a string"
	case kind == reflect.Bool:
		wanted = "true or false"
	default:
		w.fault(path, err.Error())
		return
	}
	if got := kindOf(raw); got == "a number" && strings.Contains(wanted, "number") {
		w.fault(path, fmt.Sprintf("must be %s within its limits, not %.40s", wanted, raw))
	} else {
		w.fault(path, "must be "+wanted+", not "+got)
	}
}

func (w *walk) object(path string, raw json.RawMessage, t reflect.Type) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		w.fault(path, "must be an object, not "+kindOf(raw))
		return
	}
	fields := fieldsOf(t)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			i = slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) })
		}
		if i < 0 {
			w.fault(within(path, name), "is no field here")
			continue
		}
		fields[i].seen = fields[i].seen || string(members[name]) != "null"
		w.value(within(path, name), members[name], fields[i].kind)
	}
	for _, f := range fields {
		if f.required && !f.seen {
			w.fault(within(path, f.name), "is missing")
		}
	}
}

// within is the path of a member, its name shortened: it may be the sender's invention.
func within(path, name string) string {
	if len(name) > 60 {
		name = strings.ToValidUTF8(name[:60], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return string(raw)
	default:
		return "a number"
	}
}

// field is a member of an object, as encoding/json knows it.
type field struct {
	name     string
	kind     reflect.Type
	required bool
	seen     bool
}

func fieldsOf(t reflect.Type) (fields []field) {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && structure(f.Type) != nil, !f.IsExported(), f.Tag.Get("json") == "-":
			continue
		case name == "":
			name = f.Name
		}
		fields = append(fields, field{name: name, kind: f.Type, required: f.Tag.Get("required") == "true"})
	}
	return fields
}

// structure is the struct type that t is or points to, nil if it is another.
func structure(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// requirement is what a type requires to be present.
type requirement struct {
	fields [][]int // required fields of the structure itself, as reflect indexes them
	within bool    // there are more, inside of lists, maps and pointers
}

func requirementOf(t reflect.Type) (r requirement) {
	if t.Kind() != reflect.Struct {
		r.within = hasRequired(t, nil)
		return r
	}
	for _, f := range reflect.VisibleFields(t) {
		switch kind := f.Type.Kind(); {
		case f.Tag.Get("required") == "true":
			r.fields = append(r.fields, f.Index)
		case !f.Anonymous && (kind == reflect.Struct || kind == reflect.Pointer || kind == reflect.Slice || kind == reflect.Array || kind == reflect.Map):
			r.within = r.within || hasRequired(f.Type, nil)
		}
	}
	return r
}

// mayLack says whether something required may be missing in a value. Only what is zero needs a closer look.
func (r requirement) mayLack(value reflect.Value) bool {
	return r.within || slices.ContainsFunc(r.fields, func(index []int) bool {
		field, err := value.FieldByIndexErr(index)
		return err != nil || field.IsZero()
	})
}

// hasRequired says whether a type, or one within it, has a required field.
func hasRequired(t reflect.Type, visited []reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(visited, t) {
		return false
	}
	visited = append(visited, t)
	return slices.ContainsFunc(fieldsOf(t), func(f field) bool { return f.required || hasRequired(f.kind, visited) })
}
