package consul

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
)

// Registration is one instance of a service as its agent shall know it.
type Registration struct {
	ID      string // unique on the node
	Name    string // the service's
	Address string // empty: the node's
	Port    int
	Tags    []string
	Meta    map[string]string
	Check   *HTTPCheck // nil: none, the instance counts as passing unless a TTL check says otherwise
	TTLs    []TTLCheck
}

// TTLCheck is critical whenever nobody has said otherwise, by [Client.SetCheck], for a TTL.
type TTLCheck struct {
	ID                      string // unique on the node
	Name                    string
	TTL                     time.Duration
	DeregisterCriticalAfter time.Duration // as that of an [HTTPCheck]
	// InitialStatus holds until it is set; empty: critical. The agent may take minutes to pass on an output that comes
	// without a change of the status.
	InitialStatus Status
}

// HTTPCheck makes the agent ask URL every Interval: 2xx is passing, 429 warning, all else critical.
type HTTPCheck struct {
	URL      string
	Interval time.Duration // Consul takes no less than a second
	Timeout  time.Duration // zero: Consul's default, 10 s
	// DeregisterCriticalAfter is how long the check may be critical before the agent removes the instance; zero: for
	// ever. Consul takes no less than a minute and looks every 30 s.
	DeregisterCriticalAfter time.Duration
	// InitialStatus holds until the first run, up to an Interval away; empty: critical.
	InitialStatus Status
}

// Validate reports every fault of the registration at once, by field.
func (r Registration) Validate() error {
	var faults []error
	refuse := func(bad bool, field, why string) {
		if bad {
			faults = append(faults, fmt.Errorf("%s %s", field, why))
		}
	}
	refuse(r.ID == "", "ID", "is empty")
	refuse(r.Name == "", "Name", "is empty")
	refuse(r.Port < 0 || r.Port > 65535, "Port", fmt.Sprintf("is %d, not in 0 to 65535", r.Port))
	if check := r.Check; check != nil {
		target, err := url.Parse(check.URL)
		refuse(err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https",
			"Check.URL", fmt.Sprintf("is %q, not an absolute http or https URL", check.URL))
		refuse(check.Interval <= 0, "Check.Interval", "is not positive")
		refuse(check.Timeout < 0, "Check.Timeout", "is negative")
		refuse(check.DeregisterCriticalAfter < 0, "Check.DeregisterCriticalAfter", "is negative")
		refuse(!slices.Contains([]Status{"", Passing, Warning, Critical}, check.InitialStatus),
			"Check.InitialStatus", fmt.Sprintf("is %q, not passing, warning or critical", check.InitialStatus))
	}
	ids := map[string]bool{}
	for i, check := range r.TTLs {
		field := fmt.Sprintf("TTLs[%d].", i)
		refuse(check.ID == "", field+"ID", "is empty")
		refuse(ids[check.ID], field+"ID", fmt.Sprintf("is %q again", check.ID))
		refuse(check.TTL <= 0, field+"TTL", "is not positive")
		refuse(check.DeregisterCriticalAfter < 0, field+"DeregisterCriticalAfter", "is negative")
		refuse(!slices.Contains([]Status{"", Passing, Warning, Critical}, check.InitialStatus),
			field+"InitialStatus", fmt.Sprintf("is %q, not passing, warning or critical", check.InitialStatus))
		ids[check.ID] = true
	}
	if faults == nil {
		return nil
	}
	return fmt.Errorf("registration of %q as %q: %w", r.ID, r.Name, errors.Join(faults...))
}

// definition is the registration in Consul's words.
func (r Registration) definition() *api.AgentServiceRegistration {
	definition := &api.AgentServiceRegistration{
		ID: r.ID, Name: r.Name, Address: r.Address, Port: r.Port, Tags: r.Tags, Meta: r.Meta, Weights: &equalWeights,
	}
	if check := r.Check; check != nil {
		definition.Check = &api.AgentServiceCheck{
			CheckID:  "service:" + r.ID,
			Name:     "HTTP " + check.URL,
			HTTP:     check.URL,
			Interval: check.Interval.String(),
			Status:   string(check.InitialStatus),
		}
		if check.Timeout > 0 {
			definition.Check.Timeout = check.Timeout.String()
		}
		if check.DeregisterCriticalAfter > 0 {
			definition.Check.DeregisterCriticalServiceAfter = check.DeregisterCriticalAfter.String()
		}
	}
	for _, check := range r.TTLs {
		ttl := &api.AgentServiceCheck{
			CheckID: check.ID, Name: check.Name, TTL: check.TTL.String(), Status: string(cmp.Or(check.InitialStatus, Critical)),
		}
		if check.DeregisterCriticalAfter > 0 {
			ttl.DeregisterCriticalServiceAfter = check.DeregisterCriticalAfter.String()
		}
		definition.Checks = append(definition.Checks, ttl)
	}
	return definition
}

// equalWeights are the share of traffic that each instance asks for, which are Consul's defaults.
var equalWeights = api.AgentWeights{Passing: 1, Warning: 1}

// matches tells whether the agent knows the instance as it was registered.
func (r Registration) matches(service *api.AgentService) bool {
	return service.Service == r.Name &&
		service.Address == r.Address &&
		service.Port == r.Port &&
		service.Weights == equalWeights &&
		slices.Equal(service.Tags, r.Tags) &&
		maps.Equal(service.Meta, r.Meta)
}
