package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

func messages() *rapid.Generator[Message] {
	return rapid.Custom(func(t *rapid.T) Message {
		return Message{
			ID: rapid.String().Draw(t, "id"), ContentType: rapid.String().Draw(t, "type"), Properties: rapid.String().Draw(t, "properties"),
			Within: time.Duration(rapid.Int64Min(0).Draw(t, "within")),
			Body:   append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "body")...),
		}
	})
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOf(messages()).Draw(t, "messages")
		var text []byte
		for i, m := range all {
			text = appendMessage(text, uint64(i)<<40, m)
		}
		from := bufio.NewReader(iotest.OneByteReader(bytes.NewReader(text)))
		for i, want := range all {
			number, content, err := readFrame(from, messageFrame, longestMessage)
			if err != nil || number != uint64(i)<<40 {
				t.Fatalf("%d: %v", number, err)
			}
			if got, err := parseMessage(content); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v, %v; want %+v", got, err, want)
			}
		}
		if _, _, err := readFrame(from, messageFrame, longestMessage); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
	})
}

func TestAnAnswerIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Answer{Status: rapid.IntRange(0, 65535).Draw(t, "status"), NotSent: rapid.Bool().Draw(t, "not sent"), Details: rapid.String().Draw(t, "details")}
		number := rapid.Uint64().Draw(t, "number")
		read, content, err := readFrame(bufio.NewReader(bytes.NewReader(appendAnswer(nil, number, want))), answerFrame, longestAnswer)
		if err != nil || read != number {
			t.Fatal(read, err)
		}
		if got, err := parseAnswer(content); err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	})
	long := appendAnswer(nil, 1, Answer{Status: 503, Details: strings.Repeat("x", 1<<20)})
	if _, content, err := readFrame(bufio.NewReader(bytes.NewReader(long)), answerFrame, longestAnswer); err != nil || len(content) > longestAnswer {
		t.Error(len(content), err)
	}
}

func TestAClaimIsNotBelievedBeforeItsBytesCome(t *testing.T) {
	text := begin(nil, messageFrame, 1)
	binary.BigEndian.PutUint32(text, longestMessage)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := readFrame(bufio.NewReader(bytes.NewReader(append(text, "only this much"...))), messageFrame, longestMessage)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%v, and %d bytes", err, after.TotalAlloc-before.TotalAlloc)
	}
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	good := appendMessage(nil, 1, Message{ID: "one", Body: []byte("x")})
	for name, change := range map[string]func([]byte){
		"too long":        func(b []byte) { binary.BigEndian.PutUint32(b, 1<<32-1) },
		"shorter than it": func(b []byte) { binary.BigEndian.PutUint32(b, headSize-1) },
		"another kind":    func(b []byte) { b[lengthSize] = answerFrame },
	} {
		text := bytes.Clone(good)
		change(text)
		if _, _, err := readFrame(bufio.NewReader(bytes.NewReader(text)), messageFrame, longestMessage); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(appendMessage(nil, 1, Message{ID: "one", ContentType: "text/plain", Properties: "{}", Within: time.Second, Body: []byte("x")}))
	f.Add(appendAnswer(nil, 2, Answer{Status: 503, NotSent: true, Details: "so it is"}))
	f.Fuzz(func(t *testing.T, text []byte) {
		if number, content, err := readFrame(bufio.NewReader(bytes.NewReader(text)), messageFrame, 1<<20); err == nil {
			if m, err := parseMessage(content); err == nil {
				again, _ := parseMessage(appendMessage(nil, number, m)[lengthSize+headSize:])
				if !reflect.DeepEqual(again, m) {
					t.Errorf("%+v became %+v", m, again)
				}
			}
		}
		if _, content, err := readFrame(bufio.NewReader(bytes.NewReader(text)), answerFrame, longestAnswer); err == nil {
			_, _ = parseAnswer(content)
		}
	})
}
