package front

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"zatoha/server/service"
)

type order struct {
	Customer string   `json:"customer" required:"true"`
	Amount   int      `json:"amount"`
	Lines    []string `json:"lines"`
}

type receipt struct {
	ID       int    `json:"id"`
	Customer string `json:"customer"`
	Lines    int    `json:"lines"`
}

const orderBody = `{"customer": "Ada Lovelace", "amount": 42, "lines": ["engine", "wheels", "paper"]}`

func orderRoute() *Route {
	return &Route{Timeout: time.Minute, JSON: true, Name: "orders.create", Service: service.JSON(func(_ *service.Context, in order) (receipt, error) {
		return receipt{7, in.Customer, len(in.Lines)}, nil
	})}
}

// bare serves with nothing but fasthttp what the function writes, under our limits or under none.
func bare(t testing.TB, limited bool, handler fasthttp.RequestHandler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true, ReadBufferSize: 16 << 10}
	if limits := DefaultLimits(); limited {
		server.ReadTimeout, server.WriteTimeout, server.IdleTimeout = limits.ReadTimeout, limits.WriteTimeout, limits.IdleTimeout
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-served
	})
	return listener.Addr().String()
}

// rate sends a request over and over on several connections for a while, and returns the answers per second, and how much
// of the processors' time each took, client and server together.
func rate(t testing.TB, address, request string, d time.Duration) (perSecond, processor float64) {
	t.Helper()
	var clients sync.WaitGroup
	total := make([]int, 8)
	start, used := time.Now(), processorTime(t)
	for i := range total {
		clients.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			var response fasthttp.Response
			for time.Since(start) < d {
				if _, err := io.WriteString(c, request); err != nil {
					t.Error(err)
					return
				}
				if err := response.Read(in); err != nil || response.StatusCode() != 200 {
					t.Errorf("%d %s %v", response.StatusCode(), response.Body(), err)
					return
				}
				total[i]++
			}
		})
	}
	clients.Wait()
	sum := 0
	for _, n := range total {
		sum += n
	}
	return float64(sum) / time.Since(start).Seconds(), (processorTime(t) - used).Seconds() / float64(sum)
}

func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// compare measures ours against theirs in turn, a pair at a time, and reports the median of the pairs' ratios: of answers
// per second, and of processor time for an answer, which says the same where nothing else has the processors, and
// something even where others do.
func compare(b *testing.B, ours, theirs, request string) {
	b.Helper()
	const window = 200 * time.Millisecond
	rate(b, ours, request, window)
	rate(b, theirs, request, window)
	var rates, processor, own, other []float64
	for b.Loop() {
		ourRate, ourTime := rate(b, ours, request, window)
		theirRate, theirTime := rate(b, theirs, request, window)
		rates, processor = append(rates, ourRate/theirRate), append(processor, theirTime/ourTime)
		own, other = append(own, ourRate), append(other, theirRate)
	}
	for _, all := range [][]float64{rates, processor, own, other} {
		slices.Sort(all)
	}
	b.ReportMetric(rates[len(rates)/2], "ratio")
	b.ReportMetric(processor[len(processor)/2], "processor-ratio")
	b.ReportMetric(own[len(own)/2], "ours/s")
	b.ReportMetric(other[len(other)/2], "bare/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPingAgainstBare is the whole of a ping against a handler that writes the same headers and body, in turn. Run
// it with -benchtime 20x on a quiet machine.
func BenchmarkPingAgainstBare(b *testing.B) {
	against(b, get("/zato/ping"), func(b *testing.B) string { return start(b, DefaultLimits(), nil).address }, func(ctx *fasthttp.RequestCtx) {
		cid := service.NewCID()
		ctx.Response.Header.SetCanonical(cidHeader, []byte(cid))
		ctx.Response.Header.SetContentType(contentType)
		ctx.Response.SetBodyString(`{"zato_env": {"details": "", "result": "ZATO_OK", "cid": "` + cid + `"}, "zato_ping_response": {"pong": "zato"}}`)
	})
}

// BenchmarkChannelAgainstBare is a routed JSON service against a handler that does the same JSON.
func BenchmarkChannelAgainstBare(b *testing.B) {
	request := ask("POST", "/orders/7", orderBody, "Content-Type: application/json", "User-Agent: bench", "Accept: */*", "X-Forwarded-For: 10.0.0.1")
	ours := func(b *testing.B) string {
		r, _ := live(b, DefaultLimits(), map[string]*Route{"POST /orders/{id}": orderRoute()})
		return r.address
	}
	against(b, request, ours, func(ctx *fasthttp.RequestCtx) {
		var in order
		if err := json.Unmarshal(ctx.PostBody(), &in); err != nil {
			ctx.SetStatusCode(400)
			return
		}
		out, err := json.Marshal(receipt{7, in.Customer, len(in.Lines)})
		if err != nil {
			ctx.SetStatusCode(500)
			return
		}
		ctx.Response.Header.SetCanonical(cidHeader, []byte(service.NewCID()))
		ctx.Response.Header.SetContentType(contentType)
		ctx.Response.SetBodyRaw(out)
	})
}

// against compares with a bare handler whose server has our time-outs, and with one that has none.
func against(b *testing.B, request string, ours func(*testing.B) string, handler fasthttp.RequestHandler) {
	for name, limited := range map[string]bool{"same-timeouts": true, "no-timeouts": false} {
		b.Run(name, func(b *testing.B) { compare(b, ours(b), bare(b, limited, handler), request) })
	}
}

func channelOnce(t testing.TB, f *Front) func() {
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.SetRequestURI("/orders/7")
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.Header.SetHost("x")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.SetBodyString(orderBody)
	return func() {
		ctx.Response.Reset()
		f.handle(ctx)
		if ctx.Response.StatusCode() != 200 {
			t.Fatal(fmt.Sprint(ctx.Response.StatusCode(), string(ctx.Response.Body())))
		}
	}
}

func channelFront(t testing.TB) *Front {
	router := &Live{}
	router.Swap(table(t, map[string]*Route{"POST /orders/{id}": orderRoute()}))
	f := New(router, DefaultLimits(), prometheus.NewRegistry(), zerolog.Nop())
	t.Cleanup(func() {
		if err := f.Shutdown(time.Second); err != nil {
			t.Error(err)
		}
	})
	return f
}

// 9 of them are encoding/json's; the rest is the copy of the request, the call and the answer: 22
// together, and some more with the race detector, which empties pools at random.
func TestAChannelAllocatesLittle(t *testing.T) {
	if got := testing.AllocsPerRun(1000, channelOnce(t, channelFront(t))); got > 28 {
		t.Errorf("%v allocations per request, want at most 28", got)
	} else {
		t.Logf("%v allocations per request", got)
	}
}

func BenchmarkChannel(b *testing.B) {
	once := channelOnce(b, channelFront(b))
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}
