package program

import (
	"runtime/debug"
	"testing"
)

func TestDescribe(t *testing.T) {
	commit := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Key: "vcs.modified", Value: "true"},
	}
	for _, c := range []struct {
		release, module string
		settings        []debug.BuildSetting
		want            string
	}{
		{"", "", nil, "devel"},
		{"", "(devel)", nil, "devel"},
		{"", "(devel)", commit, "devel-0123456789ab+dirty"},
		{"v1.2.3", "(devel)", commit[:1], "v1.2.3-0123456789ab"},
		{"", "v0.0.0-20260102030405-0123456789ab+dirty", commit, "v0.0.0-20260102030405-0123456789ab+dirty"},
	} {
		got := describe(c.release, &debug.BuildInfo{Main: debug.Module{Version: c.module}, Settings: c.settings})
		if got != c.want {
			t.Errorf("describe(%q, %q) = %q, want %q", c.release, c.module, got, c.want)
		}
	}
}
