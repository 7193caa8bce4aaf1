package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"zatoha/connectorhost/gather"
)

// readTime is how long the other side may take to read; then it is taken for dead.
const readTime = 10 * time.Second

// ErrNotHandedOver says that the other side never got the message.
var ErrNotHandedOver = errors.New("the message was not handed over")

// ErrUnanswered says that the other side has got the message, and may have sent it.
var ErrUnanswered = errors.New("the connection ended before the answer")

// Caller is the host's side of a connection. It is safe for concurrent use.
type Caller struct {
	connection net.Conn
	writer     *gather.Writer
	begin      sync.Once     // reading and writing, by the first message: many connections never carry one
	lost       chan struct{} // closed when the connection is of no use any more

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan<- Answer
	why     error // set before lost is closed
}

// NewCaller makes a caller of a connection, which it reads from then on. It ends with the connection, which somebody else
// closes.
func NewCaller(connection net.Conn) *Caller {
	return &Caller{connection: connection, writer: gather.New(connection, readTime), lost: make(chan struct{}), waiting: map[uint64]chan<- Answer{}}
}

// Send hands a message over and returns what became of it. Its deadline is that of ctx. An error is an
// [ErrNotHandedOver], an [ErrUnanswered], or that of ctx: then, too, the message may have been sent.
func (c *Caller) Send(ctx context.Context, m Message) (Answer, error) {
	c.begin.Do(func() {
		go c.read()
		go func() { c.fail(c.writer.Run(c.lost)) }()
	})
	if deadline, ok := ctx.Deadline(); ok {
		m.Within = time.Until(deadline)
	}
	answers := make(chan Answer, 1)
	number, err := c.expect(answers)
	if err != nil {
		return Answer{}, err
	}
	if _, ok := c.writer.Put(func(to []byte) []byte { return appendMessage(to, number, m) }); !ok {
		c.forget(number)
		return Answer{}, fmt.Errorf("%w: %w", ErrNotHandedOver, c.reason())
	}
	select {
	case a := <-answers:
		return a, nil
	case <-c.lost:
		select {
		case a := <-answers: // it came before
			return a, nil
		default:
		}
		return Answer{}, fmt.Errorf("%w: %w", ErrUnanswered, c.reason())
	case <-ctx.Done():
		c.forget(number)
		return Answer{}, ctx.Err()
	}
}

// expect gives a message its number.
func (c *Caller) expect(answers chan<- Answer) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotHandedOver, c.why)
	}
	c.last++
	c.waiting[c.last] = answers
	return c.last, nil
}

// forget returns whoever waits for an answer, if anybody does, and has nobody wait for it any more.
func (c *Caller) forget(number uint64) chan<- Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	answers := c.waiting[number]
	delete(c.waiting, number)
	return answers
}

func (c *Caller) read() {
	from := bufio.NewReaderSize(c.connection, believed)
	for {
		number, content, err := readFrame(from, answerFrame, longestAnswer)
		if err != nil {
			c.fail(err)
			return
		}
		answer, err := parseAnswer(content)
		if err != nil {
			c.fail(err)
			return
		}
		if answers := c.forget(number); answers != nil {
			answers <- answer
		}
	}
}

// fail says that the connection is of no use any more, and closes it, so that the other side knows too. Only the first
// reason counts.
func (c *Caller) fail(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil && why != nil {
		c.why, c.waiting = why, nil
		close(c.lost)
		_ = c.connection.Close()
	}
}

func (c *Caller) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil { // the writer has failed, and says why in an instant
		return net.ErrClosed
	}
	return c.why
}
