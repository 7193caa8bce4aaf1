package proxy

import (
	"io"

	"github.com/valyala/fasthttp"
)

// Collect reads a request body that the server streams into memory, for handlers other than the proxy on the same
// server: as if the server did not stream. A body over the limit is fasthttp.ErrBodyTooLarge, and one that ends with the
// connection, which fasthttp's stream would tell nobody, io.ErrUnexpectedEOF.
func Collect(ctx *fasthttp.RequestCtx, limit int) error {
	request := &ctx.Request
	if !request.IsBodyStream() {
		return nil
	}
	length := request.Header.ContentLength()
	if length > limit {
		return fasthttp.ErrBodyTooLarge
	}
	body := make([]byte, 0, max(length, 512))
	stream := request.BodyStream()
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := stream.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return fasthttp.ErrBodyTooLarge
		case err == io.EOF && length >= 0 && len(body) < length, err == io.EOF && length < 0 && socketOf(ctx.Conn()).ended():
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			request.SetBodyRaw(body)
			return nil
		case err != nil:
			return err
		}
	}
}
