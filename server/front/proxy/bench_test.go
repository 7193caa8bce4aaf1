package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	slice   = 150 * time.Millisecond // of one contender; all take turns
	clients = 16
)

// BenchmarkProxy lets ways to forward a request take turns in front of the same application, which all run in this
// process but for nginx, and reports the medians of the rounds: the requests in a second through us, and their ratio to
// those through each other one. Run it as: go test -run '^$' -bench Proxy -benchtime 15x
func BenchmarkProxy(b *testing.B) {
	for _, c := range []struct {
		name         string
		size, upload int // of the response and the request
	}{{"GET-100B", 100, 0}, {"GET-10KB", 10 << 10, 0}, {"GET-100KB", 100 << 10, 0}, {"POST-1KB", 100, 1 << 10}, {"POST-100KB", 100, 100 << 10}} {
		b.Run(c.name, func(b *testing.B) {
			upstream := serve(b, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(make([]byte, c.size)) }})
			request := "GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
			if c.upload > 0 {
				request = fmt.Sprintf("POST / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nContent-Length: %d\r\n\r\n%s", c.upload, make([]byte, c.upload))
			}
			contenders := []contender{
				{name: "us", address: start(b, "http://"+upstream, nil).address},
				{name: "fasthttp", address: sample(b, upstream)},
				{name: "nethttp", address: reverseProxy(b, upstream)},
			}
			if address := nginx(b, upstream); address != "" {
				contenders = append(contenders, contender{name: "nginx", address: address})
			}
			for i := range contenders { // connections are opened, and buffers made
				contenders[i].run(b, request)
			}
			for round := 0; b.Loop(); round++ {
				for i := range contenders {
					c := &contenders[(i+round)%len(contenders)]
					c.rates = append(c.rates, c.run(b, request))
				}
			}
			us := contenders[0].rates
			b.ReportMetric(median(us), "req/s")
			for _, other := range contenders[1:] {
				var ratios []float64
				for i := range us {
					ratios = append(ratios, us[i]/other.rates[i])
				}
				b.ReportMetric(median(ratios), "x-"+other.name)
				b.Logf("us / %s: n %d, median %.2f, worst %.2f, best %.2f", other.name, len(ratios), median(ratios), slices.Min(ratios), slices.Max(ratios))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

type contender struct {
	name, address string
	rates         []float64
}

// run is how many requests in a second clients get answered on kept connections.
func (c *contender) run(b *testing.B, request string) float64 {
	var answered atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range clients {
		all.Go(func() {
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 64<<10)
			var response fasthttp.Response
			for time.Since(began) < slice {
				if _, err = io.WriteString(conn, request); err == nil {
					err = response.Read(in)
				}
				if err != nil || response.StatusCode() != 200 {
					b.Errorf("%s: status %d, %v", c.name, response.StatusCode(), err)
					return
				}
				answered.Add(1)
			}
		})
	}
	all.Wait()
	return float64(answered.Load()) / time.Since(began).Seconds()
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func serve(b *testing.B, server *fasthttp.Server) (address string) {
	b.Helper()
	listener := listen(b)
	server.Logger, server.IdleTimeout = quiet{}, 30*time.Second
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	b.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			b.Error(err)
		}
		<-served
	})
	return listener.Addr().String()
}

// sample forwards as fasthttp's documentation shows: everything in memory, and the request and response passed on after
// removing Connection.
func sample(b *testing.B, upstream string) (address string) {
	client := &fasthttp.HostClient{Addr: upstream, MaxConns: 4096, MaxIdleConnDuration: time.Second}
	b.Cleanup(client.CloseIdleConnections)
	return serve(b, &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Request.Header.Del("Connection")
		if err := client.Do(&ctx.Request, &ctx.Response); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadGateway)
		}
		ctx.Response.Header.Del("Connection")
	}})
}

// reverseProxy is what net/http offers.
func reverseProxy(b *testing.B, upstream string) (address string) {
	transport := &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream})
	proxy.Transport, proxy.ErrorLog = transport, log.New(io.Discard, "", 0)
	listener := listen(b)
	server := &http.Server{Handler: proxy, ErrorLog: proxy.ErrorLog}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	b.Cleanup(func() {
		_ = server.Close()
		<-served
		transport.CloseIdleConnections()
	})
	return listener.Addr().String()
}

const nginxConfig = `
daemon off; master_process off; worker_processes 1; pid FOLDER/pid; error_log FOLDER/error.log;
events { worker_connections 1024; }
http {
	access_log off; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
	fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s; keepalive_requests 100000000;
	upstream app { server UPSTREAM; keepalive 64; keepalive_requests 100000000; }
	server { listen ADDRESS; client_max_body_size 0;
		location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } }
}`

// nginx returns "" if there is none, and says so.
func nginx(b *testing.B, upstream string) (address string) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		if os.Getenv("ZATOHA_REQUIRE_TOOLS") != "" {
			b.Fatalf("there is no nginx to compare with: %v: apt-get install nginx-light", err)
		}
		b.Logf("SKIPPED: no comparison with nginx: %v: apt-get install nginx-light", err)
		return ""
	}
	listener := listen(b)
	address = listener.Addr().String()
	_ = listener.Close()
	folder := b.TempDir()
	text := strings.NewReplacer("FOLDER", folder, "UPSTREAM", upstream, "ADDRESS", address).Replace(nginxConfig)
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program, "-p", folder, "-c", filepath.Join(folder, "nginx.conf"))
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		_ = command.Wait()
	})
	eventually(b, "nginx listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return address
}
