package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ReadNote reads a line that a recorder (bench/takeover/recorder) wrote: connector, epoch, time in nanoseconds since
// 1970, message, the ID that it goes by, whether it may have come before, and the server's name and process.
func ReadNote(line string) (e Effect, err error) {
	fields := strings.Fields(line)
	if len(fields) != 7 {
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
	return Effect{
		Connector: fields[0], Message: fields[3], ID: fields[4], Redelivered: redelivered, Server: fields[6], Epoch: epoch, At: time.Unix(0, nanoseconds),
	}, nil
}
