package server

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/server/front"
	"zatoha/server/service"
)

func TestRegistration(t *testing.T) {
	for _, c := range []struct {
		listening         string
		settings          settings
		id, host, url     string
		port              int
		anyID, anyAddress bool
	}{
		{listening: "127.0.0.1:17010", settings: settings{ID: "a"}, id: "a", host: "127.0.0.1", port: 17010, url: "http://127.0.0.1:17010/zato/ping"},
		{listening: "[::1]:17010", settings: settings{ID: "a"}, id: "a", host: "::1", port: 17010, url: "http://[::1]:17010/zato/ping"},
		{listening: "0.0.0.0:17010", settings: settings{ID: "a"}, id: "a", anyAddress: true, port: 17010},
		{listening: "[::]:17010", settings: settings{ID: "a"}, id: "a", anyAddress: true, port: 17010},
		{listening: "0.0.0.0:17010", settings: settings{ID: "a", Advertise: "web-1:80"}, id: "a", host: "web-1", port: 80, url: "http://web-1:80/zato/ping"},
		{listening: "127.0.0.1:17010", anyID: true, host: "127.0.0.1", port: 17010, url: "http://127.0.0.1:17010/zato/ping"},
	} {
		address, err := net.ResolveTCPAddr("tcp", c.listening)
		if err != nil {
			t.Fatal(err)
		}
		c.settings.Service, c.settings.CheckInterval = "zato-server", 1
		c.settings.Tags = []string{"urlprefix-/"}
		c.settings.services = service.NewRegistry()
		got, err := c.settings.registration(address, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Error(err)
		}
		if c.anyAddress {
			ip := net.ParseIP(got.Address)
			if ip == nil || ip.IsUnspecified() {
				t.Errorf("%s: advertises %q", c.listening, got.Address)
			}
			c.host, c.url = got.Address, got.Check.URL
		}
		if c.anyID {
			if !program.ValidName(got.ID) {
				t.Errorf("%s: ID %q", c.listening, got.ID)
			}
			c.id = got.ID
		}
		if got.ID != c.id || got.Address != c.host || got.Port != c.port || got.Check.URL != c.url || got.Check.InitialStatus != consul.Passing {
			t.Errorf("%s: got %+v, check %+v", c.listening, got, got.Check)
		}
		if !slices.Equal(got.Tags, c.settings.Tags) {
			t.Errorf("%s: tags %q", c.listening, got.Tags)
		}
		for _, field := range []string{"version", "services_hash", "channels"} {
			if got.Meta[field] == "" {
				t.Errorf("%s: no %s in Meta", c.listening, field)
			}
		}
	}
}

// What --help says is what the front has.
func TestDefaultsOfTheLimitsAreTheFronts(t *testing.T) {
	limits := reflect.ValueOf(front.DefaultLimits())
	for field, of := range map[string]string{
		"MaxHeaderBytes": "HeaderBytes", "MaxBodyBytes": "BodyBytes", "MaxConnections": "Connections", "MaxConcurrency": "Concurrency",
		"ReadTimeout": "ReadTimeout", "WriteTimeout": "WriteTimeout", "IdleTimeout": "IdleTimeout",
	} {
		setting, _ := reflect.TypeFor[settings]().FieldByName(field)
		want := limits.FieldByName(of)
		if d, is := want.Interface().(time.Duration); is {
			if got, err := time.ParseDuration(setting.Tag.Get("default")); err != nil || got != d {
				t.Errorf("%s is %v by default, want %v", field, got, d)
			}
		} else if got := setting.Tag.Get("default"); got != fmt.Sprint(want) {
			t.Errorf("%s is %s by default, want %v", field, got, want)
		}
	}
}
