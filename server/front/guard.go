package front

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/valyala/fasthttp"

	"zatoha/server/channel"
)

const (
	apiKeyHeader    = "X-API-Key"
	basicChallenge  = `Basic realm="zato", charset="UTF-8"`
	apiKeyChallenge = `ApiKey realm="zato", header="X-API-Key"`
	tokenChallenge  = `Bearer realm="zato"`
)

// Guard lets in who has the right credentials. It holds digests, so that nothing can show the secrets, and so that what
// is compared always has one length.
type Guard struct {
	kind     string
	username [sha256.Size]byte
	secret   [sha256.Size]byte
	caller   string
}

// NewBasicAuth makes a guard that asks for a username and a password.
func NewBasicAuth(username, password string) *Guard {
	return &Guard{
		kind: channel.BasicAuth, username: sha256.Sum256([]byte(username)), secret: sha256.Sum256([]byte(password)), caller: username,
	}
}

// NewAPIKey makes a guard that asks for a key in the header X-API-Key. Who has it is known as the caller.
func NewAPIKey(key, caller string) *Guard {
	return &Guard{kind: channel.APIKey, secret: sha256.Sum256([]byte(key)), caller: caller}
}

// admits says whether the request's credentials are right. How long that takes does not depend on how wrong they are.
func (g *Guard) admits(header *fasthttp.RequestHeader) bool {
	if g.kind == channel.APIKey {
		return same(header.Peek(apiKeyHeader), g.secret)
	}
	scheme, encoded, _ := strings.Cut(string(header.Peek(fasthttp.HeaderAuthorization)), " ")
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	username, password, _ := strings.Cut(string(decoded), ":")
	right := same([]byte(username), g.username)
	right = same([]byte(password), g.secret) && right
	return right && err == nil && strings.EqualFold(scheme, "Basic")
}

// same compares what was given with the digest of what is right.
func same(given []byte, right [sha256.Size]byte) bool {
	digest := sha256.Sum256(given)
	return subtle.ConstantTimeCompare(digest[:], right[:]) == 1
}

func (g *Guard) refuse(ctx *fasthttp.RequestCtx, cid string) {
	challenge, details := basicChallenge, "this channel needs a username and a password that it knows"
	if g.kind == channel.APIKey {
		challenge, details = apiKeyChallenge, "this channel needs a header X-API-Key with a key that it knows"
	}
	ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, challenge)
	fail(ctx, fasthttp.StatusUnauthorized, cid, details)
}

// header is the one in which credentials come, which are nobody else's business.
func (g *Guard) header() string {
	if g.kind == channel.APIKey {
		return apiKeyHeader
	}
	return fasthttp.HeaderAuthorization
}
