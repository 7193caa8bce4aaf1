package netns

import (
	"fmt"
	"regexp"
	"strings"
)

// name is what a host may be called: it becomes the name of its port on the bridge, of at most 15 characters.
var name = regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}$`)

func properName(text string) bool { return name.MatchString(text) && text != "bridge" && text != "lo" }

// loss is how many of a thousand frames are lost between the bridge and a host.
type loss struct {
	host string
	lost int
}

// cut is between some hosts and others.
type cut struct{ some, others []string }

// rules are what nft makes of groups of hosts that are cut off: a frame passes the bridge if, for each group, both its
// ends are in it or neither is, if no cut is between its ends, and if chance does not take it. They replace the rules of
// before at one stroke, ARP included.
func rules(groups [][]string, cuts []cut, lossy []loss) string {
	var b strings.Builder
	b.WriteString("table bridge partition\ndelete table bridge partition\ntable bridge partition {\n")
	b.WriteString("\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n")
	for _, group := range groups {
		if len(group) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\t\tiifname %s oifname != %[1]s drop\n\t\tiifname != %[1]s oifname %[1]s drop\n", set(group))
	}
	for _, c := range cuts {
		if len(c.some) == 0 || len(c.others) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\t\tiifname %s oifname %s drop\n\t\tiifname %[2]s oifname %[1]s drop\n", set(c.some), set(c.others))
	}
	for _, l := range lossy {
		for _, way := range []string{"iifname", "oifname"} {
			fmt.Fprintf(&b, "\t\t%s %q numgen random mod %d < %d drop\n", way, l.host, perMille, l.lost)
		}
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

// set is that of hosts, as nft has it.
func set(hosts []string) string { return `{ "` + strings.Join(hosts, `", "`) + `" }` }
