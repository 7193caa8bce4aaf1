package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Message is one that is to be sent to a broker.
type Message struct {
	ID          string
	ContentType string
	Properties  string        // as the host was given them
	Within      time.Duration // the time that is left for the broker's confirmation
	Body        []byte
}

// Answer is what became of a message, in the words of HTTP.
type Answer struct {
	Status  int
	NotSent bool   // the broker surely does not have it
	Details string // why it was not sent
}

// A frame is four bytes with the length of the rest; a byte that says what it is; the message's number, of eight bytes;
// and the content. Numbers are big-endian, and each text but the last has its length before it.
const (
	messageFrame = 1
	answerFrame  = 2

	lengthSize = 4
	headSize   = 1 + 8

	longestMessage = 1<<30 + 1<<20 // bytes: the largest body that a host can be set to let in, and what belongs to it
	longestAnswer  = 64 << 10
	longestDetails = 32 << 10

	believed = 64 << 10 // bytes that a claimed length is believed before they come
)

var errFrame = errors.New("not a frame of a connector host")

// begin appends the head of a frame; finish sets its length.
func begin(to []byte, kind byte, number uint64) []byte {
	to = append(to, 0, 0, 0, 0, kind)
	return binary.BigEndian.AppendUint64(to, number)
}

func finish(frame []byte, at int) []byte {
	binary.BigEndian.PutUint32(frame[at:], uint32(len(frame)-at-lengthSize))
	return frame
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// appendMessage appends a message's frame.
func appendMessage(to []byte, number uint64, m Message) []byte {
	at := len(to)
	to = begin(to, messageFrame, number)
	to = binary.BigEndian.AppendUint64(to, uint64(max(m.Within, 0)))
	for _, text := range []string{m.ID, m.ContentType, m.Properties} {
		to = appendText(to, text)
	}
	return finish(append(to, m.Body...), at)
}

// appendAnswer appends an answer's frame. Details that are too long are cut.
func appendAnswer(to []byte, number uint64, a Answer) []byte {
	at := len(to)
	to = begin(to, answerFrame, number)
	to = binary.BigEndian.AppendUint16(to, uint16(a.Status))
	notSent := byte(0)
	if a.NotSent {
		notSent = 1
	}
	to = append(to, notSent)
	return finish(append(to, a.Details[:min(len(a.Details), longestDetails)]...), at)
}

// readFrame reads a frame of a kind, and returns its number and content, which is the caller's. io.EOF is the end between
// two frames.
func readFrame(from *bufio.Reader, kind byte, longest int) (number uint64, content []byte, err error) {
	var head [lengthSize + headSize]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - headSize
	if size < 0 || size > int64(longest) || head[lengthSize] != kind {
		return 0, nil, fmt.Errorf("%w: it claims %d bytes, of the kind %d", errFrame, size, head[lengthSize])
	}
	number = binary.BigEndian.Uint64(head[lengthSize+1:])
	if size <= believed {
		content = make([]byte, size)
		_, err = io.ReadFull(from, content)
	} else {
		var growing bytes.Buffer
		_, err = io.CopyN(&growing, from, size)
		content = growing.Bytes()
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return number, content, err
}

// parseMessage reads the content of a message's frame. The body is a part of it.
func parseMessage(content []byte) (m Message, err error) {
	if len(content) < 8 {
		return m, fmt.Errorf("%w: a message without a time", errFrame)
	}
	within := binary.BigEndian.Uint64(content)
	if m.Within = time.Duration(within); m.Within < 0 {
		return m, fmt.Errorf("%w: a message with the time %d", errFrame, within)
	}
	content = content[8:]
	for _, text := range []*string{&m.ID, &m.ContentType, &m.Properties} {
		size, n := binary.Uvarint(content)
		if n <= 0 || size > uint64(len(content)-n) {
			return m, fmt.Errorf("%w: a text that is longer than its message", errFrame)
		}
		*text, content = string(content[n:n+int(size)]), content[n+int(size):]
	}
	m.Body = content
	return m, nil
}

// parseAnswer reads the content of an answer's frame.
func parseAnswer(content []byte) (a Answer, err error) {
	if len(content) < 3 || content[2] > 1 {
		return a, fmt.Errorf("%w: an answer of %d bytes", errFrame, len(content))
	}
	return Answer{Status: int(binary.BigEndian.Uint16(content)), NotSent: content[2] == 1, Details: string(content[3:])}, nil
}
