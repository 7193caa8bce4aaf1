package zmtp

import (
	"net"
	"strings"
	"testing"
)

func TestOptionsThatAreRefused(t *testing.T) {
	good := Options{Type: Sub, Method: Connect, Addresses: []string{"tcp://127.0.0.1:5555"}, SubKeys: []string{"a"}}
	for _, test := range []struct {
		name   string
		change func(*Options)
		says   []string // one part of each fault
	}{
		{"good", func(*Options) {}, nil},
		{"nothing", func(o *Options) { *o = Options{} }, []string{`the socket type is ""`, `the socket method is ""`, "there is no address"}},
		{"an unknown type", func(o *Options) { o.Type, o.SubKeys = "REQ", nil }, []string{`the socket type is "REQ": make it PULL, SUB, PUSH or PUB`}},
		{"keys of a PULL", func(o *Options) { o.Type = Pull }, []string{"a PULL socket has no subscription keys"}},
		{"ipc", func(o *Options) { o.Addresses[0] = "ipc:///tmp/x" }, []string{`address "ipc:///tmp/x": transport ipc is not offered here, use tcp://host:port`}},
		{"no transport", func(o *Options) { o.Addresses[0] = "127.0.0.1:5555" }, []string{"has no transport"}},
		{"no port", func(o *Options) { o.Addresses[0] = "tcp://host" }, []string{"missing port"}},
		{"a name for a port", func(o *Options) { o.Addresses[0] = "tcp://host:http" }, []string{`port "http" is no number`}},
		{"a large port", func(o *Options) { o.Addresses[0] = "tcp://host:65536" }, []string{`port "65536" is no number`}},
		{"connecting to every host", func(o *Options) { o.Addresses[0] = "tcp://*:5555" }, []string{"names no host to connect to"}},
		{"connecting to port 0", func(o *Options) { o.Addresses[0] = "tcp://host:0" }, []string{"port 0 cannot be connected to"}},
		{"a source address", func(o *Options) { o.Addresses[0] = "tcp://eth0:0;host:5555" }, []string{"a source address"}},
		{"twice", func(o *Options) { o.Addresses = append(o.Addresses, o.Addresses[0]) }, []string{"is given twice"}},
		{"binding to two", func(o *Options) { o.Method, o.Addresses = Bind, []string{"tcp://*:1", "tcp://*:2"} }, []string{"2 addresses to bind to"}},
		{"sizes", func(o *Options) { o.MaxMessageBytes, o.HighWater = maxMessageLimit+1, -1 }, []string{"messages of up to 1073741825 bytes", "negative"}},
		{"little room", func(o *Options) { o.HighWaterBytes = 1000 }, []string{"1000 bytes are too few"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := good
			o.Addresses = append([]string{}, good.Addresses...)
			test.change(&o)
			err := o.Validate()
			if len(test.says) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || strings.Count(err.Error(), "\n") != len(test.says)-1 {
				t.Fatalf("error %v, want %d faults", err, len(test.says))
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not contain %q", err, part)
				}
			}
			if _, openErr := Open(o); openErr == nil {
				t.Error("it can be opened")
			}
		})
	}
}

func TestAnAddressThatIsTakenIsRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = Open(Options{Type: Pull, Method: Bind, Addresses: []string{"tcp://" + taken.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), "address already in use: choose an address of this machine that is free") {
		t.Error(err)
	}
}
