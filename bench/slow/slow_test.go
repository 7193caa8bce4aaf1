package slow

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server of one connection at a time each, until the test ends.
func serve(t *testing.T, each func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { listener.Close() })
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				each(conn)
			})
		}
	})
	return listener.Addr().String()
}

// begin starts an attack that ends with the test, and waits until all are connected.
func begin(t *testing.T, options Options) *Attack {
	t.Helper()
	attack, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { attack.Stop() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := attack.Await(ctx); err != nil {
		t.Fatal(err)
	}
	return attack
}

// TestPiecesCome reads what the clients of a kind send until some pieces have come.
func TestPiecesCome(t *testing.T) {
	for _, kind := range []Kind{Headers, Bodies} {
		t.Run(kind.String(), func(t *testing.T) {
			came := make(chan string, 3)
			address := serve(t, func(conn net.Conn) {
				text := make([]byte, len(kind.first)+2*len(kind.piece))
				if _, err := io.ReadFull(conn, text); err == nil {
					came <- string(text)
				}
				_, _ = io.Copy(io.Discard, conn) // until the client closes
			})
			attack := begin(t, Options{Addr: address, Kind: kind, Connections: 3, Every: time.Millisecond})
			for range 3 {
				if got := <-came; got != kind.first+kind.piece+kind.piece {
					t.Errorf("%q", got)
				}
			}
			if counts := attack.Stop(); counts != (Counts{Opened: 3, Open: 3}) {
				t.Errorf("%+v", counts)
			}
			if counts := attack.Counts(); counts.Open != 0 {
				t.Errorf("after its end: %+v", counts)
			}
		})
	}
}

// TestTheRequestsAreWhole but for what is held back.
func TestTheRequestsAreWhole(t *testing.T) {
	for kind, rest := range map[*Kind]string{&Headers: "X-Slow: s\r\n\r\n", &Bodies: strings.Repeat("x", 8192), &Readers: ""} {
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(kind.first + rest)))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if _, err := io.ReadAll(request.Body); err != nil || request.URL.Path != path || request.Host != "slow" {
			t.Errorf("%s: %+v, %v", kind, request, err)
		}
	}
}

func TestWhoIsThrownOutComesAgain(t *testing.T) {
	thrown := make(chan struct{}, 4)
	address := serve(t, func(conn net.Conn) {
		select {
		case thrown <- struct{}{}: // the first four
			_, _ = io.WriteString(conn, "HTTP/1.0 408 Request Time-out\r\n\r\n")
		default:
			_, _ = io.Copy(io.Discard, conn)
		}
	})
	attack := begin(t, Options{Addr: address, Kind: Headers, Connections: 3, Every: time.Minute})
	if counts := attack.Stop(); counts.Closed != 4 || counts.Opened != 7 {
		t.Errorf("%+v", counts)
	}
}

func TestReadersTakeTheirTime(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	asked := make(chan struct{}, 7)
	address := serve(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			request, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
			_ = request.Body.Close()
			select {
			case asked <- struct{}{}:
			default: // nobody counts any more
			}
		}
	})
	begin(t, Options{Addr: address, Kind: Readers, Connections: 1, Every: 5 * time.Millisecond})
	for range 7 { // three at once, three when those are read, and so on
		<-asked
	}
}

func TestBadOptions(t *testing.T) {
	for want, options := range map[string]Options{
		"Connections": {Addr: "127.0.0.1:1", Kind: Headers},
		"Kind":        {Addr: "127.0.0.1:1", Connections: 1},
		"Addr":        {Addr: "127.0.0.1", Kind: Headers, Connections: 1},
	} {
		if _, err := Start(t.Context(), options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	attack, err := Start(t.Context(), Options{Addr: "127.0.0.1:1", Kind: Headers, Connections: 1, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer attack.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := attack.Await(ctx); err == nil || attack.Counts().Refused == 0 {
		t.Errorf("%v, %+v", err, attack.Counts())
	}
}
