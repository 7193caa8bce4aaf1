package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"zatoha/deploy/cluster"
)

// TestTheStatusPageKeepsItselfUpToDate looks at the page as a person would who opens it once and watches what happens
// to the cluster. With ZATOHA_SCREENSHOTS=FOLDER it keeps what it saw.
func TestTheStatusPageKeepsItselfUpToDate(t *testing.T) {
	c, ctx := watchedCluster(t)
	shows(t, ctx, `document.querySelectorAll("tr.up").length === 3`)
	shows(t, ctx, `document.querySelector("h1").textContent === "healthy 3 of 3 servers take traffic"`)
	shows(t, ctx, `getComputedStyle(document.querySelector("svg.sign")).width === "44px"`) // its style is let through
	keep(t, ctx, "light-healthy")

	// What a reload, or a page drawn anew, would lose.
	does(t, ctx, `window.other = `+rowOf(c, 0)+`, getSelection().selectAllChildren(document.querySelector("h2"))`)
	c.Servers[1].Kill()
	t.Logf("shown out of rotation %s after the kill", shows(t, ctx, rowOf(c, 1)+`.className === "down"`))
	shows(t, ctx, `document.querySelector("h1").textContent === "at risk 2 of 3 servers take traffic"`)
	shows(t, ctx, `document.querySelector(".risks").textContent.includes("1 server fails")`)
	shows(t, ctx, `window.other.isConnected && getSelection().toString() === "What would break it"`)
	does(t, ctx, `getSelection().removeAllRanges()`)
	keep(t, ctx, "light-failing")
	if err := c.StartServer(1); err != nil {
		t.Fatal(err)
	}
	t.Logf("shown in rotation %s after its start", shows(t, ctx, `document.querySelectorAll("tr.up").length === 3`))
	shows(t, ctx, `window.other.isConnected`)
}

func TestTheStatusPageSaysThatTheControllerIsSilent(t *testing.T) {
	c, ctx := watchedCluster(t)
	shows(t, ctx, `document.querySelectorAll("tr.up").length === 3 && document.querySelector("#silence").hidden`)
	c.LB.Kill()
	t.Logf("said %s after the kill", shows(t, ctx,
		`/^The controller has not answered since .*\d.*\.$/.test(document.querySelector("[role=alert]").textContent)`))
	shows(t, ctx, `!document.querySelector("#silence").hidden && document.title.startsWith("? ")`)
	keep(t, ctx, "light-silent")
	if err := c.StartLB(); err != nil {
		t.Fatal(err)
	}
	t.Logf("taken back %s after its start", shows(t, ctx, `document.querySelector("#silence").hidden && !document.title.startsWith("? ")`))
	shows(t, ctx, `document.querySelector("[data-key=haproxy]").textContent.includes("adopted")`)
}

func TestTheStatusPageFitsAPhoneAndTheNight(t *testing.T) {
	c, ctx := watchedCluster(t)
	shows(t, ctx, `document.querySelectorAll("tr.up").length === 3`)
	const ground, fits = `getComputedStyle(document.body).backgroundColor`, `document.documentElement.scrollWidth <= innerWidth`
	shows(t, ctx, fits)
	shows(t, ctx, ground+` === "rgb(246, 247, 249)"`)
	c.Servers[2].Kill()
	shows(t, ctx, `document.querySelectorAll("tr.down").length === 1`)
	setScheme(t, ctx, "dark")
	shows(t, ctx, ground+` === "rgb(15, 18, 22)"`)
	keep(t, ctx, "dark-failing")
	for _, width := range []int64{390, 320} {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 844, chromedp.EmulateMobile)); err != nil {
			t.Fatal(err)
		}
		shows(t, ctx, fits)
		keep(t, ctx, fmt.Sprintf("dark-phone-%d", width))
	}
	setScheme(t, ctx, "light")
	keep(t, ctx, "light-phone")
}

// watchedCluster is a running cluster of three servers and a browser that has its status page open.
func watchedCluster(t *testing.T) (*cluster.Cluster, context.Context) {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on PATH: install the package chromium to run this test")
	}
	c := started(t, newConfig(t, 3))
	ctx := newPage(t, browser)
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+c.Admin+"/")); err != nil {
		t.Fatal(err)
	}
	setScheme(t, ctx, "light")
	return c, ctx
}

// rowOf is server i's row in the open page, in JavaScript.
func rowOf(c *cluster.Cluster, i int) string {
	return `[...document.querySelectorAll("tr")].find((row) => row.textContent.includes("` + c.Config.Servers[i] + `"))`
}

// shows waits until a condition in JavaScript holds in the open page and says how long that took.
func shows(t *testing.T, ctx context.Context, condition string) time.Duration {
	t.Helper()
	since := time.Now()
	eventually(t, func() error {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		if err == nil && !holds {
			text, _ := chromedp.Run(ctx, chromedp.Text("body"))
			err = fmt.Errorf("%s does not hold: %s", condition, text)
		}
		return err
	})
	return time.Since(since)
}

// does evaluates an expression in the page for what it does there.
func does(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](expression)); err != nil {
		t.Fatal(err)
	}
}

func setScheme(t *testing.T, ctx context.Context, scheme string) {
	t.Helper()
	feature := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: scheme}
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{feature}})
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// keep takes a picture of the whole page if somebody wants to see it.
func keep(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("ZATOHA_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
