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
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
	"zatoha/deploy/program"
)

// statusCommand shows on a terminal what a host, and through it the active one, does.
type statusCommand struct {
	Admin program.HostPort `default:"127.0.0.1:17110" help:"Address of any connector host, as its --listen."`
}

// Run prints one status: of the host asked, and of the active one if that is another.
func (c *statusCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	asked, err := fetch(ctx, string(c.Admin))
	if err != nil {
		return err
	}
	active := asked
	if asked.Held && asked.Holder.Host != asked.Host {
		if active, err = fetch(ctx, asked.Holder.Address); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(os.Stdout, statusText(asked, active)); err != nil {
		return err
	}
	return ailment(asked, active)
}

// ailment is what is wrong, or nil.
func ailment(asked, active report) error {
	switch {
	case asked.Error != "":
		return fmt.Errorf("not healthy: %s", program.Printable(asked.Error))
	case active.Error != "":
		return fmt.Errorf("not healthy: %s: %s", program.Printable(active.Host), program.Printable(active.Error))
	case !asked.Held:
		return errors.New("not healthy: no host is active")
	case len(active.Refused) > 0:
		return fmt.Errorf("not healthy: %d definitions are refused", len(active.Refused))
	}
	for _, c := range active.Connectors {
		if c.State != supervise.Running {
			return fmt.Errorf("not healthy: connector %s is %s", program.Printable(c.Name), c.State)
		}
		if c.Why != "" {
			return fmt.Errorf("not healthy: connector %s: %s", program.Printable(c.Name), program.Printable(c.Why))
		}
	}
	return nil
}

// statusText is what the hosts say, and what the active one says of the connectors.
func statusText(asked, active report) string {
	var text strings.Builder
	if asked.Held {
		fmt.Fprintf(&text, "cluster %s, epoch %d, %s is active", program.Printable(active.Cluster), active.Epoch, program.Printable(active.Host))
	} else {
		fmt.Fprintf(&text, "cluster %s: NO HOST IS ACTIVE", program.Printable(asked.Cluster))
	}
	fmt.Fprintf(&text, " (asked %s, which is %s)\n", program.Printable(asked.Host), asked.Role)
	if asked.Error != "" {
		fmt.Fprintf(&text, "! %s\n", program.Printable(asked.Error))
	}
	if active.Host != asked.Host && active.Error != "" {
		fmt.Fprintf(&text, "! %s: %s\n", program.Printable(active.Host), program.Printable(active.Error))
	}
	writeHosts(&text, asked)
	writeConnectors(&text, active)
	for _, r := range active.Refused {
		kept := ""
		if r.Kept {
			kept = " (the last good one stays)"
		}
		fmt.Fprintf(&text, "refused: %s: %s%s\n", program.Printable(r.Name), program.Printable(r.Reason), kept)
	}
	return text.String()
}

func writeHosts(text *strings.Builder, asked report) {
	table := newTable(text)
	fmt.Fprintln(table, "\nHOST\tADDRESS\tIN CONSUL\tROLE")
	for _, h := range asked.Hosts {
		role := consul.Standby
		if h.Active {
			role = consul.Active
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", program.Printable(h.ID), program.Printable(h.Address), h.Status, role)
	}
	_ = table.Flush() // into memory
}

func writeConnectors(text *strings.Builder, active report) {
	table := newTable(text)
	fmt.Fprintln(table, "\nCONNECTOR\tKIND\tSTATE\tPID\tSINCE\tRESTARTS\tWHY")
	for _, c := range active.Connectors {
		since := "-"
		if !c.Since.IsZero() {
			since = c.Since.Format(time.DateTime)
		}
		name, kind, why := program.Printable(c.Name), program.Printable(c.Kind), program.Printable(c.Why)
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", name, kind, c.State, c.PID, since, c.Restarts, why)
	}
	for _, c := range active.InServers {
		fmt.Fprintf(table, "%s\t%s\tin the servers\t-\t-\t-\teach server sends for itself\n", program.Printable(c.Name), program.Printable(c.Kind))
	}
	_ = table.Flush() // into memory
}

func newTable(text *strings.Builder) *tabwriter.Writer {
	return tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
}

// fetch reads /connectors of the host at an address.
func fetch(ctx context.Context, address string) (report, error) {
	var r report
	err := call(ctx, http.MethodGet, address, "/connectors", nil, &r)
	if err != nil {
		err = fmt.Errorf("no status from the connector host at %s: %w: is it running, and is this its --listen?", address, err)
	}
	return r, err
}

// call makes a request to a connector host. What it refuses is an error in its own words.
func call(ctx context.Context, method, address, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return errors.Unwrap(err) // the URL is named already
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var said failure
		if json.Unmarshal(answer, &said) == nil && said.Error != "" {
			return errors.New(said.Error)
		}
		return errors.New(response.Status)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the answer is none of a connector host: %w", err)
	}
	return nil
}
