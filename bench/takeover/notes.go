package takeover

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"zatoha/bench/history"
)

// tail reads what a growing file has got since it was asked last, in whole lines.
type tail struct {
	path   string
	offset int64
}

// lines calls each with every line that is new. A file that is not there yet has none.
func (t *tail) lines(each func(string) error) error {
	file, err := os.Open(t.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(t.offset, io.SeekStart); err != nil {
		return err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	for {
		end := strings.IndexByte(string(text), '\n')
		if end < 0 {
			return nil // the rest of it has not been written
		}
		line := string(text[:end])
		text, t.offset = text[end+1:], t.offset+int64(end)+1
		if err := each(line); err != nil {
			return fmt.Errorf("%s: %w", t.path, err)
		}
	}
}

// readNote reads a line of the recorder's.
func readNote(line string) (e history.Effect, err error) {
	fields := strings.Fields(line)
	if len(fields) != 6 {
		return e, fmt.Errorf("the line %.200q is no note", line)
	}
	epoch, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return e, fmt.Errorf("the line %.200q has no epoch: %w", line, err)
	}
	nanoseconds, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return e, fmt.Errorf("the line %.200q has no time: %w", line, err)
	}
	redelivered, err := strconv.ParseBool(fields[5])
	if err != nil {
		return e, fmt.Errorf("the line %.200q does not say whether it was redelivered: %w", line, err)
	}
	return history.Effect{
		Connector: fields[0], Message: fields[3], ID: fields[4], Redelivered: redelivered, Epoch: epoch, At: time.Unix(0, nanoseconds),
	}, nil
}
