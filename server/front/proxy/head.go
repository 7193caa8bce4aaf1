package proxy

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// How long a request's body is, where it is not a number of bytes.
const (
	chunked = -1
	none    = -2
)

// What makes a request's head unfit to be passed on.
var (
	errName    = errors.New("a header's name is not a token")
	errValue   = errors.New("a header's value has control characters")
	errFold    = errors.New("a header is folded over several lines")
	errTwoSize = errors.New("there are several Content-Length or Transfer-Encoding headers")
	errTarget  = errors.New("the target is neither a path nor a URL")
	errDots    = errors.New("the path has a segment of dots")
)

// head is what of a request goes to the upstream before its body. It is made anew, not copied: whatever concerns the
// connection to the client ends here, and where the body ends is said by us.
type head struct {
	method, target []byte // as the client sent them
	host           []byte // as the client sent it; empty if it sent none
	raw            []byte // the client's header lines
	length         int    // of the body: bytes, chunked or none

	cid    string
	prefix string // of the path at the upstream, without a slash at its end

	upgrade []byte // found by append: the protocol that the client would like to change to
}

// append adds the head to dst.
func (h *head) append(dst []byte) ([]byte, error) {
	begin := len(dst)
	dst, err := h.appendRequestLine(dst)
	if err != nil {
		return dst[:begin], err
	}
	lines := len(dst)
	dst, named, err := h.appendLines(dst, nil)
	if err == nil && len(named) > 0 {
		dst, _, err = h.appendLines(dst[:lines], named)
	}
	if err != nil {
		return dst[:begin], err
	}
	dst = append(dst, cidName+": "...)
	dst = append(append(dst, h.cid...), "\r\n"...)
	switch {
	case h.length == chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case h.length >= 0:
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), int64(h.length), 10), "\r\n"...)
	}
	if h.upgrade != nil {
		dst = append(append(append(dst, "Connection: Upgrade\r\nUpgrade: "...), h.upgrade...), "\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

func (h *head) appendRequestLine(dst []byte) ([]byte, error) {
	target, host := h.target, h.host
	if len(target) == 0 {
		return dst, errTarget
	}
	if target[0] != '/' && !(len(target) == 1 && target[0] == '*') {
		authority, path, err := splitURL(target)
		if err != nil {
			return dst, err
		}
		target, host = path, authority // the URL wins over the header: RFC 9112, 3.2.2
	}
	if bytes.IndexByte(target, '#') >= 0 {
		return dst, errTarget
	}
	if dotted(target) {
		return dst, errDots
	}
	dst = append(append(dst, h.method...), ' ')
	if target[0] == '/' {
		dst = append(dst, h.prefix...)
	}
	dst = append(append(dst, target...), " HTTP/1.1\r\nHost: "...)
	return append(append(dst, host...), "\r\n"...), nil
}

var decodeDots = strings.NewReplacer("%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/")

// dotted says whether a segment of the target's path is "." or "..", encoded or not. The server has resolved it before it
// asked for credentials; who does not resolve it, or only in part, would answer for another path.
func dotted(target []byte) bool {
	path, _, _ := bytes.Cut(target, []byte("?"))
	if !bytes.Contains(path, []byte("/.")) && bytes.IndexByte(path, '%') < 0 {
		return false
	}
	for segment := range strings.SplitSeq(decodeDots.Replace(string(path)), "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// splitURL takes http://authority/path apart.
func splitURL(url []byte) (authority, path []byte, err error) {
	_, rest, ok := bytes.Cut(url, []byte("://"))
	if !ok {
		return nil, nil, errTarget
	}
	end := bytes.IndexAny(rest, "/?")
	switch {
	case end < 0:
		authority, path = rest, []byte("/")
	case rest[end] == '?':
		authority, path = rest[:end], append([]byte("/"), rest[end:]...)
	default:
		authority, path = rest[:end], rest[end:]
	}
	if len(authority) == 0 || bytes.IndexByte(authority, '@') >= 0 {
		return nil, nil, errTarget
	}
	return authority, path, nil
}

// appendLines adds the client's headers but for those of the connection, the length, the host and the CID, and those
// in drop. It returns the names that Connection has besides the usual, which must be dropped too.
func (h *head) appendLines(dst []byte, drop [][]byte) (_ []byte, named [][]byte, err error) {
	sizes, upgrades := 0, false
	var upgrade []byte
	for rest := h.raw; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		name, value, err := splitLine(line)
		if err != nil {
			return dst, nil, err
		}
		switch classify(name) {
		case ofLength:
			sizes++
		case ofConnection:
			for token := range bytes.SplitSeq(value, []byte(",")) {
				switch token = bytes.TrimSpace(token); {
				case fold(token, "upgrade"):
					upgrades = true
				case len(token) > 0 && classify(token) == endToEnd && !kept(token):
					named = append(named, token)
				}
			}
		case ofUpgrade:
			upgrade = value
		case endToEnd:
			if !containsFold(drop, name) {
				dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
			}
		}
	}
	if sizes > 1 {
		return dst, nil, errTwoSize
	}
	h.upgrade = nil
	if upgrades && (h.length == none || h.length == 0) && tunnelled(upgrade) {
		h.upgrade = upgrade
	}
	return dst, named, nil
}

// tunnelled says whether we offer the upstream to change to this protocol. Not to HTTP/2: its requests would reach the
// upstream past the load balancer's and the server's eyes.
func tunnelled(protocol []byte) bool {
	return len(protocol) > 0 && !(len(protocol) >= 2 && fold(protocol[:2], "h2"))
}

func cutLine(text []byte) (line, rest []byte) {
	end := bytes.IndexByte(text, '\n')
	if end < 0 {
		return text, nil
	}
	line, rest = text[:end], text[end+1:]
	if end > 0 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	return line, rest
}

func splitLine(line []byte) (name, value []byte, err error) {
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, errFold
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil, nil, errName
	}
	name, value = line[:colon], bytes.Trim(line[colon+1:], " \t")
	for _, c := range name {
		if !tokenByte[c] {
			return nil, nil, errName
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, nil, errValue
		}
	}
	return name, value, nil
}

// tokenByte are the bytes of a header's name: RFC 9110, 5.6.2.
var tokenByte = func() (is [256]bool) {
	for c := range is {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' && c < 128
		is[c] = letter || c >= '0' && c <= '9' || c < 128 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return is
}()
