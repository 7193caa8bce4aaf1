package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// rateTime is how long to measure before an estimate is made of the rate.
const rateTime = 30 * time.Second

// compilation is one build of a program.
type compilation struct {
	built
	screen screen
	folder string // of the module that pins it
	target string // path of the program to be
}

func (b built) remedy() string {
	return "try again (what is done already is kept), or put a " + b.name + " into PATH"
}

func (c *compilation) run(ctx context.Context) error {
	c.screen.say(fmt.Sprintf("%s: there is none in PATH; building %s from its Go module; if nothing is compiled yet, that takes %s, once",
		c.name, c.release, c.takes))
	since := time.Now()
	stale, err := c.stale(ctx)
	if err != nil {
		return err
	}
	part := c.target + ".part-" + strconv.Itoa(os.Getpid())
	defer os.Remove(part)
	if err := c.compile(ctx, newProgress(c.name, stale), part); err != nil {
		return err
	}
	if err := os.Rename(part, c.target); err != nil {
		return fmt.Errorf("put %s into the cache: %w", c.name, err)
	}
	c.screen.say(c.name + ": built in " + clock(time.Since(since)))
	return nil
}

// stale asks go which packages there are to compile, and how many bytes of Go source each has. Modules that are missing
// are downloaded by this.
func (c *compilation) stale(ctx context.Context) (map[string]int64, error) {
	var downloads atomic.Int64
	output := &transcript{each: func(line string) {
		if strings.HasPrefix(line, "go: downloading ") {
			downloads.Add(1)
		}
	}}
	defer c.screen.follow(func(elapsed time.Duration) string {
		return fmt.Sprintf("%s: reading its modules, %d downloaded, %s so far", c.name, downloads.Load(), clock(elapsed))
	})()
	const perPackage = "{{if .Stale}}{{.ImportPath}}\t{{.Dir}}\t{{join .GoFiles \"\t\"}}{{end}}"
	var answer strings.Builder
	cmd := c.goCommand(ctx, output, "list", "-deps", "-f", perPackage, c.pkg)
	cmd.Stdout = &answer
	if err := cmd.Run(); err != nil {
		return nil, output.fail(ctx, "get the modules of "+c.name, err, c.remedy())
	}
	stale := sourceSizes(answer.String())
	delete(stale, c.pkg) // what it is linked from; go calls it stale for want of the program
	return stale, nil
}

// sourceSizes takes lines of import path, folder and file names, with tabs between.
func sourceSizes(packages string) map[string]int64 {
	sizes := map[string]int64{}
	for line := range strings.Lines(packages) {
		words := strings.Split(strings.TrimSpace(line), "\t")
		if len(words) < 2 {
			continue
		}
		sizes[words[0]] = 0 // it may have no files but those for cgo
		for _, name := range words[2:] {
			if info, err := os.Stat(filepath.Join(words[1], name)); err == nil {
				sizes[words[0]] += info.Size()
			}
		}
	}
	return sizes
}

func (c *compilation) compile(ctx context.Context, progress *progress, part string) error {
	output := &transcript{each: progress.begun}
	defer c.screen.follow(progress.text)()
	if err := c.goCommand(ctx, output, "build", "-v", "-ldflags=-s -w", "-o", part, c.pkg).Run(); err != nil {
		return output.fail(ctx, "build "+c.name, err, c.remedy())
	}
	return nil
}

func (c *compilation) goCommand(ctx context.Context, output *transcript, args ...string) *exec.Cmd {
	cmd := command(ctx, output, "go", args...)
	cmd.Dir = c.folder
	cmd.Env = append(cmd.Environ(), "GOWORK=off")
	return cmd
}

// progress follows the packages that `go build -v` names, each when it begins to compile it. The share that is done and
// the rate go by bytes of source, because packages differ much: measured, the estimate of the whole is right to within
// a tenth from the first minute on. Its methods are safe for concurrent use.
type progress struct {
	name         string
	stale        map[string]int64 // bytes of source, by import path
	bytes        int64            // their sum
	begunBytes   atomic.Int64
	begunPackage atomic.Int64
}

func newProgress(name string, stale map[string]int64) *progress {
	p := &progress{name: name, stale: stale}
	for _, size := range stale {
		p.bytes += size
	}
	return p
}

// begun takes a line of the output of go; only some are import paths.
func (p *progress) begun(line string) {
	if size, ok := p.stale[line]; ok {
		p.begunBytes.Add(size)
		p.begunPackage.Add(1)
	}
}

func (p *progress) text(elapsed time.Duration) string {
	packages, bytes := int(p.begunPackage.Load()), p.begunBytes.Load()
	if packages == len(p.stale) {
		return p.name + ": linking, " + clock(elapsed) + " so far"
	}
	left := ""
	if elapsed >= rateTime && bytes > 0 {
		perByte := float64(elapsed) / float64(bytes)
		left = ", about " + clock(time.Duration(perByte*float64(p.bytes-bytes)).Round(10*time.Second)) + " left"
	}
	return fmt.Sprintf("%s: package %d of %d, %d %%, %s so far%s",
		p.name, packages, len(p.stale), 100*bytes/p.bytes, clock(elapsed), left)
}
