package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Parent and child talk in lines of JSON over two pipes, [Order] one way and [Report] the other. An empty line says
// nothing: by one, a child that was started says that it waits for its first order.

// Command is what a child is told to do.
type Command string

// The commands. A child that was started prepares itself without being told.
const (
	Go    Command = "go"    // receive
	Drain Command = "drain" // receive nothing more, finish, end
)

// Order is a line to a child. The first one has the definition, what all children share, and the epoch; each may have any
// of the others.
type Order struct {
	Definition *Definition     `json:"definition,omitempty"`
	Shared     json.RawMessage `json:"shared,omitempty"`
	Epoch      uint64          `json:"epoch,omitempty"`
	Command    Command         `json:"command,omitempty"`
}

// Report is a line from a child: what it does now, as a whole.
type Report struct {
	State    State             `json:"state"`
	Why      string            `json:"why,omitempty"`
	Counters map[string]int64  `json:"counters,omitempty"`
	Info     map[string]string `json:"info,omitempty"` // where it listens, say
}

const (
	maxOrder  = 4 << 20 // bytes of a line
	maxReport = 64 << 10
)

// Validate says what is wrong with an order; first is whether none came before.
func (o Order) Validate(first bool) error {
	switch {
	case first && (o.Definition == nil || o.Definition.Name == ""):
		return errors.New("the first order has no definition, or no name")
	case !first && o.Definition != nil:
		return errors.New("a second definition")
	case o.Command != "" && o.Command != Go && o.Command != Drain:
		return fmt.Errorf("the unknown command %q", o.Command)
	}
	return nil
}

// Validate says what is wrong with a report.
func (r Report) Validate() error {
	switch r.State {
	case Connecting, Prepared, Running, Failed, Fenced, Finished:
		return nil
	}
	return fmt.Errorf("a child does not report the state %q", r.State)
}

// encodeLine makes a line of a message.
func encodeLine(message any) ([]byte, error) {
	line, err := json.Marshal(message)
	return append(line, '\n'), err
}

// readLines calls each with every line until the other side has closed the pipe, which is no error, or each fails.
func readLines[T any](from io.Reader, longest int, each func(T) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var message T
		if err := json.Unmarshal(lines.Bytes(), &message); err != nil {
			return fmt.Errorf("a line that is no message: %w", err)
		}
		if err := each(message); err != nil {
			return err
		}
	}
	return lines.Err()
}
