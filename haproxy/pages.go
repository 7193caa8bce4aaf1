package haproxy

import (
	"fmt"
	"strings"
	"time"

	"zatoha/haproxy/edit"
)

// pages are the errors that HAProxy answers itself, in the form that servers give theirs. The 400, 408 and 501 of
// bytes that are no HTTP request at all are not among them: HAProxy 2.6 has its own fixed pages for those.
var pages = []struct {
	status  int
	details string // no quotes, no backslashes, no percent signs
	retry   time.Duration
}{
	{400, "the request is malformed", 0},
	{403, "the request is not allowed", 0},
	{404, "nothing is at this path", 0},
	{408, "the request did not arrive in time", 0},
	{413, "the request is too large", 0},
	{429, "too many requests from this address", 0}, // its time depends on the options
	{500, "the load balancer failed", 0},
	{501, "the request asks for something that is not supported", 0},
	{502, "the server did not give a valid answer", 0},
	{503, "no server can take the request now", time.Second},
	{504, "the server did not answer in time", 0},
}

// errorPages are the lines that make those pages, and the correlation IDs in them.
func (o Options) errorPages() []edit.Line {
	var s lines
	s.note("unique-id-format "+cidFormat(), "the CID of what a server did not answer: K and 39 digits")
	for _, page := range pages {
		if page.status == 429 {
			page.retry = o.RateLimit.Period
		}
		text := fmt.Sprintf("http-error status %d content-type application/json hdr %s %%[unique-id]", page.status, cidHeader)
		if page.retry > 0 {
			text += fmt.Sprintf(" hdr Retry-After %d", int(page.retry.Seconds()))
		}
		s.add(text + fmt.Sprintf(` lf-string '{"zato_env": {"result": "ZATO_ERROR", "cid": "%%[unique-id]", "details": "%s"}}'`, page.details))
	}
	return s
}

const cidHeader = "X-Zato-CID"

// cidFormat makes a CID: K and 39 decimal digits, of a number below 2^128. HAProxy has random numbers of 32 bits and
// no padding, so the digits come in groups: a number from 0 to 339, below which 2^128 begins, and four of nine digits,
// each with a 1 put before it and taken away again. That makes 340 * 10^36 CIDs, or 127.99 bits. They come from HAProxy's
// xoroshiro128**, which is good enough to tell requests apart and no secret.
func cidFormat() string {
	nine := "%[rand(1000000000),add(1000000000),lower,bytes(1,9)]"
	return "K%[rand(340),add(1000),lower,bytes(1,3)]" + strings.Repeat(nine, 4)
}
