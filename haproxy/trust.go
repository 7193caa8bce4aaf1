package haproxy

import (
	"fmt"
	"net/netip"
	"strings"

	"zatoha/haproxy/edit"
)

// Network is an address, or a range of addresses.
type Network struct{ netip.Prefix }

// UnmarshalText reads "10.0.0.1" and "10.0.0.0/24".
func (n *Network) UnmarshalText(text []byte) (err error) {
	if address, addressErr := netip.ParseAddr(string(text)); addressErr == nil && address.Zone() == "" {
		n.Prefix, err = address.Unmap().Prefix(address.Unmap().BitLen())
		return err
	}
	if n.Prefix, err = netip.ParsePrefix(string(text)); err != nil || n.Prefix != n.Masked() {
		return fmt.Errorf("%q: must be an IP address or a range of them, like 10.0.0.1 or 10.0.0.0/24", text)
	}
	if n.Bits() == 0 {
		return fmt.Errorf("%q: would trust everybody", text)
	}
	return nil
}

const (
	trusted        = "{ var(txn.trusted) -m bool }"
	forwardedHTTPS = "{ req.fhdr(X-Forwarded-Proto) -m str https }"
)

// trust lets the proxies before us say who the client is. What they say is taken for its address in all that follows:
// the limit of its rate, the log, and the header that servers see. Of a list of addresses only the last one counts,
// which the proxy itself has seen.
func (o Options) trust() []edit.Line {
	if len(o.TrustedProxies) == 0 {
		return nil
	}
	networks := make([]string, len(o.TrustedProxies))
	for i, network := range o.TrustedProxies {
		networks[i] = network.String()
	}
	var s lines
	s.note("http-request set-var(txn.trusted) bool(true) if { src "+strings.Join(networks, " ")+" }", "a proxy of ours; looked at before src changes")
	s.note("http-request set-src req.hdr_ip(X-Forwarded-For,-1) if "+trusted+" { req.hdr(X-Forwarded-For) -m found }", "the client, in all that follows")
	return s
}

// unlessTrusted is the end of a rule that does not hold if a trusted proxy has sent what fits the condition, or, without
// one, anything.
func (o Options) unlessTrusted(condition string) string {
	if len(o.TrustedProxies) == 0 {
		return ""
	}
	return strings.TrimSuffix(" unless "+trusted+" "+condition, " ")
}

// orTrusted is one more condition of a rule: that a trusted proxy has sent what fits.
func (o Options) orTrusted(condition string) string {
	if len(o.TrustedProxies) == 0 {
		return ""
	}
	return " || " + trusted + " " + condition
}
