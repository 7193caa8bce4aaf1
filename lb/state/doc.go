// Package state decides which instance sits in which slot of the load balancer's backend, and nothing else: it knows
// no network, no clock, no log and no HAProxy.
//
//	Catalog ──Desire──> members ──Compare(pool)──> members ──Diff(pool)──> Plan ──ApplyTo──> Pool
//
// A backend is a fixed row of slots; an instance that joins takes a free slot, and the slot's address is changed in
// the running HAProxy. Only a row that has run out of slots is grown, which is the one change that costs a reload.
//
// One change, walked through: web-2's health check turns critical. Consul's next snapshot becomes a [Catalog]; [Desire]
// turns it into members, web-2 with mode [Out]; [Compare] looks whether the others agree on their services, and has
// nothing to change; [Diff] compares them with the [Pool], finds web-2 in slot-002 with mode [Ready], and puts one
// [Change] into the [Plan]: slot-002, ready → out. The plan can be printed, counted and tested before anything happens.
// [Plan.ApplyTo] gives the pool that HAProxy is then brought to. When web-2 recovers, the same slot is set ready again:
// an instance keeps its slot for as long as the catalog knows it.
package state
