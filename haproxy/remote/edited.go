package remote

import (
	"context"
	"errors"
	"slices"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

// compared reads the document, and says what somebody else has made of our lines in it.
func (d *DataPlane) compared(ctx context.Context) (document, error) {
	have, err := d.read(ctx)
	if err != nil {
		return document{}, err
	}
	if have.byOthers, err = d.byOthers(have.sections); err != nil {
		return document{}, d.api.about(err)
	}
	return have, nil
}

// known are our sections as they should be in a document, as far as that is known.
func (d *DataPlane) known(have document) []edit.Section {
	if have.byOthers != "" {
		return d.ours
	}
	return have.sections
}

// byOthers says what somebody else has made of our lines since this process has known them to be as they should be. That
// the API writes them anew in its own way counts for nothing.
func (d *DataPlane) byOthers(have []edit.Section) (string, error) {
	if d.ours == nil {
		return "", nil
	}
	same, err := sameDesign(have, d.ours)
	if err != nil {
		return "", err
	}
	then, _ := haproxy.ReadServers(d.ours) // which we have written
	now, unreadable := haproxy.ReadServers(have)
	fixed := slices.Equal(haproxy.FixedServers(have), haproxy.FixedServers(d.ours))
	if same && fixed && unreadable == nil && slices.Equal(then, now) {
		return "", nil
	}
	was, unspelt := d.spelt(d.ours)
	is, err := d.spelt(have)
	if errors.Join(unspelt, err) != nil { // a line that only an eye can make sense of
		was, is = d.ours, have
	}
	return edit.Difference(was, is), nil
}

// spelt are sections of ours in the order and spelling of the API.
func (d *DataPlane) spelt(sections []edit.Section) ([]edit.Section, error) {
	text, err := canonical(sections)
	if err != nil {
		return nil, err
	}
	return edit.Read(restore(text, d.sections(nil)))
}

// replaced is the document with the design that another one is about to replace, as we know it; "" if it stays.
func (d *DataPlane) replaced(have document, want []edit.Section, same bool) (string, error) {
	if have.byOthers == "" {
		if same {
			return "", nil
		}
		return have.text, nil
	}
	stays, err := sameDesign(d.ours, want)
	if err != nil || stays {
		return "", err
	}
	return edit.Apply(have.text, d.ours)
}
