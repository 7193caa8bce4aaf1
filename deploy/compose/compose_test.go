// Package compose has a cluster in containers, to try out, and the test that it fits our programs.
//
// One case: a flag of the server is renamed. compose.yaml still sets its variable, which the server would ignore without
// a word; the test asks each program for its help, and says that there is no such variable. Where a container engine with
// compose is at hand, it has to accept the file too; where one answers, each image is built by it.
package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// file is as much of the Compose specification as compose.yaml uses. What is not here is refused.
type file struct {
	Name     string             `yaml:"name"`
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Image string `yaml:"image"`
	Build struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
		Target     string `yaml:"target"`
	} `yaml:"build"`
	Command     []string          `yaml:"command"`
	NetworkMode string            `yaml:"network_mode"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Healthcheck struct {
		Test     []string `yaml:"test"`
		Interval string   `yaml:"interval"`
		Timeout  string   `yaml:"timeout"`
		Retries  int      `yaml:"retries"`
	} `yaml:"healthcheck"`
	DependsOn map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Ulimits map[string]int `yaml:"ulimits"`
	Deploy  struct {
		Replicas int `yaml:"replicas"`
	} `yaml:"deploy"`
	StopGracePeriod string `yaml:"stop_grace_period"`
	Init            bool   `yaml:"init"`
	Restart         string `yaml:"restart"`
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	target   = regexp.MustCompile(`(?m)^FROM \S+ AS (\S+)$`)
	programs = map[string]string{"lb": "zatoha/lb", "server": "zatoha/server/cmd/server", "connectorhost": "zatoha/connectorhost"}
)

func TestTheFileFitsThePrograms(t *testing.T) {
	t.Parallel()
	var compose file
	if err := yaml.UnmarshalWithOptions([]byte(read(t, "compose.yaml")), &compose, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, match := range target.FindAllStringSubmatch(read(t, "Containerfile"), -1) {
		targets[match[1]] = true
	}
	for name, pkg := range programs {
		service, there := compose.Services[name]
		if !there || !targets[service.Build.Target] || service.Build.Target != name {
			t.Errorf("%s is built as %+v, of %v", name, service.Build, targets)
		}
		if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
		if network, shared := strings.CutPrefix(service.NetworkMode, "service:"); shared && (compose.Services[network].Image == "" || len(service.Ports) > 0) {
			t.Errorf("%s has the network of %s, and ports %q", name, network, service.Ports)
		}
		for other := range service.DependsOn {
			if _, there := compose.Services[other]; !there {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		for _, mount := range service.Volumes {
			volume, _, _ := strings.Cut(mount, ":")
			if _, there := compose.Volumes[volume]; !there {
				t.Errorf("%s mounts %s, which is not there", name, volume)
			}
		}
		help := helpOf(t, pkg)
		for variable := range service.Environment {
			if !strings.Contains(help, "$"+variable+")") && !strings.Contains(help, "$"+variable+",") {
				t.Errorf("%s has no variable %s: see its --help", name, variable)
			}
		}
	}
}

// helpOf builds a program and asks it what can be set. Its lines are joined, since they are broken anywhere.
func helpOf(t *testing.T, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	if output, err := exec.Command("go", "build", "-o", binary, pkg).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	output, err := exec.Command(binary, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return strings.Join(strings.Fields(string(output)), " ")
}

func TestAnEngineAcceptsTheFile(t *testing.T) {
	t.Parallel()
	for _, engine := range [][]string{{"docker", "compose"}, {"docker-compose"}, {"podman", "compose"}} {
		if exec.Command(engine[0], append(engine[1:], "version")...).Run() != nil {
			continue
		}
		line := append(engine[1:len(engine):len(engine)], "-f", "compose.yaml", "config", "--quiet")
		if output, err := exec.Command(engine[0], line...).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, output)
		}
		return
	}
	t.Skip("NOT RUN, for want of a container engine with compose")
}
