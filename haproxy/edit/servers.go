package edit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/haproxytech/client-native/v5/config-parser/params"
	"github.com/haproxytech/client-native/v5/config-parser/parsers"
	"github.com/haproxytech/client-native/v5/config-parser/types"
)

// Server is what a server line says about the instance behind it.
type Server struct {
	Name     string
	Address  string // an IP address (IPv6 without brackets), a host name, or another address that HAProxy knows
	Port     int    // 0 if the line has none
	Weight   *int   // 0..256; nil if the line has none, and HAProxy takes that of default-server, or 1
	MaxConn  int    // 0 if the line has none
	Disabled bool
	Note     string
}

const maxWeight = 256

// Servers reads the server lines among a section's lines, in their order. An error names the line that it is about.
func Servers(s Section) ([]Server, error) {
	var servers []Server
	for _, l := range s.Lines {
		words := scan(l.Text, nil).words
		if len(words) == 0 || words[0] != "server" {
			continue
		}
		server, err := parseServer(words)
		if err != nil {
			return nil, fmt.Errorf("section %q: line %q: %w", s.Header, l.Text, err)
		}
		server.Note = l.Note
		servers = append(servers, server)
	}
	return servers, nil
}

func parseServer(words []string) (Server, error) {
	if len(words) < 3 {
		return Server{}, errors.New("want a name and an address behind \"server\"")
	}
	var p parsers.Server
	if _, err := p.Parse("", harmless(words), ""); err != nil {
		return Server{}, err
	}
	data, err := p.GetOne(0)
	if err != nil {
		return Server{}, err
	}
	parsed, ok := data.(types.Server)
	if !ok {
		return Server{}, fmt.Errorf("config-parser gives a %T for a server", data)
	}
	server := Server{Name: parsed.Name}
	if server.Address, server.Port, err = splitAddress(parsed.Address); err != nil {
		return Server{}, err
	}
	err = server.take(parsed.Params)
	return server, err
}

// harmless changes the words of a server line such that config-parser v5.1.15 comes to an end with them. It never does
// with an option that it knows but cannot take: one without its value at the end of the line, one with a "(…)" that it
// should not have, or the one that should, without. Nothing that we read is among those.
func harmless(words []string) []string {
	const options = 3 // behind "server", name and address
	changed := slices.Clone(words)
	for i := options; i < len(words); i++ {
		if strings.Contains(words[i], "(") || words[i] == "set-proxy-v2-tlv-fmt" {
			changed[i] = ""
		}
	}
	return append(changed, "")
}

// take sets what the options of a server line say.
func (s *Server) take(options []params.ServerOption) error {
	for _, option := range options {
		switch option := option.(type) {
		case *params.ServerOptionWord:
			switch option.Name {
			case "disabled":
				s.Disabled = true
			case "enabled":
				s.Disabled = false
			}
		case *params.ServerOptionValue:
			if err := s.takeValue(option); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) takeValue(option *params.ServerOptionValue) error {
	switch option.Name {
	case "weight":
		weight, err := strconv.ParseUint(option.Value, 10, 16)
		if err != nil || weight > maxWeight {
			return fmt.Errorf("weight %q: want a number from 0 to %d", option.Value, maxWeight)
		}
		s.Weight = new(int(weight))
	case "maxconn":
		limit, err := strconv.ParseUint(option.Value, 10, 31)
		if err != nil {
			return fmt.Errorf("maxconn %q: want a number of connections", option.Value)
		}
		s.MaxConn = int(limit)
	}
	return nil
}

// splitAddress splits at the last colon, as HAProxy does. config-parser leaves address and port in one.
func splitAddress(s string) (address string, port int, err error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.HasSuffix(s, "]") {
		return unbracketed(s), 0, nil
	}
	n, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: want a number from 0 to 65535", s[colon+1:])
	}
	return unbracketed(s[:colon]), int(n), nil
}

func unbracketed(address string) string {
	return strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
}
