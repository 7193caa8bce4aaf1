package haproxy

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"zatoha/haproxy/edit"
)

// frontend is what clients meet: plain HTTP, and HTTPS if there is a certificate. Rules run in the order of the lines;
// the monitor is answered before all of them. An operator's own frontends stand beside it, and may send to our backend.
func (o Options) frontend() edit.Section { return o.front(Frontend, Backend) }

// front is a frontend of that name before that backend.
func (o Options) front(name, backend string) edit.Section {
	var s lines
	s.add("bind " + o.Bind)
	if o.TLS.Bind != "" {
		s.add("bind " + o.TLS.Bind + " ssl crt " + quote(o.TLS.Certificate) + " alpn h2,http/1.1 ssl-min-ver " + cmp.Or(o.TLS.MinVersion, oldestTLS))
	}
	s.note(fmt.Sprintf("maxconn %d", o.MaxConn), "clients; more wait in the kernel")
	s.note("monitor-uri "+AliveURI, "answered by haproxy itself, before any rule")
	s.add("monitor fail if { nbsrv(" + backend + ") lt 1 }")
	s.note("option idle-close-on-response", "at a reload, an idle client is closed behind an answer, not under a request")
	s.note("option http-restrict-req-hdr-names "+o.HeaderNames, namesNotes[o.HeaderNames])
	s.note("option disable-h2-upgrade", "HTTP/2 is agreed on in TLS, not slipped in here")
	s = append(s, o.AccessLog.lines()...)
	s = append(s, o.trust()...)
	s = append(s, o.RateLimit.lines()...)
	s = append(s, o.refusals(backend)...)
	s = append(s, o.headers()...)
	s = append(s, o.relayed()...)
	s.add("default_backend " + backend)
	return s.section("frontend " + name + " from " + Defaults)
}

// The oldest version of TLS that the front ever speaks, and the default.
const oldestTLS = "TLSv1.2"

// What may become of header names that have other characters than letters, digits and hyphens.
const (
	rejectNames   = "reject"
	deleteNames   = "delete"
	preserveNames = "preserve"
)

var namesNotes = map[string]string{
	rejectNames:   "403 for names that CGI and its like mistake for others",
	deleteNames:   "names that CGI and its like mistake for others are left out",
	preserveNames: "servers see names that CGI and its like mistake for others",
}

// mistaken are the names that CGI and its like take for those of the headers that only we, or a trusted proxy, may set.
const mistaken = "^x([^a-z0-9-]forwarded[^a-z0-9]|-forwarded[^a-z0-9-]|([^a-z0-9-]real[^a-z0-9]|-real[^a-z0-9-])ip$)"

// refusals are the rules that answer a request here.
func (o Options) refusals(backend string) []edit.Line {
	var s lines
	// HAProxy lets these through, and servers differ in what they make of them.
	s.note(`http-request deny deny_status 400 if { req.hdrs -m reg '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]' }`, "control characters in a header")
	s.note("http-request deny deny_status 400 if { req.ver 0.9 }", "a version that has no headers, and has some")
	s.note("http-request deny deny_status 400 if HTTP_1.0 { req.hdr(Transfer-Encoding) -m found }", "HTTP/1.0 has none")
	if o.TLS.RedirectPort == 0 {
		s.note("http-request deny deny_status 400 if !{ req.hdr(Host) -m found } !HTTP_1.0", "HTTP/1.1 wants one")
	} else {
		s.note("http-request deny deny_status 400 if !{ req.hdr(Host) -m found }", "there is nowhere to redirect to")
		s.add("http-request redirect code 308 location " + o.TLS.location() + " unless { ssl_fc }" + o.orTrusted(forwardedHTTPS))
	}
	if len(o.HidePaths) > 0 {
		s.note("http-request deny deny_status 400 if { path -m reg '%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)' }", "no encoding; could hide a path")
		s.note(`http-request deny deny_status 400 if { path,url_dec -m reg '/\.\.?(/|$)' }`, "dots that a server would resolve; so could they")
	}
	for _, path := range o.HidePaths {
		s.note("http-request deny deny_status 404 if { path,url_dec -m reg '"+hidden(path)+"' }", "not for clients")
	}
	s.note(fmt.Sprintf("http-request deny deny_status 503 if { queue(%s) ge %d }", backend, o.QueueLimit), "the queue is full")
	return s
}

// location is where a plain request is sent to: the same host, path and query by HTTPS.
func (t TLS) location() string {
	const standard = 443
	if t.RedirectPort == standard {
		return "https://%[req.hdr(Host),host_only]%[pathq]"
	}
	return fmt.Sprintf("https://%%[req.hdr(Host),host_only]:%d%%[pathq]", t.RedirectPort)
}

// hidden is a regular expression for this path and all below it, also with the doubled slashes that servers take for
// one.
func hidden(path string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(path), "/", "/+") + "(/|$)"
}

// destination is the address that a client has connected to, spelt as in [YieldVariable]. Where HAProxy listens at [::],
// which takes IPv4 too, it has 10.0.0.100 as ::ffff:10.0.0.100; ipmask makes that what it was, and leaves others alone.
func (o Options) destination() string {
	if strings.HasPrefix(o.Bind, "[") || strings.HasPrefix(o.TLS.Bind, "[") {
		return "dst,ipmask(32,128)"
	}
	return "dst"
}

// headers are those that only we may say, and those that are not to be passed on.
func (o Options) headers() []edit.Line {
	var s lines
	s.note("http-request del-header X-Forwarded- -m beg"+o.unlessTrusted(""), "Host, Port, Prefix: what a client says there, servers would take for ours")
	s.note("http-request del-header X-Real-IP"+o.unlessTrusted(""), "likewise")
	s.note("http-request set-header X-Forwarded-For %[src]", "set, not added to: a client cannot forge it")
	protocol := "http"
	if o.TLS.Bind != "" {
		protocol = "%[ssl_fc,iif(https,http)]"
	}
	s.add("http-request set-header X-Forwarded-Proto " + protocol + o.unlessTrusted("{ req.fhdr(X-Forwarded-Proto) -m str http https }"))
	if o.HeaderNames == preserveNames {
		s.note("http-request del-header '"+mistaken+"' -m reg", "CGI programs take them for those above")
	}
	s.note("http-request del-header Forwarded", "a client's word about itself")
	s.note("http-request del-header Proxy", "CGI programs take it for HTTP_PROXY")
	s.note("http-request del-header Proxy-Connection", "meant for the first proxy only")
	if o.Yields {
		s.note("http-after-response set-header Connection close if { "+o.destination()+",strcmp("+YieldVariable+") eq 0 }", "while its address moves to another load balancer")
	}
	if o.TLS.HSTS > 0 {
		s.add(fmt.Sprintf("http-after-response set-header Strict-Transport-Security max-age=%d if { ssl_fc }", int64(o.TLS.HSTS.Seconds())))
	}
	return s
}
