package history

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// Tail reads what a growing file has got since it was asked last, in whole lines. It belongs to one goroutine at a time.
type Tail struct {
	Path   string
	offset int64
}

// Lines calls each with every line that is new. A file that is not there yet has none.
func (t *Tail) Lines(each func(string) error) error {
	info, err := os.Stat(t.Path) // which disturbs whom is measured less than to open it
	if os.IsNotExist(err) || err == nil && info.Size() == t.offset {
		return nil
	}
	if err != nil {
		return err
	}
	file, err := os.Open(t.Path)
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
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			return nil // the rest of it has not been written
		}
		line := string(text[:end])
		text, t.offset = text[end+1:], t.offset+int64(end)+1
		if err := each(line); err != nil {
			return fmt.Errorf("%s: %w", t.Path, err)
		}
	}
}
