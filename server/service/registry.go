package service

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Registry holds the services of a server by name. It is safe for concurrent use.
type Registry struct {
	mu       sync.RWMutex
	services map[string]Service
}

// NewRegistry returns a registry of the built-in services.
func NewRegistry() *Registry {
	return &Registry{services: map[string]Service{
		"zato.ping":  ping,
		"demo.echo":  echo,
		"demo.log":   note,
		"demo.send":  JSON(pass),
		"demo.sleep": JSON(rest),
	}}
}

// MustAdd is [Registry.Add] for main functions: it panics where Add returns an error, and returns the registry, for the
// next.
func (r *Registry) MustAdd(name string, service Service) *Registry {
	if err := r.Add(name, service); err != nil {
		panic(err)
	}
	return r
}

// Add makes a service known by a name. A name that is taken, empty or has spaces is an error, and so is a nil service.
func (r *Registry) Add(name string, service Service) error {
	if name == "" || strings.ContainsAny(name, " \t\r\n") {
		return fmt.Errorf("service name %q: must have characters and no spaces", name)
	}
	if strings.ContainsAny(name, "/?#%") {
		return fmt.Errorf("service name %q: must not have any of / ? # %%", name)
	}
	if service == nil {
		return fmt.Errorf("service %q: is nil, give a function", name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.services[name]; taken {
		return fmt.Errorf("service %q: the name is taken, choose another", name)
	}
	r.services[name] = service
	return nil
}

// Lookup finds a service by its name.
func (r *Registry) Lookup(name string) (Service, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	service, found := r.services[name]
	return service, found
}

// Names returns the names of all services in order.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.services))
}

// Hash is the same for two servers that have the same service names, and else differs: 16 hexadecimal digits.
func (r *Registry) Hash() string {
	sum := sha256.Sum256([]byte(strings.Join(r.Names(), "\n")))
	return hex.EncodeToString(sum[:8])
}
