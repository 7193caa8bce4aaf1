package architecture

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "zatoha"

// rule is one promise of the code; check returns each place that breaks it.
type rule struct {
	name  string
	check func(t tree) []string
}

var rules = []rule{
	// The last one reads the secrets of connectors.
	{"packages that decide import only the standard library and each other", pure(
		"lb/state", "server/service", "server/channel", "server/invoke", "connectorhost/connector", "deploy/program/secretfile",
	)},
	{"lb/state has no network, files, clock or log", isolated("lb/state")},
	{"only consul/ knows Consul's client", onlyBelow("github.com/hashicorp/consul/api", "consul")},
	{"only server/front knows fasthttp", onlyBelow("github.com/valyala/fasthttp", "server/front")},
	{"only haproxy/ knows client-native", onlyBelow("github.com/haproxytech/client-native", "haproxy")},
	{"only connectorhost/zmtp knows the ZeroMQ library", onlyBelow("github.com/go-zeromq/zmq4", "connectorhost/zmtp")},
	{"only connectorhost/ibmmq knows IBM's client", onlyBelow("github.com/ibm-messaging/mq-golang", "connectorhost/ibmmq")},
	{"imports run one way", oneWay},
	{"the root has the agreed folders and files", agreedRoot},
	{"a folder is named for what it is about", noMiscellany},
	{"each package says what it is", documented},
	{"no file is longer than 600 lines", notLonger(600)},
	{"comments are no wider than 122 characters", narrow},
	{"nothing sleeps but tests in fake time", noSleep},
	{"only main functions end the process", noExit},
}

// mayImport is the table of arrows: which folders of this module the packages below a folder may import, besides their
// own. The longest folder counts.
var mayImport = map[string][]string{
	"lb":     {"consul", "haproxy", "deploy/program"},
	"server": {"consul", "deploy/program"},
	// The servers send by ZeroMQ themselves, from definitions that the connector host reads too. These three are libraries,
	// of which no line runs by being imported; nothing else of the connector host may be seen by a server.
	"server/outgoing": {"server/service", "consul", "connectorhost/connector", "connectorhost/zmq", "connectorhost/zmtp"},
	"connectorhost":   {"consul", "deploy/program"},
	"consul":          {"deploy/program/secretfile"},
	"haproxy":         {},
	"bench":           {"deploy"},
	// It sends messages to connectors, as a team's own program would.
	"bench/feed": {"connectorhost/zmtp"},
	// Its recorder is a program like that of any team.
	"bench/takeover": {"bench", "deploy", "server"},
	"deploy":         {"bench"},
	// It writes haproxy.cfg, and repeats requests by the rule that holds within a cluster. Its virtual address is where
	// HAProxy serves by the rule of there, too.
	"deploy/edge":    {"haproxy", "lb/address", "deploy/program"},
	"deploy/program": {},
}

// testsMayImport are the folders that any test may import too.
var testsMayImport = []string{"deploy/consultest", "deploy/freeport", "deploy/rabbittest", "deploy/tools/find"}

var (
	topFolders = []string{"bench", "connectorhost", "consul", "deploy", "haproxy", "lb", "server"}
	topFiles   = []string{"ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile", "README.md", "go.mod", "go.sum"}
	untracked  = []string{"bin", "run"} // what `make build` and `make run` leave in the root
	miscellany = []string{"internal", "pkg", "util", "utils", "common", "helpers", "misc"}
)

// longFile is the number of lines above which a file is reported, though it is no fault.
const longFile = 300

func TestTheRepositoryKeepsTheRules(t *testing.T) {
	repository, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	if len(repository.files) < 10 {
		t.Fatalf("only %d Go files were found", len(repository.files))
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, place := range rule.check(repository) {
				t.Error(place)
			}
		})
	}
	for _, place := range notLonger(longFile)(repository) {
		t.Log("worth a look: " + place)
	}
}

// each makes a check of a question about one file, which is answered by what is wrong with it.
func each(wrong func(f file) []string) func(tree) []string {
	return func(t tree) (places []string) {
		for _, f := range t.files {
			for _, what := range wrong(f) {
				places = append(places, f.path+" "+what)
			}
		}
		return places
	}
}

// imports makes a check of the question whether a file must not import something.
func imports(forbidden func(f file, imported string) bool) func(tree) []string {
	return each(func(f file) (wrong []string) {
		for _, imported := range f.imports {
			if forbidden(f, imported) {
				wrong = append(wrong, "imports "+imported)
			}
		}
		return wrong
	})
}

// calls makes a check of the question whether a file must not call some function.
func calls(forbidden func(f file, function string) bool) func(tree) []string {
	return each(func(f file) (wrong []string) {
		for _, function := range f.calls {
			if forbidden(f, function) {
				wrong = append(wrong, "calls "+function)
			}
		}
		return wrong
	})
}

func pure(folders ...string) func(tree) []string {
	return imports(func(f file, imported string) bool {
		first, rest, _ := strings.Cut(imported, "/")
		standard := first != module && first != "C" && !strings.Contains(first, ".")
		return below(f.folder(), folders...) && !f.test() && !standard && !(first == module && below(rest, folders...))
	})
}

func isolated(folder string) func(tree) []string {
	actors := []string{"net", "os", "io/ioutil", "syscall", "log"}
	harmless := []string{"net/netip", "net/url"}
	clock := []string{"time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.NewTimer", "time.NewTicker", "time.Tick"}
	importing := imports(func(f file, imported string) bool {
		return below(f.folder(), folder) && !f.test() && below(imported, actors...) && !slices.Contains(harmless, imported)
	})
	calling := calls(func(f file, function string) bool {
		return below(f.folder(), folder) && !f.test() && slices.Contains(clock, function)
	})
	return func(t tree) []string { return append(importing(t), calling(t)...) }
}

func onlyBelow(library, folder string) func(tree) []string {
	return imports(func(f file, imported string) bool {
		return below(imported, library) && !below(f.folder(), folder)
	})
}

func oneWay(t tree) []string {
	return imports(func(f file, imported string) bool {
		to, ours := strings.CutPrefix(imported, module+"/")
		if !ours {
			return false
		}
		from := f.folder()
		for mayImport[from] == nil && from != "." {
			from = path.Dir(from)
		}
		allowed := append([]string{from}, mayImport[from]...)
		if f.test() {
			allowed = append(allowed, testsMayImport...)
		}
		return !below(to, allowed...)
	})(t)
}

func agreedRoot(t tree) (places []string) {
	for _, name := range t.top {
		if !slices.Contains(slices.Concat(topFolders, topFiles, untracked), name) {
			places = append(places, name)
		}
	}
	return places
}

func noMiscellany(t tree) []string {
	return each(func(f file) (wrong []string) {
		for folder := range strings.SplitSeq(f.folder(), "/") {
			if slices.Contains(miscellany, folder) {
				wrong = append(wrong, "is in a folder "+folder)
			}
		}
		return wrong
	})(t)
}

// documented wants a package comment in one file of each folder: in one that is no test, unless there are only tests.
func documented(t tree) (places []string) {
	type comments struct{ code, inCode, inTests bool }
	folders := map[string]comments{}
	for _, f := range t.files {
		c := folders[f.folder()]
		c.code = c.code || !f.test()
		c.inCode = c.inCode || !f.test() && f.documented
		c.inTests = c.inTests || f.test() && f.documented
		folders[f.folder()] = c
	}
	for folder, c := range folders {
		if !c.inCode && (c.code || !c.inTests) {
			places = append(places, folder+" has no package comment")
		}
	}
	slices.Sort(places)
	return places
}

func notLonger(limit int) func(tree) []string {
	return each(func(f file) []string {
		if f.lines > limit {
			return []string{fmt.Sprintf("has %d lines", f.lines)}
		}
		return nil
	})
}

func narrow(t tree) []string {
	return each(func(f file) (wrong []string) {
		for _, number := range f.wide {
			wrong = append(wrong, fmt.Sprintf("has a wide comment in line %d", number))
		}
		return wrong
	})(t)
}

func noSleep(t tree) []string {
	return calls(func(f file, function string) bool {
		fakeTime := f.test() && slices.Contains(f.imports, "testing/synctest")
		return function == "time.Sleep" && !fakeTime
	})(t)
}

func noExit(t tree) []string {
	return calls(func(f file, function string) bool {
		ends := []string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln"}
		return slices.Contains(ends, function) && f.pkg != "main"
	})(t)
}
