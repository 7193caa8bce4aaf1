package testqm

import (
	"slices"

	"zatoha/connectorhost/ibmmq/testqm/layout"
)

func (c *conn) createHandle(r *request, a *answer) (reason int32, about string) {
	if _, good := layout.Of("MQCMHO").Read(r.memory(), "CMHO"); !good {
		return rcCMHOError, ""
	}
	c.last++
	c.handles[int64(c.last)] = &properties{}
	a.long(c.last)
	return rcNone, ""
}

func (c *conn) deleteHandle(r *request, _ *answer) (reason int32, about string) {
	handle := r.handle()
	if _, good := layout.Of("MQDMHO").Read(r.memory(), "DMHO"); !good {
		return rcDMHOError, ""
	}
	if c.handles[handle] == nil {
		return rcHmsgError, ""
	}
	delete(c.handles, handle)
	return rcNone, ""
}

func (c *conn) setProperty(r *request, _ *answer) (reason int32, about string) {
	in := c.handles[r.handle()]
	_, goodSMPO := layout.Of("MQSMPO").Read(r.memory(), "SMPO")
	p := Property{Name: r.text()}
	_, goodPD := layout.Of("MQPD").Read(r.memory(), "PD  ")
	p.Type = r.long()
	p.Value = slices.Clone(r.memory())
	switch {
	case in == nil:
		return rcHmsgError, p.Name
	case !goodSMPO:
		return rcSMPOError, p.Name
	case !goodPD:
		return rcPDError, p.Name
	}
	in.all = append(slices.DeleteFunc(in.all, func(other Property) bool { return other.Name == p.Name }), p)
	return rcNone, p.Name
}

func (c *conn) inquireProperty(r *request, a *answer) (reason int32, about string) {
	in := c.handles[r.handle()]
	impo, good := layout.Of("MQIMPO").Read(r.memory(), "IMPO")
	about = r.text()
	room := int(r.long())
	switch {
	case in == nil:
		return rcHmsgError, about
	case !good:
		return rcIMPOError, about
	case impo.Long("Options")&^impoConvertValue != 0:
		return rcOptionsError, about
	}
	i := slices.IndexFunc(in.all, func(p Property) bool { return p.Name == about })
	switch {
	case i < 0:
		return rcPropertyNotAvailable, about
	case len(in.all[i].Value) > room:
		return rcPropertyTooBig, about
	}
	a.long(in.all[i].Type)
	a.memory(in.all[i].Value)
	return rcNone, about
}
