package service

import (
	"reflect"
	"slices"
	"strings"
)

// field is a member of an object, as encoding/json knows it.
type field struct {
	name     string
	index    []int
	kind     reflect.Type
	quoted   bool // its value stands in a string
	required bool
}

// fieldsOf are the members of a structure, those of structures embedded in it included; of two by one name it is the one
// that is embedded less deeply.
func fieldsOf(t reflect.Type) (fields []field) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case inlined(f), !f.IsExported() && !(f.Anonymous && structure(f.Type) != nil), f.Tag.Get("json") == "-", !promoted(t, f.Index):
			continue
		case name == "":
			name = f.Name
		}
		fields = append(fields, field{
			name: name, index: f.Index, kind: f.Type, required: f.Tag.Get("required") == "true",
			quoted: slices.Contains(strings.Split(options, ","), "string") && canBeQuoted(f.Type),
		})
	}
	return slices.DeleteFunc(slices.Clone(fields), func(f field) bool {
		return slices.ContainsFunc(fields, func(o field) bool { return o.name == f.name && len(o.index) < len(f.index) })
	})
}

// inlined says whether the members of an embedded structure are members of the one around it: if it has no name in JSON.
func inlined(f reflect.StructField) bool {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return f.Anonymous && name == "" && structure(f.Type) != nil
}

// promoted says whether all structures around a field, up to t, are inlined.
func promoted(t reflect.Type, index []int) bool {
	for depth := 1; depth < len(index); depth++ {
		if !inlined(t.FieldByIndex(index[:depth])) {
			return false
		}
	}
	return true
}

// canBeQuoted says whether encoding/json heeds the option "string" of a field: it does for scalars.
func canBeQuoted(t reflect.Type) bool {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return scalar(t.Kind()) != ""
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
	for _, f := range fieldsOf(t) {
		if f.required {
			r.fields = append(r.fields, f.index)
		}
		r.within = r.within || hasRequired(f.kind, nil)
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
