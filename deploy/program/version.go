package program

import (
	"runtime/debug"
	"strings"
)

// release is set for a release: -ldflags "-X zatoha/deploy/program.release=v1.2.3".
var release string

// Version says what is running: the release if the build was given one, else the module version, and the commit that
// it was built from with "+dirty" if there were uncommitted changes. It has no spaces.
func Version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return describe(release, build)
}

func describe(release string, build *debug.BuildInfo) string {
	version := release
	if version == "" {
		version = strings.Trim(build.Main.Version, "()") // "(devel)" outside a module proxy
	}
	if version == "" {
		version = "devel"
	}
	commit, dirty := "", false
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			commit = setting.Value
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	commit = commit[:min(len(commit), 12)]
	if commit != "" && !strings.Contains(version, commit) { // a pseudo-version has it
		version += "-" + commit
		if dirty {
			version += "+dirty"
		}
	}
	return version
}
