package connector

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Role says which way the messages of a connector go.
type Role string

// The roles.
const (
	Channel  Role = "channel"  // from the broker to a service
	Outgoing Role = "outgoing" // from services to the broker
)

// Definition is a connector as it was defined, checked and with its defaults filled in. It holds no secret that can be
// seen: printed or made into JSON, they are "***".
type Definition struct {
	Name        string   `json:"name"`
	Kind        string   `json:"kind"`
	Role        Role     `json:"role"`
	Active      bool     `json:"is_active"`
	Service     string   `json:"service,omitempty"` // of a channel
	DataFormat  string   `json:"data_format"`
	MaxAttempts int      `json:"max_attempts"`
	DeadLetter  string   `json:"dead_letter,omitempty"` // what it names is the kind's business
	Settings    Settings `json:"settings"`
}

// The data formats. They choose the media type of messages that come without one.
const (
	Raw  = "raw"
	JSON = "json"
)

// MediaType is the one of messages that come without.
func (d *Definition) MediaType() string {
	if d.DataFormat == JSON {
		return "application/json"
	}
	return "application/octet-stream"
}

// DefaultMaxAttempts is how often a service is tried with a message unless the definition says otherwise.
const DefaultMaxAttempts = 5

const maxMaxAttempts = 1000

// MaxName is how long a connector's name may be.
const MaxName = 100

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// kinds are what [Register] was told.
var kinds = struct {
	sync.RWMutex
	decode map[string]DecodeSettings
}{decode: map[string]DecodeSettings{}}

// DecodeSettings reads a kind's own fields. It reports what is wrong with them by the methods of Fields, reads on, and
// returns its settings, which are not used if there was a fault. It can rely on the common fields in
// [Fields.Definition], as far as those are without fault.
type DecodeSettings func(fields *Fields) Settings

// Register makes a kind known. It is called by the init function of the kind's package.
func Register(kind string, decode DecodeSettings) {
	kinds.Lock()
	defer kinds.Unlock()
	if _, taken := kinds.decode[kind]; taken {
		panic("connector: there are two kinds " + kind)
	}
	kinds.decode[kind] = decode
}

// Kinds are the names of the registered kinds, in order.
func Kinds() []string {
	kinds.RLock()
	defer kinds.RUnlock()
	return slices.Sorted(maps.Keys(kinds.decode))
}

func decoderOf(kind string) (DecodeSettings, bool) {
	kinds.RLock()
	defer kinds.RUnlock()
	decode, known := kinds.decode[kind]
	return decode, known
}

// Decode reads a definition. Nothing is guessed: a field that is unknown, given twice, of the wrong type, out of range
// or missing is a fault, and all faults are reported at once, by a [*DefinitionError].
func Decode(text []byte) (*Definition, error) {
	fields, err := readFields(text)
	if err != nil {
		return nil, &DefinitionError{Faults: []Fault{{Problem: err.Error()}}}
	}
	d := fields.Definition
	d.common(fields)
	if decode, known := decoderOf(d.Kind); known {
		d.Settings = decode(fields)
		fields.unknown()
	} else if fields.Has("kind") {
		fields.Fault("kind", "is %q: this program has %s", d.Kind, list(Kinds()))
	}
	if len(fields.faults) > 0 {
		return nil, &DefinitionError{Name: d.Name, Faults: fields.faults}
	}
	return d, nil
}

// common reads the fields that all kinds have.
func (d *Definition) common(fields *Fields) {
	d.Name = fields.Required("name")
	if d.Name != "" && (len(d.Name) > MaxName || !validName.MatchString(d.Name)) {
		fields.Fault("name", "is %q: use at most %d letters, digits, dots, dashes and underscores, a letter or digit first", d.Name, MaxName)
	}
	d.Kind = fields.Required("kind")
	d.Role = Role(fields.Required("role"))
	if d.Role != "" && d.Role != Channel && d.Role != Outgoing {
		fields.Fault("role", "is %q: use channel or outgoing", d.Role)
	}
	d.Active = fields.Bool("is_active", true)
	d.DataFormat = fields.OneOf("data_format", Raw, Raw, JSON)
	if d.Role == Outgoing {
		for _, field := range []string{"service", "max_attempts", "dead_letter"} {
			if fields.Has(field) {
				fields.Fault(field, "is for channels: leave it out of an outgoing connector")
			}
		}
		return
	}
	d.Service = fields.Required("service")
	if strings.ContainsAny(d.Service, " \t\r\n/?#%") {
		fields.Fault("service", "is %q: a service's name has no spaces and none of / ? # %%", d.Service)
	}
	d.MaxAttempts = fields.Int("max_attempts", DefaultMaxAttempts, 1, maxMaxAttempts)
	d.DeadLetter = fields.String("dead_letter", "")
}

// Fault is one thing that is wrong with a definition.
type Fault struct {
	Field   string `json:"field,omitempty"` // empty if it is about the whole
	Problem string `json:"problem"`
}

func (f Fault) String() string {
	if f.Field == "" {
		return f.Problem
	}
	return f.Field + " " + f.Problem
}

// DefinitionError says all that is wrong with a definition. It is an [ErrDefinition].
type DefinitionError struct {
	Name   string // of the connector, if it has one
	Faults []Fault
}

func (e *DefinitionError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, fault := range e.Faults {
		texts[i] = fault.String()
	}
	name := "connector"
	if e.Name != "" {
		name = fmt.Sprintf("connector %q", e.Name)
	}
	return name + ": " + strings.Join(texts, "; ")
}

// Is makes it an ErrDefinition.
func (e *DefinitionError) Is(target error) bool { return target == ErrDefinition }
