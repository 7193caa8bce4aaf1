package invoke

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"zatoha/connectorhost/connector"
)

const (
	// maxProperties leaves room for all other headers in the 16 KiB that load balancer and servers take.
	maxProperties = 4 << 10
	// omitted names the properties that are left out.
	omitted = "omitted"
)

// propertiesValue makes a header's value of a message's properties, without the longest ones if it would be too long.
func propertiesValue(properties map[string]string) string {
	text := connector.FormatProperties(properties)
	if len(text) <= maxProperties {
		return text
	}
	names := slices.SortedFunc(maps.Keys(properties), func(a, b string) int {
		return cmp.Or(len(properties[b])-len(properties[a]), cmp.Compare(a, b))
	})
	rest := maps.Clone(properties)
	for i, name := range names {
		delete(rest, name)
		rest[omitted] = strings.Join(names[:i+1], ",")
		if text = connector.FormatProperties(rest); len(text) <= maxProperties {
			return text
		}
	}
	return "" // the names alone are too long, which those of no kind are
}
