package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/lb/admin"
	"zatoha/lb/state"
)

// statusCommand shows the status page on a terminal. Its exit status is 0 if at least one server takes traffic, else 1.
type statusCommand struct {
	Admin program.HostPort `default:"127.0.0.1:11224" help:"Address of the status page, as --admin-listen of the load balancer."`
}

// statusTimeout bounds the wait for an answer; the controller gives up after 3 s itself.
const statusTimeout = 5 * time.Second

// Run prints one status.
func (c *statusCommand) Run(ctx context.Context, _ zerolog.Logger, _ *grammar) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status, err := fetchStatus(ctx, c.Admin)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(os.Stdout, statusText(status, isatty.IsTerminal(os.Stdout.Fd()))); err != nil {
		return err
	}
	if !status.Healthy {
		return fmt.Errorf("not healthy: %s", program.Printable(status.Headline()))
	}
	return nil
}

// fetchStatus reads /status of the controller at the address.
func fetchStatus(ctx context.Context, address program.HostPort) (admin.Status, error) {
	var status admin.Status
	fail := func(err error) (admin.Status, error) {
		return status, fmt.Errorf("no status from the load balancer at %s: %w: is it running, and is this its --admin-listen?", address, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(address)+"/status", nil)
	if err != nil {
		return fail(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fail(errors.Unwrap(err)) // the URL is named already
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fail(errors.New(response.Status))
	}
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return fail(fmt.Errorf("the answer is not a status: %w", err))
	}
	return status, nil
}

// statusText is the status as a person reads it: how it is, what would break it, the servers, the last changes.
func statusText(s admin.Status, colour bool) string {
	paint := painter(colour)
	var text strings.Builder
	through := ""
	if s.DataPlane.Kind == admin.Remote {
		through = ", through " + program.Printable(s.DataPlane.Address)
	}
	fmt.Fprintf(&text, "%s  %s  (cluster %s, service %s%s)\n",
		paint(tone(s.State), strings.ToUpper(string(s.State))), s.Headline(), program.Printable(s.Cluster), program.Printable(s.Service), through)
	for _, risk := range s.Risks {
		fmt.Fprintf(&text, "%s %s. %s\n", paint(yellow, "!"), program.Printable(risk.What), program.Printable(risk.Means))
	}
	text.WriteString("\n" + serverTable(s, paint))
	differing := parityLines(s.Parity)
	if len(s.Held)+len(s.Refused)+len(differing) > 0 {
		text.WriteString("\n")
	}
	for _, change := range s.Held {
		fmt.Fprintf(&text, "held back: %s\n", program.Printable(change.String()))
	}
	for _, refusal := range s.Refused {
		fmt.Fprintf(&text, "refused: %s: %s\n", program.Printable(refusal.ID), program.Printable(refusal.Reason))
	}
	for _, line := range differing {
		fmt.Fprintf(&text, "%s\n", line)
	}
	if s.Connectors != nil {
		text.WriteString("\n" + connectorText(s, paint))
	}
	if len(s.Changes) > 0 {
		text.WriteString("\n" + changeTable(s))
	}
	return text.String()
}

// serverTable has a row for each slot in use. Rows are painted whole, for an escape sequence in a cell would count as
// width.
func serverTable(s admin.Status, paint func(escape, text string) string) string {
	rows := [][]string{{"SLOT", "INSTANCE", "ADDRESS", "MODE", "HAPROXY", "WEIGHT", "SESSIONS", "REQ/S", "CHECK"}}
	for _, slot := range s.Slots {
		rows = append(rows, []string{
			slot.Slot, slot.Instance, slot.Address, string(slot.Mode), slot.Status, strconv.Itoa(slot.Weight),
			strconv.Itoa(slot.Sessions), strconv.Itoa(slot.Rate), slot.Check,
		})
	}
	lines := table(rows)
	for i, slot := range s.Slots {
		if !slot.TakesTraffic {
			lines[i+1] = paint(red, lines[i+1])
		}
	}
	return strings.Join(lines, "\n") + fmt.Sprintf("\n%d slots free\n", s.Free)
}

// parityLines tell which servers have other services than most.
func parityLines(parity state.Parity) []string {
	var lines []string
	for _, d := range parity.Differing {
		line := fmt.Sprintf("differs: %s: services %s, most have %s", program.Printable(d.ID), program.Printable(d.Services), program.Printable(parity.Majority))
		if d.Held {
			line += ": held out of rotation"
		}
		lines = append(lines, line)
	}
	return lines
}

// shownChanges is how many of the last changes are printed.
const shownChanges = 5

func changeTable(s admin.Status) string {
	rows := [][]string{{"LAST CHANGES", "CONSUL'S INDEX", "WHAT"}}
	for _, change := range s.Changes[:min(shownChanges, len(s.Changes))] {
		age := s.Now.Sub(change.At).Truncate(time.Second)
		index := "-"
		if change.Index > 0 {
			index = strconv.FormatUint(change.Index, 10)
		}
		rows = append(rows, []string{age.String() + " ago", index, change.What})
	}
	return strings.Join(table(rows), "\n") + "\n"
}

// table lines the cells up and returns a line for each row.
func table(rows [][]string) []string {
	var text bytes.Buffer
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = program.Printable(cell)
		}
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	_ = columns.Flush() // a buffer takes everything
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// Escape sequences of a terminal's colours.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

func tone(state admin.State) string {
	switch state {
	case admin.Well:
		return green
	case admin.Down:
		return red
	default:
		return yellow
	}
}

func painter(colour bool) func(escape, text string) string {
	if !colour {
		return func(_, text string) string { return text }
	}
	return func(escape, text string) string { return escape + text + plain }
}
