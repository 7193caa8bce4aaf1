package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"zatoha/deploy/program"
)

// circumstances are the line of a report that says where and when its figures were taken.
func circumstances(ctx context.Context, p programs) string {
	programs := []string{"zatoha " + program.Version(), firstLine(ctx, p.haproxy, "-v"), firstLine(ctx, p.consul, "version")}
	if p.consulTemplate != "" {
		programs = append(programs, strings.TrimSuffix(firstLine(ctx, p.consulTemplate, "-version"), " ()"))
	}
	if p.fabio != "" {
		programs = append(programs, "fabio "+firstLine(ctx, p.fabio, "-v"))
	}
	return fmt.Sprintf("%s; %s; %d cores (%s), everything on one machine, over the loopback.",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), strings.Join(programs, ", "), runtime.NumCPU(), processor())
}

// firstLine is what a program says first, or why it says nothing.
func firstLine(ctx context.Context, name string, args ...string) string {
	output, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(string(output), "\n")
	return strings.TrimSuffix(line, " - https://haproxy.org/")
}

var modelName = regexp.MustCompile(`model name\s*: (.*)`)

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if found := modelName.FindSubmatch(text); err == nil && found != nil {
		return string(found[1])
	}
	return runtime.GOARCH
}
