package proxy

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// class is what a header is about, and so who it is for.
type class int

const (
	endToEnd     class = iota // for the other end: passed on
	ofConnection              // Connection itself
	ofUpgrade                 // Upgrade, which is made anew if it is granted
	ofLength                  // Content-Length and Transfer-Encoding: made anew
	ours                      // Host, which is sent first, the CID, and an expectation that was met already
	hopByHop                  // for the next hop only: not passed on
)

const cidName = "X-Zato-CID"

var (
	cidKey = []byte(cidName)
	http11 = []byte("HTTP/1.1")
)

// classify is called for each header of each request, so it looks at the length first.
func classify(name []byte) class {
	switch len(name) {
	case 2:
		return when(fold(name, "te"), hopByHop)
	case 4:
		return when(fold(name, "host"), ours)
	case 6:
		return when(fold(name, "expect"), ours)
	case 7:
		switch {
		case fold(name, "upgrade"):
			return ofUpgrade
		case fold(name, "trailer"):
			return hopByHop
		}
	case 10:
		switch {
		case fold(name, "connection"):
			return ofConnection
		case fold(name, "keep-alive"):
			return hopByHop
		case sameVariable(name, cidName):
			return ours
		}
	case 14:
		return when(fold(name, "content-length"), ofLength)
	case 17:
		if fold(name, "transfer-encoding") {
			return ofLength
		}
	}
	return when(len(name) > 6 && fold(name[:6], "proxy-"), hopByHop)
}

func when(is bool, c class) class {
	if is {
		return c
	}
	return endToEnd
}

// kept are headers that Connection cannot name: they say what the load balancer, a proxy that it trusts, and the server
// found out, and a client that could have them dropped could pass for somebody else.
func kept(name []byte) bool {
	for _, prefix := range []string{"x-forwarded-", "x-zato-"} {
		if len(name) >= len(prefix) && fold(name[:len(prefix)], prefix) {
			return true
		}
	}
	for _, whole := range []string{"forwarded", "x-real-ip", "via", "content-type", "content-encoding", "traceparent", "tracestate"} {
		if fold(name, whole) {
			return true
		}
	}
	return false
}

// fold says whether two names are the same; the second must be of small letters.
func fold(name []byte, small string) bool {
	return len(name) == len(small) && strings.EqualFold(string(name), small)
}

// sameVariable says whether two names become the same variable in applications that are told headers in CGI's way,
// where X_Zato_CID is X-Zato-CID.
func sameVariable(name []byte, of string) bool {
	for i := range name {
		c, want := name[i], of[i]
		if c == '_' {
			c = '-'
		}
		if c|0x20 != want|0x20 {
			return false
		}
	}
	return true
}

func containsFold(names [][]byte, name []byte) bool {
	for _, n := range names {
		if bytes.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// cleanse takes out of a response what concerned our connection to the upstream, and says whether that may be used
// again.
func cleanse(h *fasthttp.ResponseHeader, cid string) (reusable bool) {
	reusable = !h.ConnectionClose()
	h.ResetConnectionClose() // whether the client's connection closes is not the upstream's to say
	for _, value := range h.PeekAll(fasthttp.HeaderConnection) {
		for name := range strings.SplitSeq(string(value), ",") {
			name = strings.TrimSpace(name)
			if name != "" && classify([]byte(name)) == endToEnd && !kept([]byte(name)) {
				h.Del(name)
			}
		}
	}
	var dropped []string
	for name := range h.All() {
		switch classify(name) {
		case endToEnd, ofLength: // the server makes the length anew
		default:
			if !fold(name, "trailer") { // the server announces the trailers that it is going to send
				dropped = append(dropped, string(name))
			}
		}
	}
	for _, name := range dropped {
		h.Del(name)
	}
	h.SetProtocol(http11) // the upstream may speak an older one
	h.SetCanonical(cidKey, []byte(cid))
	return reusable
}
