// Package layout knows the structures of the MQI: their fields, where these lie in memory, and how they are declared in
// C. The stand-in for IBM's library is compiled against declarations made from it, and the test queue manager reads by
// it what that library hands on as it is.
//
// One case: MQMD's BackoutCount is the field behind MsgId and CorrelId, at offset 96.
// `layout.Of("MQMD").Offset("BackoutCount")` says so; a test of the stand-in has a C compiler confirm it against IBM's
// own header.
//
// Only 64-bit little-endian machines are described: those that the stand-in is built on.
package layout

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed structures.txt
var structures string

// Structure is one of the structures.
type Structure struct {
	Name   string
	Fields []Field
	Size   int

	align int
}

// Field is a field of a structure.
type Field struct {
	Name   string
	Type   string // as in structures.txt, without the number of elements
	Count  int    // of elements; 0 if it is no array
	Offset int
	Size   int
}

// All are the structures, in an order in which C can be told of them.
var All = parse(structures)

// Of returns a structure. It panics if there is none of the name.
func Of(name string) *Structure {
	i := slices.IndexFunc(All, func(s *Structure) bool { return s.Name == name })
	if i < 0 {
		panic("layout: there is no structure " + name)
	}
	return All[i]
}

// Offset is where a field begins.
func (s *Structure) Offset(field string) int { return s.field(field).Offset }

func (s *Structure) field(name string) Field {
	i := slices.IndexFunc(s.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		panic("layout: " + s.Name + " has no field " + name)
	}
	return s.Fields[i]
}

func parse(text string) (all []*Structure) {
	known := map[string]*Structure{}
	for line := range strings.SplitSeq(text, "\n") {
		types, names, isFields := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case types == "" || strings.HasPrefix(types, "#"):
		case !isFields:
			s := &Structure{Name: types, align: 1}
			all, known[types] = append(all, s), s
		default:
			for _, name := range strings.Fields(names) {
				all[len(all)-1].add(name, types, known)
			}
		}
	}
	return all
}

// add lays a field behind the others.
func (s *Structure) add(name, types string, known map[string]*Structure) {
	f := Field{Name: name, Type: types}
	if element, count, isArray := strings.Cut(types, "["); isArray {
		f.Type = element
		f.Count, _ = strconv.Atoi(strings.TrimSuffix(count, "]"))
	}
	size, align := sizeOf(f.Type, known)
	f.Size = size * max(f.Count, 1)
	f.Offset = up(s.end(), align)
	s.Fields = append(s.Fields, f)
	s.align = max(s.align, align)
	s.Size = up(s.end(), s.align)
}

func (s *Structure) end() int {
	if len(s.Fields) == 0 {
		return 0
	}
	last := s.Fields[len(s.Fields)-1]
	return last.Offset + last.Size
}

func up(n, align int) int { return (n + align - 1) / align * align }

func sizeOf(name string, known map[string]*Structure) (size, align int) {
	switch name {
	case "char", "byte":
		return 1, 1
	case "long":
		return 4, 4
	case "pointer", "handle":
		return 8, 8
	}
	if inner := known[name]; inner != nil {
		return inner.Size, inner.align
	}
	return 8, 8 // a pointer to another structure
}

// Declaration is how C is told of the structure and of the pointer to it.
func (s *Structure) Declaration() string {
	var c strings.Builder
	fmt.Fprintf(&c, "typedef struct tag%s %s, *P%s;\nstruct tag%s {\n", s.Name, s.Name, s.Name, s.Name)
	for _, f := range s.Fields {
		ctype := f.Type
		if basic := map[string]string{"char": "MQCHAR", "byte": "MQBYTE", "long": "MQLONG", "pointer": "MQPTR", "handle": "MQHMSG"}[f.Type]; basic != "" {
			ctype = basic
		}
		fmt.Fprintf(&c, "  %s %s", ctype, f.Name)
		if f.Count > 0 {
			fmt.Fprintf(&c, "[%d]", f.Count)
		}
		c.WriteString(";\n")
	}
	c.WriteString("};\n")
	return c.String()
}

// Record is a structure as it lies in memory.
type Record struct {
	structure *Structure
	Bytes     []byte
}

// Read takes memory for a structure; false if it is too short, or does not begin as it must.
func (s *Structure) Read(memory []byte, identifier string) (Record, bool) {
	if len(memory) != s.Size || string(memory[:len(identifier)]) != identifier {
		return Record{}, false
	}
	return Record{s, memory}, true
}

// Long is the number in a field.
func (r Record) Long(field string) int32 {
	return int32(binary.LittleEndian.Uint32(r.Raw(field)))
}

// SetLong sets one.
func (r Record) SetLong(field string, value int32) {
	binary.LittleEndian.PutUint32(r.Raw(field), uint32(value))
}

// Handle is the message handle in a field.
func (r Record) Handle(field string) int64 {
	return int64(binary.LittleEndian.Uint64(r.Raw(field)))
}

// Raw are a field's bytes, to be read and written.
func (r Record) Raw(field string) []byte {
	f := r.structure.field(field)
	return r.Bytes[f.Offset : f.Offset+f.Size]
}

// Text is the text in a field: up to a NUL, without the blanks behind it.
func (r Record) Text(field string) string { return Text(r.Raw(field)) }

// SetText sets one, filled up with blanks.
func (r Record) SetText(field, value string) {
	raw := r.Raw(field)
	for i := copy(raw, value); i < len(raw); i++ {
		raw[i] = ' '
	}
}

// Text is what fixed memory says: up to a NUL, without the blanks behind it.
func Text(raw []byte) string {
	text, _, _ := strings.Cut(string(raw), "\x00")
	return strings.TrimRight(text, " ")
}
