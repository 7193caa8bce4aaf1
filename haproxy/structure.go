package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"zatoha/haproxy/edit"
)

// structureVariable is the environment variable by which a running HAProxy tells on which structure it runs.
const structureVariable = "ZATOHA_STRUCTURE"

// Structure identifies all in our sections that takes a reload to change: every line, but of a server line of our backend
// not what can be set in the running HAProxy, and of another one only the name. Notes do not count.
func Structure(sections []edit.Section) string {
	hash := sha256.New()
	for _, section := range sections {
		hash.Write([]byte(section.Header + "\n"))
		for _, line := range section.Lines {
			switch {
			case isServer(line):
				hash.Write([]byte(counted(section, line) + "\n"))
			case !namesStructure(line):
				hash.Write([]byte(line.Text + "\n"))
			}
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// counted is what of a server line the structure has: in our backend, what takes a reload to change. In other sections of
// ours it is the name alone, by which older releases have named the structure in files and to running HAProxys.
func counted(section edit.Section, line edit.Line) string {
	if isBackend(section) {
		return fixed(line)
	}
	words := strings.Fields(line.Text)
	return strings.Join(words[:min(2, len(words))], " ")
}

// fixed is what of a server line takes a reload to change: its name, and all but its address, its weight, its limit of
// connections and whether it is disabled. Of ours it is the name.
func fixed(line edit.Line) string {
	words := strings.Fields(line.Text)
	if len(words) < 3 {
		return line.Text
	}
	kept := words[:2:2]
	for options := words[3:]; len(options) > 0; options = options[1:] {
		switch option := options[0]; {
		case (option == "weight" || option == "maxconn") && len(options) > 1:
			options = options[1:]
		case option != "disabled":
			kept = append(kept, option)
		}
	}
	return strings.Join(kept, " ")
}

// FixedServers are the servers of our backend as far as it takes a reload to change them, one for each line.
func FixedServers(sections []edit.Section) (servers []string) {
	for _, section := range sections {
		for _, line := range section.Lines {
			if isBackend(section) && isServer(line) {
				servers = append(servers, fixed(line))
			}
		}
	}
	return servers
}

// Design identifies the structure but for the slots, which grow of themselves.
func Design(sections []edit.Section) string { return Structure(WithServers(sections, nil)) }

// Shared identifies what the load balancers of one cluster should have alike: the design but for addresses and paths,
// which are each machine's own, and what a data plane of its kind adds.
func (o Options) Shared() string {
	const own = "own"
	o.Bind, o.StatsSocket, o.EventSocket = own, "", ""
	if o.TLS.Bind != "" {
		o.TLS.Bind, o.TLS.Certificate = own, own
	}
	if o.AccessLog != "" && o.AccessLog != "off" {
		o.AccessLog = own
	}
	return Design(o.Sections(nil))
}

func namesStructure(line edit.Line) bool {
	return strings.HasPrefix(line.Text, "setenv "+structureVariable+" ")
}

// NameStructure writes the sections' structure into them, where [RunningStructure] finds it when they run.
func NameStructure(sections []edit.Section) []edit.Section {
	name := edit.Line{Text: "setenv " + structureVariable + " " + Structure(sections), Note: "which structure this is"}
	named := make([]edit.Section, len(sections))
	copy(named, sections)
	for i, section := range named {
		if section.Header == "global" {
			named[i].Lines = append(without(section.Lines, namesStructure), name)
		}
	}
	return named
}

// NamedStructure is the structure that sections have in them by [NameStructure], or "" if they have none. It is that of
// the sections unless somebody has edited them since.
func NamedStructure(sections []edit.Section) string {
	for _, section := range sections {
		for _, line := range section.Lines {
			if words := strings.Fields(line.Text); namesStructure(line) && len(words) > 2 {
				return words[2]
			}
		}
	}
	return ""
}

// AskStructure is the runtime command whose answer [RunningStructure] reads.
const AskStructure = "show env " + structureVariable

// RunningStructure is what a running HAProxy answers to [AskStructure], or "" if it runs nothing of ours.
func RunningStructure(answer string) string {
	_, structure, _ := strings.Cut(strings.TrimSpace(answer), structureVariable+"=")
	return structure
}

// WithServers gives the sections the servers of others, and leaves their structure otherwise as it is.
func WithServers(sections, others []edit.Section) []edit.Section {
	var servers []edit.Line
	for _, section := range others {
		if isBackend(section) {
			servers = without(section.Lines, func(line edit.Line) bool { return !isServer(line) })
		}
	}
	changed := make([]edit.Section, len(sections))
	copy(changed, sections)
	for i, section := range changed {
		if isBackend(section) {
			changed[i].Lines = append(without(section.Lines, isServer), servers...)
		}
	}
	return changed
}

func isServer(line edit.Line) bool {
	words := strings.Fields(line.Text)
	return len(words) > 0 && words[0] == "server"
}

func isBackend(section edit.Section) bool {
	words := strings.Fields(section.Header)
	return len(words) > 1 && words[0] == "backend" && words[1] == Backend
}

func without(lines []edit.Line, unwanted func(edit.Line) bool) []edit.Line {
	var kept []edit.Line
	for _, line := range lines {
		if !unwanted(line) {
			kept = append(kept, line)
		}
	}
	return kept
}
