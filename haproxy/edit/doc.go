// Package edit puts our sections into the text of a haproxy.cfg and leaves every byte that is not ours as it was. It
// is pure: text in, text out.
//
// Operators own the file. We own the lines that end with [Mark], in the sections whose header ends with it:
//
//	backend bck_http_plain from zatoha # zatoha
//	    balance roundrobin # zatoha
//	    # keep an eye on this one, it has little memory
//	    server slot-001 127.0.0.1:17010 weight 1 # zatoha zato-server-1
//	    http-response set-header X-Via lb-1
//
// Here the comment and the http-response line are the operator's, and "zato-server-1" is the note of the server line.
// When the instance behind slot-001 moves, the caller wants the section again with another address in that [Line], and
// [Apply] changes that one line, in place. When the pool grows, the new server lines go right behind the last line of
// ours that they follow, so above the operator's http-response. When the section is no longer wanted, Apply refuses
// with a [HeldError], because the operator's http-response would be lost with it.
//
// # What is ours
//
// The mark counts only where HAProxy itself sees a comment behind a directive: not inside quotes, not escaped, not
// in the middle of another comment, and not alone on a line. A marked line in a section without a marked header is the
// operator's. So is everything else outside our sections, whatever it is: line endings, tabs, bytes that are no UTF-8.
//
// # Where a new section goes
//
// A section that the file does not have yet goes to the end, in the order given, a blank line above it. That holds for
// "global" too: HAProxy merges all global sections, ours is told apart by the mark alone, and the end of the file is
// the one place where nothing of the operator's is split and no comment, ".if" block or unnamed "defaults" changes its
// meaning. The few global settings that HAProxy wants before the first proxy are the operator's to give; or the
// operator moves our section up, for Apply leaves a section where it stands.
//
// What the operator adds below our sections without a "from" takes our "defaults zatoha", as HAProxy's rules are (it
// says so in an alert); it belongs above them, or wants a "from".
//
// Taking a section away takes the blank line above it along, so that Apply(Apply(text, sections), nil) gives text back,
// but for the line ending that a last line without one was given.
//
// All functions may be called concurrently.
package edit
