package haproxy

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"

	"zatoha/haproxy/edit"
)

// AccessLog says where a line about each request goes: "stdout" or "stderr" of HAProxy, the address:port of a syslog
// server (UDP), or the path of a Unix datagram socket, like /dev/log. The zero value and "off" log nothing.
type AccessLog string

var socketPath = regexp.MustCompile(`^/[A-Za-z0-9._/-]+$`)

// UnmarshalText accepts the forms above.
func (a *AccessLog) UnmarshalText(text []byte) error {
	switch target := string(text); {
	case target == "" || target == "off":
		*a = ""
	case target == "stdout", target == "stderr", socketPath.MatchString(target) && filepath.Clean(target) == target:
		*a = AccessLog(target)
	default:
		host, port, err := net.SplitHostPort(target)
		n, portErr := strconv.Atoi(port)
		if err != nil || portErr != nil || net.ParseIP(host) == nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q: must be off, stdout, stderr, the IP address and port of a syslog server, or the path of its socket", target)
		}
		*a = AccessLog(target)
	}
	return nil
}

// logFormat is one JSON object for each request. Times are in milliseconds, -1 for what was not reached; queries are
// left out, they may hold secrets.
const logFormat = `{"time":%Ts.%ms,` + // when the request began, in seconds since 1970
	`"cid":"%[var(txn.cid),json(utf8s)]",` + // that of the answer, whoever gave it
	`"client":"%ci:%cp","tls":"%sslv",` +
	`"method":"%HM","path":"%[var(txn.path),json(utf8s)]","version":"%HV",` +
	`"status":%ST,"bytes_in":%U,"bytes_out":%B,` +
	`"request_ms":%TR,"queue_ms":%Tw,"connect_ms":%Tc,"response_ms":%Tr,"total_ms":%Ta,` +
	`"backend":"%b","server":"%s",` +
	`"retries":"%rc",` + // with a + if another server was tried
	`"termination":"%ts",` + // see "Session state at disconnection" in HAProxy's manual
	`"connections":%fc,"queued":%bq}`

func (a AccessLog) lines() []edit.Line {
	if a == "" || a == "off" {
		return nil
	}
	target := string(a) + " len 8192"
	if a == "stdout" || a == "stderr" {
		target += " format raw"
	}
	var s lines
	s.add("log " + target + " local0 info")
	s.note("option dontlognull", "nothing about connections without a request")
	s.add("log-format '" + logFormat + "'")
	s.add("http-request set-var(txn.path) path")
	s.add("http-after-response set-var(txn.cid) res.hdr(" + cidHeader + ")")
	return s
}
