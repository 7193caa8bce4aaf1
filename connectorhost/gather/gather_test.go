package gather

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const generous = 20 * time.Second

// counted counts its writes.
type counted struct {
	net.Conn
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// connected are two ends of a TCP connection.
func connected(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if ours, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

func TestAllThatIsWrittenComesWholeAndInOrder(t *testing.T) {
	const writers, each = 20, 500
	ours, theirs := connected(t)
	c := Wrap(ours, New(ours, generous), func(err error) { t.Error(err) })
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for n := range each {
				piece := binary.BigEndian.AppendUint16([]byte{byte(i)}, uint16(n))
				if _, err := c.Write(piece); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := make([]int, writers)
	for range writers * each {
		var piece [3]byte
		if _, err := io.ReadFull(theirs, piece[:]); err != nil {
			t.Fatal(err)
		}
		if i, n := piece[0], int(binary.BigEndian.Uint16(piece[1:])); next[i] != n {
			t.Fatalf("writer %d: %d came instead of %d", i, n, next[i])
		}
		next[piece[0]]++
	}
	all.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatWaitsTogetherIsWrittenInOneGo(t *testing.T) {
	ours, theirs := connected(t)
	count := &counted{Conn: ours}
	w := New(count, generous)
	for range 100 {
		w.Put(func(to []byte) []byte { return append(to, 'x') })
	}
	ended := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- w.Run(ended) }()
	<-w.Written()
	close(ended)
	if err := <-done; err != nil || count.writes != 1 {
		t.Errorf("%v, and %d writes", err, count.writes)
	}
	if got, err := io.ReadAll(io.LimitReader(theirs, 100)); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("x"), 100)) {
		t.Errorf("%q, %v", got, err)
	}
	if _, ok := w.Put(func(to []byte) []byte { return to }); ok {
		t.Error("something was put that nobody writes")
	}
}

func TestTheLastWordsAreWrittenBeforeTheEnd(t *testing.T) {
	ours, theirs := connected(t)
	c := Wrap(ours, New(ours, generous), func(err error) { t.Error(err) })
	if _, err := c.Write([]byte("goodbye")); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(theirs); err != nil || string(got) != "goodbye" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("written to what is closed")
	}
}

func TestWhoReadsNothingIsGivenUp(t *testing.T) {
	ours, _ := connected(t)
	failed := make(chan error, 1)
	c := Wrap(ours, New(ours, 50*time.Millisecond), func(err error) { failed <- err })
	large := make([]byte, 4*mostWaiting)
	for {
		if _, err := c.Write(large); err != nil { // it returns, though nobody reads
			break
		}
	}
	if err := <-failed; !errors.Is(err, ErrUnread) {
		t.Error(err)
	}
}
