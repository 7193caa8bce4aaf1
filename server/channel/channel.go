// Package channel decides by which HTTP channel a request comes in: what a definition may say, which of several channels
// takes a request, and what becomes of definitions that are no good. It is pure: text and values in, values out.
//
// One case from start to end. Somebody writes the key zato/main/channels/order:
//
//	{"name": "order", "method": "GET", "path": "/orders/{id}", "service": "orders.get", "timeout_ms": 2000}
//
// [Decode] makes a [Definition] of it, with defaults for what it does not say. [Set.Update] gets all definitions there
// are, refuses what is at fault, naming the field, keeps the last good one in its place, and returns those that hold.
// A [Table] of them is made, and takes the place of the last one at one stroke. GET /orders/7 is then led by
// [Table.Match] to the channel with id = 7; DELETE /orders/7 to none, but the methods that the path takes; and
// /orders/new to the channel of the path /orders/new if there is one, for a name in a path is more specific than a
// parameter.
package channel

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The formats of data.
const (
	JSON = "json" // the request's body must be JSON
	Raw  = "raw"  // anything goes
)

// The kinds of security.
const (
	None      = "none"
	BasicAuth = "basic_auth" // HTTP basic authentication with username and password
	APIKey    = "api_key"    // the key in a header X-API-Key
)

// maxTimeoutMS is the longest that a channel may wait for its service: a day.
const maxTimeoutMS = 24 * 60 * 60 * 1000

// Definition is a channel as somebody wrote it: method and path in, service out.
type Definition struct {
	Name       string `json:"name"`
	Method     string `json:"method"` // one or several: "GET" or "GET, POST"
	Path       string `json:"path"`   // see Pattern
	Service    string `json:"service"`
	DataFormat string `json:"data_format"` // default: json
	Security   string `json:"security"`    // default: none
	TimeoutMS  int64  `json:"timeout_ms"`  // default: 0, the server's own
	IsActive   bool   `json:"is_active"`   // default: true

	// The credentials that the security asks for. A secret is written as ${env:NAME} or ${file:/path}, or as it is.
	Username string `json:"username,omitempty"` // of basic_auth
	Password Secret `json:"password,omitempty"` // of basic_auth
	APIKey   Secret `json:"api_key,omitempty"`  // of api_key
}

// Secret is a text that is not shown: it prints as stars, also in JSON and with %#v. Only [Secret.Text] has it.
type Secret string

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Text is the text itself.
func (s Secret) Text() string { return string(s) }

// Reference takes ${env:NAME} and ${file:/path} apart. A secret that is none stands for itself, and found is false.
func (s Secret) Reference() (source, name string, found bool) {
	inner, opened := strings.CutPrefix(string(s), "${")
	inner, closed := strings.CutSuffix(inner, "}")
	source, name, found = strings.Cut(inner, ":")
	if !opened || !closed || !found {
		return "", "", false
	}
	return source, name, true
}

// Methods are the methods that the channel takes, in order.
func (d Definition) Methods() []string {
	var methods []string
	for method := range strings.SplitSeq(d.Method, ",") {
		methods = append(methods, strings.TrimSpace(method))
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// knownMethods are those that a channel may take. CONNECT and TRACE are the business of proxies.
var knownMethods = []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

// Fault is what is wrong with one field of a definition, and what to do.
type Fault struct {
	Field string // as in JSON; empty: the definition as a whole
	What  string
}

// Error implements error.
func (f Fault) Error() string {
	if f.Field == "" {
		return f.What
	}
	return f.Field + ": " + f.What
}

// Faults are all that is wrong with one definition.
type Faults []Fault

// Error implements error.
func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i, fault := range f {
		texts[i] = fault.Error()
	}
	return strings.Join(texts, "; ")
}

// longest is the number of bytes that a name or a credential may have; definitions as a whole are bounded too.
const (
	longest     = 256
	longestText = 64 << 10
)

// Validate returns all that is wrong with a definition, nil if nothing is. Whether its service exists is known says.
func (d Definition) Validate(known func(service string) bool) Faults {
	var faults Faults
	refuse := func(bad bool, field, format string, args ...any) {
		if bad {
			faults = append(faults, Fault{field, fmt.Sprintf(format, args...)})
		}
	}
	refuse(!validName(d.Name), "name", "%s: must be of letters, digits and . _ - and begin with one of the first two", quoted(d.Name))
	for _, method := range d.Methods() {
		refuse(!slices.Contains(knownMethods, method), "method", "%s: must be of %s", quoted(method), strings.Join(knownMethods, ", "))
	}
	if _, err := ParsePattern(d.Path); err != nil {
		refuse(true, "path", "%v", err)
	}
	refuse(d.Service == "", "service", "is empty, name the service that is to be called")
	refuse(d.Service != "" && !known(d.Service), "service", "%s: this server has no such service", quoted(d.Service))
	refuse(d.DataFormat != JSON && d.DataFormat != Raw, "data_format", "%s: must be json or raw", quoted(d.DataFormat))
	refuse(d.TimeoutMS < 0 || d.TimeoutMS > maxTimeoutMS, "timeout_ms", "%d: must be from 0 to %d", d.TimeoutMS, maxTimeoutMS)
	return append(faults, d.credentialFaults()...)
}

func (d Definition) credentialFaults() (faults Faults) {
	refuse := func(bad bool, field, what string) {
		if bad {
			faults = append(faults, Fault{field, what})
		}
	}
	secret := func(field string, value Secret) {
		source, name, reference := value.Reference()
		refuse(reference && source != "env" && source != "file", field, "a reference must be ${env:NAME} or ${file:/path}")
		refuse(reference && name == "", field, "the reference names nothing")
		refuse(reference && source == "file" && name != "" && !strings.HasPrefix(name, "/"), field, "the file of a reference must have an absolute path")
		refuse(!reference && strings.HasPrefix(string(value), "${"), field, "a reference must be ${env:NAME} or ${file:/path}")
	}
	switch d.Security {
	case None:
	case BasicAuth:
		refuse(d.Username == "", "username", "is missing, basic_auth needs one")
		refuse(strings.Contains(d.Username, ":"), "username", "must not have a colon")
		refuse(d.Password == "", "password", "is missing, basic_auth needs one")
		secret("password", d.Password)
	case APIKey:
		refuse(d.APIKey == "", "api_key", "is missing, the security api_key needs one")
		secret("api_key", d.APIKey)
	default:
		refuse(true, "security", quoted(d.Security)+": must be none, basic_auth or api_key")
	}
	refuse(d.Security != BasicAuth && d.Username != "", "username", "only the security basic_auth has one")
	refuse(d.Security != BasicAuth && d.Password != "", "password", "only the security basic_auth has one")
	refuse(d.Security != APIKey && d.APIKey != "", "api_key", "only the security api_key has one")
	return faults
}

// quoted is a text that somebody wrote, shortened, as part of a message.
func quoted(text string) string {
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:80], "") + "…"
	}
	quoted, _ := json.Marshal(text) // a string can always be marshalled
	return string(quoted)
}

func validName(name string) bool {
	if name == "" || len(name) > longest {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !letterOrDigit(c) && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

func letterOrDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
