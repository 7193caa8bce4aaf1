package service

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

const (
	// mostFaults are told of one payload: it is the sender's, and could have any number.
	mostFaults = 20
	// mostCompared values are compared of a payload that does not fit: to find its faults must not cost many times as much
	// as to find that it has one.
	mostCompared = 50_000
	longestPath  = 200
)

// joined is faults as one line.
func joined(faults []string) string {
	if len(faults) > mostFaults {
		faults = append(slices.Clone(faults[:mostFaults]), "and more")
	}
	return strings.ReplaceAll(strings.Join(faults, "; "), "\n", "; ")
}

// jsonFaults is what in a payload does not fit a type, each fault beginning with its field: "lines[2].price: must be a
// number, not a string". Of a payload that encoding/json takes, only what is required and missing is a fault. There may
// be none though encoding/json does not take it: then what it says has to do.
func jsonFaults[In any](payload []byte, taken bool) []string {
	if !json.Valid(payload) {
		var anything any
		return []string{"the payload is not JSON: " + fmt.Sprint(json.Unmarshal(payload, &anything))}
	}
	if string(bytes.TrimSpace(payload)) == "null" {
		payload = []byte("{}")
	}
	w := walk{in: json.NewDecoder(bytes.NewReader(payload)), taken: taken, fields: map[reflect.Type][]field{}}
	w.in.UseNumber()
	w.value(reflect.TypeFor[In](), false)
	return w.faults
}

// walk compares a JSON value with a type, in one pass.
type walk struct {
	in       *json.Decoder
	taken    bool // encoding/json takes the payload
	path     []byte
	raw      json.RawMessage
	fields   map[reflect.Type][]field
	compared int
	faults   []string
}

// over says whether there is nothing more to find, or to tell.
func (w *walk) over() bool {
	return len(w.faults) > mostFaults || !w.taken && w.compared > mostCompared
}

// fault tells of what encoding/json cannot take.
func (w *walk) fault(what string) {
	if !w.taken {
		w.tell(what)
	}
}

func (w *walk) tell(what string) {
	path := string(w.path)
	switch {
	case path == "":
		path = "the payload"
	case len(path) > longestPath:
		path = "…" + strings.ToValidUTF8(path[len(path)-longestPath:], "")
	}
	w.faults = append(w.faults, path+": "+what)
}

var (
	decodesItself = reflect.TypeFor[json.Unmarshaler]()
	decodesText   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value compares the next value with a type, and says whether it is there: null is not, by encoding/json's rule. Quoted
// is a value whose JSON stands in a string.
func (w *walk) value(t reflect.Type, quoted bool) (there bool) {
	w.compared++
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	wanted, name := json.Delim('{'), "an object"
	switch kind := t.Kind(); {
	case reflect.PointerTo(t).Implements(decodesItself), reflect.PointerTo(t).Implements(decodesText):
		return w.leaf(t, quoted)
	case kind == reflect.Struct, kind == reflect.Map && t.Key().Kind() == reflect.String:
	case kind == reflect.Slice && t.Elem().Kind() != reflect.Uint8, kind == reflect.Array:
		wanted, name = '[', "a list"
	default:
		return w.leaf(t, quoted)
	}
	switch token := w.token(); {
	case token == nil:
		return false
	case token != wanted:
		w.fault("must be " + name + ", not " + kindOfToken(token))
		w.skip(token)
	case wanted == '[':
		w.list(t.Elem())
	case t.Kind() == reflect.Struct:
		w.object(t)
	default:
		w.members(func(string) { w.value(t.Elem(), false) })
	}
	return true
}

// token is the next token. There is one: the payload is JSON.
func (w *walk) token() json.Token {
	token, err := w.in.Token()
	if err != nil {
		panic(fmt.Errorf("walk through valid JSON: %w", err))
	}
	return token
}

// skip skips what a token begins.
func (w *walk) skip(token json.Token) {
	for depth := 0; !w.over(); token = w.token() {
		w.compared++
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return
		}
	}
}

func (w *walk) list(element reflect.Type) {
	outer := len(w.path)
	for i := 0; w.in.More(); i++ {
		w.path = fmt.Appendf(w.path, "[%d]", i)
		w.value(element, false)
		if w.over() {
			return
		}
		w.path = w.path[:outer]
	}
	w.token()
}

// members calls member with the name of each member of an object, to compare or skip its value.
func (w *walk) members(member func(name string)) {
	outer := len(w.path)
	for w.in.More() {
		name, _ := w.token().(string)
		w.enter(name)
		member(name)
		if w.over() {
			return
		}
		w.path = w.path[:outer]
	}
	w.token()
}

// enter makes the path that of a member, its name shortened: it may be the sender's invention.
func (w *walk) enter(name string) {
	if len(name) > 60 {
		name = strings.ToValidUTF8(name[:60], "") + "…"
	}
	if len(w.path) > 0 {
		w.path = append(w.path, '.')
	}
	w.path = append(w.path, name...)
}

func (w *walk) object(t reflect.Type) {
	fields, known := w.fields[t]
	if !known {
		fields = fieldsOf(t)
		w.fields[t] = fields
	}
	seen := make([]bool, len(fields))
	w.members(func(name string) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			i = slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) })
		}
		if i < 0 {
			w.fault("is no field here")
			w.skip(w.token())
			return
		}
		seen[i] = w.value(fields[i].kind, fields[i].quoted) || seen[i]
	})
	outer := len(w.path)
	for i, f := range fields {
		if f.required && !seen[i] && !w.over() {
			w.enter(f.name)
			w.tell("is missing")
			w.path = w.path[:outer]
		}
	}
}

// leaf is value for a type that encoding/json decodes at one stroke.
func (w *walk) leaf(t reflect.Type, quoted bool) (there bool) {
	w.raw = w.raw[:0]
	if err := w.in.Decode(&w.raw); err != nil {
		panic(fmt.Errorf("walk through valid JSON: %w", err))
	}
	if string(w.raw) == "null" {
		return false
	}
	if w.taken {
		return true
	}
	raw := w.raw
	if quoted {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			w.fault("must be a string, not " + kindOf(raw))
			return true
		}
		raw = []byte(text)
	}
	err := json.Unmarshal(raw, reflect.New(t).Interface())
	wanted := scalar(t.Kind())
	switch {
	case err == nil:
	case wanted == "":
		w.fault(err.Error())
	case quoted:
		w.fault("must be a string that holds " + wanted)
	case kindOf(raw) == "a number" && strings.Contains(wanted, "number"):
		w.fault(fmt.Sprintf("must be %s within its limits, not %.40s", wanted, raw))
	default:
		w.fault("must be " + wanted + ", not " + kindOf(raw))
	}
	return true
}

// scalar is what a kind of scalar is called, empty for another kind.
func scalar(kind reflect.Kind) string {
	switch {
	case kind >= reflect.Int && kind <= reflect.Int64:
		return "a whole number"
	case kind >= reflect.Uint && kind <= reflect.Uintptr:
		return "a whole number that is not negative"
	case kind == reflect.Float32 || kind == reflect.Float64:
		return "a number"
	case kind == reflect.String:
		return "a string"
	case kind == reflect.Bool:
		return "true or false"
	}
	return ""
}

func kindOfToken(token json.Token) string {
	if _, text := token.(string); text {
		return "a string"
	}
	return kindOf(fmt.Append(nil, token))
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
