package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	parser "github.com/haproxytech/client-native/v5/config-parser"
	"github.com/haproxytech/client-native/v5/config-parser/options"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
	"zatoha/haproxy/rollback"
)

const rawPath = "configuration/raw"

// document is the configuration as the API has it.
type document struct {
	version  int64
	raw      string // as the API shows it
	text     string // with the marks restored
	sections []edit.Section
	byOthers string // what somebody else has made of our lines since this process has known them to be as they should be
}

// post is what is to be made of a document.
type post struct {
	text       string
	sections   []edit.Section // ours, in it
	changed    bool
	structural bool   // it takes a reload
	redesigned bool   // and not only because the number of slots changes
	byOthers   string // see document; it puts that right
	choice     rollback.Choice
	replaced   string         // the document with the design that it replaces, without what somebody else has made of that; "" if none
	actions    []string       // to be run without a reload
	worker     int64          // which worker a reload shall replace, 0 for none
	reason     haproxy.Reload // for that reload
}

// done is what is told of it, with the reason for a reload if there was one.
func (p post) done(reload haproxy.Reload) haproxy.Rewrite {
	return haproxy.Rewrite{Edited: p.byOthers, Reload: reload}
}

// pending is why a reload is still to come.
func (p post) pending() haproxy.Reload {
	if p.reason != "" {
		return p.reason
	}
	return haproxy.ReloadAfter(p.structural, p.byOthers)
}

func (d *DataPlane) read(ctx context.Context) (document, error) {
	var raw struct {
		Version int64  `json:"_version"`
		Data    string `json:"data"`
	}
	header, err := d.api.call(ctx, request{method: http.MethodGet, path: rawPath, timeout: readTimeout}, &raw)
	if err != nil {
		return document{}, err
	}
	if raw.Version == 0 { // nobody has written through the API yet
		raw.Version, err = strconv.ParseInt(header.Get("Configuration-Version"), 10, 64)
		if err != nil {
			return document{}, d.api.about(errors.New("it has no version: see that the URL is that of a Data Plane API 2.x"))
		}
	}
	have := document{version: raw.Version, raw: raw.Data, text: restore(raw.Data, d.sections(nil))}
	if have.sections, err = edit.Read(have.text); err != nil {
		return document{}, d.api.about(err)
	}
	return have, nil
}

// edit makes our sections in a document what they shall be.
func (d *DataPlane) edit(have document, servers []haproxy.Server) (post, error) {
	choice, err := d.memory.Wanted(d.known(have), d.sections(servers))
	if err != nil {
		return post{}, err
	}
	p, err := d.replace(have, choice.Sections)
	p.choice = choice
	return p, err
}

// replace puts sections in the place of ours in a document.
func (d *DataPlane) replace(have document, want []edit.Section) (post, error) {
	if line := conditional(have.text); line > 0 {
		return post{}, d.api.about(&ConditionError{Line: line})
	}
	text, err := edit.Apply(have.text, want)
	if err != nil {
		return post{}, d.api.about(err)
	}
	if text, err = explicit(text); err != nil {
		return post{}, d.api.about(err)
	}
	now, err := haproxy.ReadServers(want)
	if err != nil {
		return post{}, err
	}
	same, err := sameDesign(have.sections, want)
	if err != nil {
		return post{}, d.api.about(err)
	}
	old, unreadable := haproxy.ReadServers(have.sections) // somebody wrote into our lines, they are put right
	structural := !same || unreadable != nil || !slices.Equal(haproxy.FixedServers(have.sections), haproxy.FixedServers(want))
	p := post{
		text: text, sections: want, structural: structural, redesigned: !same, byOthers: have.byOthers,
		changed: structural || !slices.Equal(old, now),
	}
	p.replaced, err = d.replaced(have, want, same)
	return p, err
}

// attempts is how often a change is made again after somebody else has written in between.
const attempts = 5

// change reads the document, has it edited and posts what came of it.
func (d *DataPlane) change(ctx context.Context, edited func(document) (post, error)) (done haproxy.Rewrite, err error) {
	err = d.inTurn(ctx, func() (err error) {
		done, err = d.try(ctx, edited)
		return err
	})
	return done, err
}

// inTurn waits until nobody else changes the document.
func (d *DataPlane) inTurn(ctx context.Context, do func() error) error {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
		return do()
	case <-ctx.Done():
		return fmt.Errorf("waiting for another change of haproxy's configuration: %w", ctx.Err())
	}
}

// try makes a change, again if somebody else has changed the document meanwhile.
func (d *DataPlane) try(ctx context.Context, edited func(document) (post, error)) (haproxy.Rewrite, error) {
	var err error
	for range attempts {
		have, readErr := d.compared(ctx)
		if readErr != nil {
			return haproxy.Rewrite{}, readErr
		}
		p, editErr := edited(have)
		if editErr != nil {
			return haproxy.Rewrite{}, editErr
		}
		if !p.changed {
			d.ours = p.sections
			return haproxy.Rewrite{}, d.settle(p)
		}
		var done haproxy.Rewrite
		if done, err = d.post(ctx, have, p); err == nil {
			return done, d.settle(p)
		} else if !failure(err, (*Error).conflict) {
			return done, err
		}
	}
	return haproxy.Rewrite{}, fmt.Errorf("somebody else changes haproxy's configuration all the time, gave up after %d attempts: %w", attempts, err)
}

// refusal is the last text that haproxy did not accept, and why.
type refusal struct {
	text string
	err  error
}

// post writes the text and returns when it is in use. A text that was refused before is first tried dry, because only
// the real thing says why it is refused, and leaves a file on HAProxy's machine each time. Before the design changes, the
// document is kept for a rollback; in vain, if the API then says that it did not do it.
func (d *DataPlane) post(ctx context.Context, have document, p post) (haproxy.Rewrite, error) {
	if d.refused.text == p.text && failure(d.validate(ctx, p.text), (*Error).refusal) {
		return haproxy.Rewrite{}, d.refused.err
	}
	undo := func() error { return nil }
	if p.replaced != "" {
		var err error
		if undo, err = d.memory.Keep(p.replaced); err != nil {
			return haproxy.Rewrite{}, err
		}
	}
	query := url.Values{"version": {strconv.FormatInt(have.version, 10)}, "skip_reload": {"true"}}
	if p.worker != 0 {
		query = url.Values{"version": query["version"], "force_reload": {"true"}}
	}
	_, err := d.api.call(ctx, request{
		method: http.MethodPost, path: rawPath, query: query, actions: p.actions, body: p.text, timeout: writeTimeout,
	}, nil)
	d.refused = refusal{}
	switch {
	case failure(err, (*Error).refusal):
		d.refused = refusal{text: p.text, err: err}
		return haproxy.Rewrite{}, errors.Join(err, undo())
	case failure(err, (*Error).undone):
		return haproxy.Rewrite{}, errors.Join(err, undo())
	case err != nil: // nobody knows what became of it
		d.ours = nil
		if p.structural {
			d.unloaded = p.pending()
		}
		return haproxy.Rewrite{}, err
	}
	d.ours = p.sections
	return d.load(ctx, p)
}

// load waits for the reload that a document which was written takes, if that was asked for.
func (d *DataPlane) load(ctx context.Context, p post) (haproxy.Rewrite, error) {
	if p.structural || p.worker != 0 {
		d.unloaded = p.pending()
	}
	if p.worker == 0 {
		return p.done(""), nil
	}
	if err := d.awaitWorker(ctx, p.worker); err != nil {
		return p.done(""), err
	}
	d.unloaded = ""
	return p.done(p.reason), nil
}

func (d *DataPlane) validate(ctx context.Context, text string) error {
	_, err := d.api.call(ctx, request{
		method: http.MethodPost, path: rawPath, query: url.Values{"only_validate": {"true"}}, body: text, timeout: writeTimeout,
	}, nil)
	return err
}

// conditional is the number of the first line that is a condition, or 0.
func conditional(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if word := strings.TrimSpace(line); strings.HasPrefix(word, ".if") || strings.HasPrefix(word, ".el") {
			return n
		}
	}
	return 0
}

// design tells our sections apart as the API writes them, but for their servers.
func design(sections []edit.Section) (string, error) {
	text, err := canonical(haproxy.WithServers(sections, nil))
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8]), err
}

// sameDesign says whether sections are the same but for the servers in them, however the API has ordered and spelt them.
func sameDesign(have, want []edit.Section) (bool, error) {
	a, err := design(have)
	if err != nil {
		return false, err
	}
	b, err := design(want)
	return a == b, err
}

// canonical are sections as the API would write them, which uses the same parser.
func canonical(sections []edit.Section) (string, error) {
	text, err := edit.Apply("", sections)
	if err != nil {
		return "", err
	}
	return rewritten(text)
}

// rewritten is a text as the API would write it.
func rewritten(text string) (string, error) {
	parsed, err := parser.New(options.String(text), options.NoNamedDefaultsFrom)
	if err != nil {
		return "", fmt.Errorf("config-parser: %w", err)
	}
	return parsed.String(), nil
}
