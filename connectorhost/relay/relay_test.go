package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two connected sockets, as a host and its child have them.
func pair(t *testing.T) (host, child net.Conn) {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var both []net.Conn
	for _, end := range ends {
		file := os.NewFile(uintptr(end), "pair")
		conn, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		t.Cleanup(func() { conn.Close() })
		both = append(both, conn)
	}
	return both[0], both[1]
}

const generous = 20 * time.Second

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	t.Cleanup(cancel)
	return ctx
}

// echo answers with what came.
func echo(_ context.Context, m Message) Answer {
	return Answer{Status: 200, Details: fmt.Sprintf("%s %s %s %d", m.ID, m.ContentType, m.Properties, len(m.Body))}
}

func TestManyMessagesAtOnceGetTheirOwnAnswers(t *testing.T) {
	host, child := pair(t)
	server := Serve(child, echo, func(err error) { t.Error(err) })
	caller := NewCaller(host)
	ctx := bounded(t)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			m := Message{ID: fmt.Sprint(i), ContentType: "text/plain", Properties: "{}", Body: bytes.Repeat([]byte("x"), i*i*10)}
			a, err := caller.Send(ctx, m)
			if want := fmt.Sprintf("%d text/plain {} %d", i, i*i*10); err != nil || a.Status != 200 || a.Details != want {
				t.Errorf("%+v, %v; want %s", a, err, want)
			}
		})
	}
	all.Wait()
	server.Close(generous)
	if _, err := caller.Send(ctx, Message{}); err == nil {
		t.Error("sent though the other side is gone")
	}
	if _, err := caller.Send(ctx, Message{}); !errors.Is(err, ErrNotHandedOver) {
		t.Error(err)
	}
}

func TestAnAnswerDoesNotWaitForTheOneBefore(t *testing.T) {
	host, child := pair(t)
	free := make(chan struct{})
	server := Serve(child, func(_ context.Context, m Message) Answer {
		if m.ID == "slow" {
			<-free
		}
		return Answer{Status: 200}
	}, func(err error) { t.Error(err) })
	defer server.Close(generous)
	caller := NewCaller(host)
	ctx := bounded(t)
	slow := make(chan error, 1)
	go func() {
		_, err := caller.Send(ctx, Message{ID: "slow"})
		slow <- err
	}()
	if _, err := caller.Send(ctx, Message{ID: "quick"}); err != nil {
		t.Error(err)
	}
	close(free)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

func TestCloseAnswersWhatIsInHand(t *testing.T) {
	host, child := pair(t)
	begun, free := make(chan struct{}), make(chan struct{})
	server := Serve(child, func(context.Context, Message) Answer {
		close(begun)
		<-free
		return Answer{Status: 200}
	}, func(err error) { t.Error(err) })
	caller := NewCaller(host)
	ctx := bounded(t)
	answered := make(chan error, 1)
	go func() {
		_, err := caller.Send(ctx, Message{})
		answered <- err
	}()
	<-begun
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		server.Close(generous)
	}()
	close(free)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	<-closed
}

func TestTheEndOfAMessagesTimeReachesTheOtherSide(t *testing.T) {
	host, child := pair(t)
	over := make(chan struct{})
	server := Serve(child, func(ctx context.Context, _ Message) Answer {
		defer close(over)
		<-ctx.Done()
		return Answer{Status: 504}
	}, func(err error) { t.Error(err) })
	defer server.Close(generous)
	caller := NewCaller(host)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if a, err := caller.Send(short, Message{}); !errors.Is(err, context.DeadlineExceeded) && a.Status != 504 {
		t.Error(a, err)
	}
	<-over
}

func TestWhoLosesTheOtherSideKnowsAtOnce(t *testing.T) {
	host, child := pair(t)
	got := make(chan struct{})
	lost := make(chan error, 1)
	server := Serve(child, func(ctx context.Context, _ Message) Answer {
		close(got)
		<-ctx.Done() // with the connection
		return Answer{}
	}, func(err error) { lost <- err })
	defer server.Close(generous)
	caller := NewCaller(host)
	answered := make(chan error, 1)
	go func() {
		_, err := caller.Send(bounded(t), Message{})
		answered <- err
	}()
	<-got
	host.Close()
	if err := <-lost; !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if err := <-answered; !errors.Is(err, ErrUnanswered) {
		t.Error(err)
	}
	if _, err := caller.Send(bounded(t), Message{}); !errors.Is(err, ErrNotHandedOver) {
		t.Error(err)
	}
}

func TestWhoSpeaksOutOfTurnIsLeft(t *testing.T) {
	host, child := pair(t)
	lost := make(chan error, 1)
	server := Serve(child, echo, func(err error) { lost <- err })
	defer server.Close(generous)
	if _, err := host.Write([]byte(strings.Repeat("GET / ", 10))); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !errors.Is(err, errFrame) {
		t.Error(err)
	}
	host, child = pair(t)
	caller := NewCaller(host)
	answered := make(chan error, 1)
	go func() {
		_, err := caller.Send(bounded(t), Message{})
		answered <- err
	}()
	if _, err := child.Write([]byte(strings.Repeat("GET / ", 10))); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; !errors.Is(err, errFrame) {
		t.Error(err)
	}
}

func BenchmarkRelay(b *testing.B) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	var both []net.Conn
	for _, end := range ends {
		file := os.NewFile(uintptr(end), "pair")
		conn, err := net.FileConn(file)
		if err != nil {
			b.Fatal(err)
		}
		file.Close()
		both = append(both, conn)
	}
	server := Serve(both[1], func(context.Context, Message) Answer { return Answer{Status: 200} }, func(error) {})
	caller := NewCaller(both[0])
	m := Message{ID: "0123456789abcdef", ContentType: "application/json", Body: bytes.Repeat([]byte("x"), 256)}
	b.SetParallelism(10)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := caller.Send(context.Background(), m); err != nil {
				b.Error(err)
			}
		}
	})
	server.Close(time.Second)
}
