package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
	"zatoha/deploy/program"
)

const (
	requestTimeout = 5 * time.Second
	maxRequest     = 4 << 10 // bytes of a request of ours
)

// report is what GET /connectors answers.
type report struct {
	Host       string             `json:"host"` // service ID
	Cluster    string             `json:"cluster"`
	Version    string             `json:"version"`
	Role       consul.Role        `json:"role"`
	Epoch      uint64             `json:"epoch,omitempty"` // of this host's tenure
	Held       bool               `json:"held"`            // some host holds the lease
	Holder     consul.Holder      `json:"holder"`          // who holds it, or held it last
	Error      string             `json:"error,omitempty"` // what keeps the host from its role
	Connectors []supervise.Status `json:"connectors"`      // those that run here
	InServers  []elsewhere        `json:"in_servers"`      // those that each server runs for itself
	Refused    []refusal          `json:"refused"`
	Hosts      []standing         `json:"hosts"`
}

// standing is one connector host in the eyes of Consul.
type standing struct {
	ID      string        `json:"id"`
	Address string        `json:"address"`
	Status  consul.Status `json:"status"`
	Active  bool          `json:"active"`
}

func (h *host) report() report {
	r := report{
		Host: h.ID, Cluster: h.Cluster, Version: program.Version(),
		Connectors: []supervise.Status{}, Refused: []refusal{}, Hosts: []standing{},
	}
	h.view(func() {
		r.Role, r.Held, r.Holder = h.lease.Role, h.lease.Status.Held, h.lease.Status.Holder
		if h.lease.Err != nil {
			r.Error = h.lease.Err.Error()
		}
		if h.tenure != nil {
			r.Epoch = h.tenure.Epoch
		}
		r.Connectors = append(r.Connectors, h.connectors...)
		r.InServers = h.catalog.inServers()
		r.Refused = append(r.Refused, h.catalog.refused...)
		for _, i := range h.hosts {
			active := r.Held && r.Holder.Host == i.ID
			r.Hosts = append(r.Hosts, standing{ID: i.ID, Address: i.HostPort(), Status: i.Status, Active: active})
		}
	})
	return r
}

// failure is the answer to a request that failed.
type failure struct {
	Error string `json:"error"`
}

// moveRequest is the body of POST /move.
type moveRequest struct {
	To string `json:"to"` // service ID
}

func (h *host) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /connectors", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, h.report()) })
	mux.HandleFunc("POST /move", h.move)
	mux.Handle("POST /outgoing/{name}", h.sends)
	mux.HandleFunc("GET /outgoing", h.sends.bequest)
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.metrics(), promhttp.HandlerOpts{}))
	return mux
}

// ours says whether a request for a change comes from our own command, or somebody who means it, and not from a page in
// a browser that was made to: that could neither name an address as the host nor send JSON.
func ours(r *http.Request) error {
	if !program.ByAddress(r) {
		return fmt.Errorf("%q is not how an operator calls this host: use its IP address", r.Host)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("the body has to be application/json")
	}
	return nil
}

// move hands the lease over to the host that the request names.
func (h *host) move(w http.ResponseWriter, r *http.Request) {
	if err := ours(r); err != nil {
		answer(w, http.StatusForbidden, failure{err.Error()})
		return
	}
	var request moveRequest
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, failure{`want {"to": "SERVICE-ID"}: ` + err.Error()})
		return
	}
	h.log.Warn().Str("to", request.To).Str("from", r.RemoteAddr).Msg("an operator moves the connectors")
	if err := h.handOver(request.To); err != nil {
		answer(w, http.StatusConflict, failure{err.Error()})
		return
	}
	answer(w, http.StatusOK, request)
}

// alive says whether a host keeps its lease's check passing. What its connectors' checks say, if it has any left from a
// time when it was active, does not count.
func alive(i consul.Instance) bool {
	return slices.ContainsFunc(i.Checks, func(c consul.Check) bool {
		return strings.HasPrefix(c.ID, consul.LeaseCheckPrefix(i.ID)) && c.Status == consul.Passing
	}) && i.Status != consul.Maintenance
}

// handOver begins to hand the lease over.
func (h *host) handOver(to string) error {
	var tenure *consul.Tenure
	var holder consul.Holder
	known, ready := false, false
	h.view(func() {
		tenure, holder = h.tenure, h.lease.Status.Holder
		for _, i := range h.hosts {
			known = known || i.ID == to
			ready = ready || i.ID == to && alive(i)
		}
	})
	switch {
	case tenure == nil:
		return fmt.Errorf("%s is not active, ask the host that is: %s at %s", h.ID, holder.Host, holder.Address)
	case to == h.ID:
		return fmt.Errorf("%s is active already", to)
	case !known:
		return fmt.Errorf("there is no connector host %q: see the hosts at /connectors", to)
	case !ready:
		return fmt.Errorf("%s is not well enough in Consul to take over: see its checks there", to)
	case !tenure.HandOver(to):
		return errors.New("the lease is being given up already")
	}
	return nil
}

func answer(w http.ResponseWriter, status int, value any) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // whoever hung up does not want it
}
