package front

import (
	"bufio"
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"zatoha/server/service"
)

func pingFront(t testing.TB) *Front {
	t.Helper()
	var table Table
	ping, _ := service.NewRegistry().Lookup("zato.ping")
	if err := table.Add("/zato/ping", ping, "GET"); err != nil {
		t.Fatal(err)
	}
	return New(&table, DefaultLimits(), prometheus.NewRegistry(), zerolog.Nop())
}

func pingOnce(f *Front) func() {
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.SetRequestURI("/zato/ping")
	ctx.Request.Header.SetHost("x")
	return func() {
		ctx.Response.Reset()
		f.handle(ctx)
	}
}

// The answer to a ping is three strings: its CID, its path and its body.
func TestPingAllocatesLittle(t *testing.T) {
	if got := testing.AllocsPerRun(1000, pingOnce(pingFront(t))); got > 3 {
		t.Errorf("%v allocations per ping, want at most 3", got)
	}
}

// BenchmarkPing is the work between fasthttp having read a request and writing its response.
func BenchmarkPing(b *testing.B) {
	ping := pingOnce(pingFront(b))
	b.ReportAllocs()
	for b.Loop() {
		ping()
	}
}

// BenchmarkPingOverLoopback is a whole exchange on a kept connection, one at a time; the client's allocations count too.
func BenchmarkPingOverLoopback(b *testing.B) {
	r := start(b, DefaultLimits(), nil)
	c := r.dial(b)
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	in := bufio.NewReader(c)
	var response fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		if err := response.Read(in); err != nil {
			b.Fatal(err)
		}
	}
}
