package takeover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"zatoha/bench/feed"
	"zatoha/bench/history"
	"zatoha/deploy/cluster"
)

const (
	hosts   = 3
	servers = 3
	bound   = 60 * time.Second // whatever takes longer is broken

	attempts = 3 // to start all: somebody else may take a port that was found free
	token    = "a token of the bench's own"
)

// stage is what a scenario is played on.
type stage struct {
	connectors int
	rate       int  // messages a second that each of them gets
	datacenter bool // Consul has three servers, and each connector host an agent of its own
	wired      bool // each connector host reaches Consul by a wire of its own, which can be cut, and takes processor time
}

var (
	usual = stage{connectors: 3, rate: 250}
	three = stage{connectors: 3, rate: 250, datacenter: true}
	wired = stage{connectors: 3, rate: 250, wired: true}
	many  = stage{connectors: 50, rate: 10}
	quiet = stage{connectors: 3}
)

// scene is a running cluster with connector hosts.
type scene struct {
	*cluster.Cluster
	stage
	options Options
	dir     string
	totals  *totals // of all scenes
	names   []string
	sources []feed.Target
	places  []string // of the servers
	servers []*cluster.Process
	notes   []*history.Tail
	hosts   []*connectorHost
	feed    *feed.Feed
	witness *witness
	unwatch context.CancelFunc
	effects []history.Effect // that have been read
	version int              // of the definitions

	datacenter *datacenter // nil if the cluster's own Consul is that of the connector hosts
}

// connectorHost is one of the hosts, whether it runs or not.
type connectorHost struct {
	id, address string
	consul      string // where it reaches Consul
	wire        *wire  // to there, nil if there is none
	process     *cluster.Process
}

// build starts everything and waits until each connector gets messages.
func (s *scene) build(ctx context.Context) error {
	starting, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	config, err := cluster.FreeConfig(servers + hosts + s.connectors)
	if err != nil {
		return err
	}
	config.Bin, config.ConsulBin, config.HAProxyBin, config.Dir = s.options.Bin, s.options.Consul, s.options.HAProxy, s.dir
	config.AsUnits = true // what keeps the lease goes before the work that is done under it
	places := config.Servers
	config.Servers = nil
	if s.Cluster, err = cluster.Start(starting, config); err != nil {
		return err
	}
	for i := range servers {
		if err := s.startServer(i, places[i]); err != nil {
			return err
		}
	}
	if err := s.Await(starting, func(status cluster.Status) bool { return len(status.Rotation) == servers }); err != nil {
		return err
	}
	if s.stage.datacenter {
		if s.datacenter, err = startDatacenter(starting, s.options.Consul, filepath.Join(s.dir, "datacenter")); err != nil {
			return err
		}
	}
	if err := s.connect(ctx, places[servers+hosts:]); err != nil {
		return err
	}
	if err := s.startHosts(ctx, places[servers:servers+hosts]); err != nil {
		return err
	}
	return s.whole(ctx)
}

// startServer starts a server that notes what it is called with.
func (s *scene) startServer(i int, address string) error {
	s.places, s.servers = append(s.places, address), append(s.servers, nil)
	s.notes = append(s.notes, &history.Tail{Path: filepath.Join(s.dir, fmt.Sprintf("server-%d.notes", i+1))})
	return s.launchServer(i)
}

// launchServer starts a server that does not run.
func (s *scene) launchServer(i int) (err error) {
	s.servers[i], err = s.Launch(
		fmt.Sprintf("server-%d", i+1), filepath.Join(s.options.Bin, "recorder"), s.notes[i].Path, "--listen="+s.places[i], "--invoke-token="+token,
	)
	return err
}

// connect defines the connectors and begins to send to them.
func (s *scene) connect(ctx context.Context, addresses []string) (err error) {
	for i, address := range addresses {
		name := fmt.Sprintf("c-%d", i+1)
		s.names, s.sources = append(s.names, name), append(s.sources, feed.Target{Connector: name, Address: "tcp://" + address})
		if err := s.define(ctx, i); err != nil {
			return err
		}
	}
	s.feed, err = feed.Start(ctx, feed.Options{Targets: s.sources, Rate: s.rate, Patience: patience})
	return err
}

// consul is the address at which host i asks Consul.
func (s *scene) consul(i int) string {
	if s.datacenter != nil {
		return s.datacenter.agents[i].HTTP
	}
	return s.ConsulAddr
}

// put writes the definition of a connector, and remove takes it away.
func (s *scene) put(ctx context.Context, name string, definition map[string]any) error {
	definition["name"] = name
	text, err := json.Marshal(definition)
	if err != nil {
		return err
	}
	return call(ctx, http.MethodPut, "http://"+s.consul(0)+"/v1/kv/zato/main/connectors/"+name, text, nil)
}

func (s *scene) remove(ctx context.Context, name string) error {
	return call(ctx, http.MethodDelete, "http://"+s.consul(0)+"/v1/kv/zato/main/connectors/"+name, nil, nil)
}

// define writes a connector's definition, another one each time.
func (s *scene) define(ctx context.Context, i int) error {
	s.version++
	return s.put(ctx, s.names[i], map[string]any{
		"kind": "zmq", "role": "channel", "service": "record", "socket_type": "PULL", "socket_method": "connect",
		"address": s.sources[i].Address, "in_flight": 1 + s.version%100,
	})
}

func (s *scene) startHosts(ctx context.Context, addresses []string) error {
	logs := map[string]string{}
	for i, address := range addresses {
		h := &connectorHost{id: fmt.Sprintf("host-%d", i+1), address: address, consul: s.consul(i)}
		s.hosts = append(s.hosts, h)
		if s.wired {
			var err error
			if h.wire, err = newWire(h.consul); err != nil {
				return err
			}
			h.consul = h.wire.address()
		}
		logs[h.id] = filepath.Join(s.LogDir(), h.id+".log")
	}
	watching, unwatch := context.WithCancel(ctx)
	s.unwatch, s.witness = unwatch, watch(watching, logs)
	for _, h := range s.hosts {
		if err := s.startHost(h); err != nil {
			return err
		}
	}
	return nil
}

// startHost starts a host that does not run.
func (s *scene) startHost(h *connectorHost) (err error) {
	h.process, err = s.Launch(
		h.id, filepath.Join(s.Bin, "connectorhost"), "--id="+h.id, "--listen="+h.address, "--consul-http-addr="+h.consul,
		"--invoke-url=http://"+s.Front, "--invoke-token="+token,
	)
	return err
}

// Close ends as much as there is, and adds up what its history was.
func (s *scene) Close(ctx context.Context) error {
	s.totals.add(s)
	var errs []error
	for _, h := range s.hosts {
		if h.process != nil {
			h.process.Kill()
		}
	}
	if s.feed != nil {
		s.feed.Close()
	}
	if s.unwatch != nil {
		s.unwatch()
		errs = append(errs, s.witness.close())
	}
	for _, p := range s.servers {
		if p != nil {
			p.Kill()
		}
	}
	for _, h := range s.hosts {
		if h.wire != nil {
			h.wire.close()
		}
	}
	if s.datacenter != nil {
		s.datacenter.kill()
	}
	if s.Cluster != nil {
		errs = append(errs, s.Stop(ctx))
	}
	return errors.Join(errs...)
}

// call makes a request, and reads its JSON into a value unless that is nil.
func call(ctx context.Context, method, url string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var why bytes.Buffer
		_, _ = why.ReadFrom(response.Body)
		return fmt.Errorf("%s %s: %s: %.300s", method, url, response.Status, why.String())
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}
