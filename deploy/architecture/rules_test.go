package architecture

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestEachRuleCatches checks the rules themselves, on made-up trees of one or two files.
func TestEachRuleCatches(t *testing.T) {
	for _, test := range []struct {
		path, text string
		rule, want string // nothing is wanted where rule is ""
	}{
		{"lb/state/a.go", `import "slices"`, "", ""},
		{"lb/state/a_test.go", `import "pgregory.net/rapid"`, "", ""},
		{"lb/state/a.go", `import "github.com/rs/zerolog"`, "packages that decide import only the standard library and each other", "lb/state/a.go imports github.com/rs/zerolog"},
		{"server/service/a.go", `import "zatoha/deploy/program"`, "packages that decide import only the standard library and each other", "server/service/a.go imports zatoha/deploy/program"},
		{"connectorhost/connector/a.go", `import "C"`, "packages that decide import only the standard library and each other", "connectorhost/connector/a.go imports C"},

		{"connectorhost/connector/a.go", `import "zatoha/deploy/program/secretfile"`, "", ""},
		{"deploy/program/secretfile/a.go", `import "github.com/alecthomas/kong"`, "packages that decide import only the standard library and each other", "deploy/program/secretfile/a.go imports github.com/alecthomas/kong"},

		{"lb/state/a.go", `import "net/netip"`, "", ""},
		{"lb/state/a.go", `import "net/http"`, "lb/state has no network, files, clock or log", "lb/state/a.go imports net/http"},
		{"lb/state/a.go", `import "log/slog"`, "lb/state has no network, files, clock or log", "lb/state/a.go imports log/slog"},
		{"lb/state/a.go", `import "time"; var _ = time.Now()`, "lb/state has no network, files, clock or log", "lb/state/a.go calls time.Now"},

		{"consul/watch.go", `import "github.com/hashicorp/consul/api"`, "", ""},
		{"lb/a_test.go", `import "github.com/hashicorp/consul/api/watch"`, "only consul/ knows Consul's client", "lb/a_test.go imports github.com/hashicorp/consul/api/watch"},
		{"consulting/a.go", `import "github.com/hashicorp/consul/api"`, "only consul/ knows Consul's client", "consulting/a.go imports github.com/hashicorp/consul/api"},
		{"server/front/a.go", `import "github.com/valyala/fasthttp"`, "", ""},
		{"server/a.go", `import "github.com/valyala/fasthttp"`, "only server/front knows fasthttp", "server/a.go imports github.com/valyala/fasthttp"},
		{"haproxy/edit/a.go", `import "github.com/haproxytech/client-native/v5/models"`, "", ""},
		{"lb/a.go", `import "github.com/haproxytech/client-native/v5/models"`, "only haproxy/ knows client-native", "lb/a.go imports github.com/haproxytech/client-native/v5/models"},
		{"connectorhost/zmtp/a.go", `import "github.com/go-zeromq/zmq4/security/null"`, "", ""},
		{"connectorhost/zmq/a.go", `import "github.com/go-zeromq/zmq4"`, "only connectorhost/zmtp knows the ZeroMQ library", "connectorhost/zmq/a.go imports github.com/go-zeromq/zmq4"},

		{"connectorhost/ibmmq/mqi/a_test.go", `import "github.com/ibm-messaging/mq-golang/v5/ibmmq"`, "", ""},
		{"connectorhost/a.go", `import "github.com/ibm-messaging/mq-golang/v5/ibmmq"`, "only connectorhost/ibmmq knows IBM's client", "connectorhost/a.go imports github.com/ibm-messaging/mq-golang/v5/ibmmq"},

		{"lb/a.go", `import ("zatoha/consul"; "zatoha/haproxy/edit"; "zatoha/lb/state"; "zatoha/deploy/program")`, "", ""},
		{"consul/a_test.go", `import "zatoha/deploy/consultest"`, "", ""},
		{"connectorhost/zmtp/a_test.go", `import "zatoha/deploy/tools/find"`, "", ""},
		{"connectorhost/zmtp/a.go", `import "zatoha/deploy/tools/find"`, "imports run one way", "connectorhost/zmtp/a.go imports zatoha/deploy/tools/find"},
		{"consul/a.go", `import "zatoha/deploy/consultest"`, "imports run one way", "consul/a.go imports zatoha/deploy/consultest"},
		{"consul/a.go", `import "zatoha/deploy/program/secretfile"`, "", ""},
		{"consul/a.go", `import "zatoha/deploy/program"`, "imports run one way", "consul/a.go imports zatoha/deploy/program"},
		{"consul/a.go", `import "zatoha/haproxy"`, "imports run one way", "consul/a.go imports zatoha/haproxy"},
		{"haproxy/edit/a.go", `import "zatoha/consul/kv"`, "imports run one way", "haproxy/edit/a.go imports zatoha/consul/kv"},
		{"lb/admin/a.go", `import "zatoha/server/service"`, "imports run one way", "lb/admin/a.go imports zatoha/server/service"},
		{"server/a_test.go", `import "zatoha/lb/state"`, "imports run one way", "server/a_test.go imports zatoha/lb/state"},
		{"server/outgoing/a.go", `import ("zatoha/connectorhost/zmtp"; "zatoha/connectorhost/connector"; "zatoha/server/service"; "zatoha/consul")`, "", ""},
		{"server/outgoing/a.go", `import "zatoha/connectorhost/supervise"`, "imports run one way", "server/outgoing/a.go imports zatoha/connectorhost/supervise"},
		{"server/outgoing/a.go", `import "zatoha/connectorhost"`, "imports run one way", "server/outgoing/a.go imports zatoha/connectorhost"},
		{"server/a.go", `import "zatoha/connectorhost/zmtp"`, "imports run one way", "server/a.go imports zatoha/connectorhost/zmtp"},
		{"connectorhost/zmq/a.go", `import "zatoha/server/service"`, "imports run one way", "connectorhost/zmq/a.go imports zatoha/server/service"},
		{"deploy/program/a.go", `import "zatoha/consul"`, "imports run one way", "deploy/program/a.go imports zatoha/consul"},
		{"deploy/edge/a.go", `import ("zatoha/haproxy/edit"; "zatoha/deploy/program")`, "", ""},
		{"deploy/edge/a.go", `import "zatoha/lb/address"`, "", ""},
		{"deploy/edge/a.go", `import "zatoha/lb/state"`, "imports run one way", "deploy/edge/a.go imports zatoha/lb/state"},
		{"deploy/edge/a.go", `import "zatoha/consul"`, "imports run one way", "deploy/edge/a.go imports zatoha/consul"},
		{"deploy/cluster/a.go", `import "zatoha/haproxy"`, "imports run one way", "deploy/cluster/a.go imports zatoha/haproxy"},
		{"deploy/integration/a_test.go", `import "zatoha/lb/state"`, "imports run one way", "deploy/integration/a_test.go imports zatoha/lb/state"},

		{"main.go", ``, "the root has the agreed folders and files", "main.go"},
		{"tools/a.go", ``, "the root has the agreed folders and files", "tools"},
		{".github/a.go", `not even Go`, "", ""},
		{"deploy/tools/consul/go.mod", `also not read`, "", ""},
		{"lb/utils/a.go", ``, "a folder is named for what it is about", "lb/utils/a.go is in a folder utils"},

		{"lb/a.go", "func f() {\n\t// " + strings.Repeat("ä", commentWidth-4) + "\n}", "", ""},
		{"lb/a.go", "func f() {\n\t// " + strings.Repeat("ä", commentWidth-3) + "\n}", "comments are no wider than 122 characters", "lb/a.go has a wide comment in line 4"},
		{"lb/a.go", "//go:generate " + strings.Repeat("x", commentWidth), "", ""},
		{"lb/a.go", "//\t" + strings.Repeat("x", commentWidth), "", ""},

		{"lb/a.go", "import `time`; func f() { time.Sleep(1) }", "nothing sleeps but tests in fake time", "lb/a.go calls time.Sleep"},
		{"lb/a_test.go", `import "time"; func f() { time.Sleep(1) }`, "nothing sleeps but tests in fake time", "lb/a_test.go calls time.Sleep"},
		{"lb/a_test.go", `import ("time"; "testing/synctest"); func f() { time.Sleep(1) }`, "", ""},
		{"lb/a.go", `import "log"; func f() { log.Fatalf("") }`, "only main functions end the process", "lb/a.go calls log.Fatalf"},
		{"lb/a_test.go", `import "os"; func helper() { os.Exit(1) }`, "only main functions end the process", "lb/a_test.go calls os.Exit"},
		{"lb/a_test.go", `import "os"; func TestMain() { os.Exit(1) }`, "", ""},
		{"lb/a.go", `import "os"; var exit = os.Exit`, "", ""},
	} {
		made, err := readTree(fstest.MapFS{test.path: {Data: []byte("// Package p is made up.\npackage p\n" + test.text)}})
		if err != nil {
			t.Fatalf("%s: %v", test.path, err)
		}
		for _, rule := range rules {
			var want []string
			if rule.name == test.rule {
				want = []string{test.want}
			}
			got := rule.check(made)
			if test.rule == "" || rule.name == test.rule {
				if !slices.Equal(got, want) {
					t.Errorf("%s with %s: the rule that %s: %q, want %q", test.path, test.text, rule.name, got, want)
				}
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	const bare, commented = "package p", "// Package p is made up.\npackage p"
	for _, test := range []struct {
		code, test string // text of the file, "" for none
		fault      bool
	}{
		{code: commented},
		{code: commented, test: bare},
		{test: commented},
		{code: bare, test: commented, fault: true},
		{code: bare, fault: true},
		{test: bare, fault: true},
	} {
		files := fstest.MapFS{}
		if test.code != "" {
			files["lb/a.go"] = &fstest.MapFile{Data: []byte(test.code)}
		}
		if test.test != "" {
			files["lb/a_test.go"] = &fstest.MapFile{Data: []byte(test.test)}
		}
		made, err := readTree(files)
		if err != nil {
			t.Fatal(err)
		}
		if got := documented(made); (len(got) > 0) != test.fault {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

func TestLongFiles(t *testing.T) {
	made := tree{files: []file{{path: "lb/a.go", lines: 600}, {path: "lb/b.go", lines: 601}}}
	if got := notLonger(600)(made); !slices.Equal(got, []string{"lb/b.go has 601 lines"}) {
		t.Errorf("%q", got)
	}
}
