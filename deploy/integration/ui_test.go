package integration

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestConsulsUIListsTheCluster looks at Consul's own pages as a person would. With ZATOHA_SCREENSHOT=FILE.png it keeps
// what it saw.
func TestConsulsUIListsTheCluster(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on PATH: install the package chromium to run this test")
	}
	c := started(t, newConfig(t, 3))
	ctx := newPage(t, browser)
	base := "http://" + c.ConsulAddr + "/ui/dc1/services"

	services := read(t, ctx, base, `//a[contains(., "zato-server")]`, `//a[contains(., "zato-lb")]`)
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	instances := read(t, ctx, base+"/zato-server/instances", `//li[contains(., "All service checks passing")]`)
	for _, want := range []string{`zato-lb`, `zato-server\s+3 instances`} {
		if !regexp.MustCompile(want).MatchString(services) {
			t.Errorf("the list of services does not show %q:\n%s", want, services)
		}
	}
	if passing := regexp.MustCompile("All service checks passing").FindAllString(instances, -1); len(passing) != 3 {
		t.Errorf("%d instances are shown as passing, not 3:\n%s", len(passing), instances)
	}
	if path := os.Getenv("ZATOHA_SCREENSHOT"); path != "" {
		if err := os.WriteFile(path, picture, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// read opens a page, waits until it shows the elements, and returns its text.
func read(t *testing.T, ctx context.Context, url string, elements ...string) string {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	for _, element := range elements {
		if err := chromedp.Do(ctx, chromedp.WaitVisible(element)); err != nil {
			t.Fatalf("%s does not show %s: %v", url, element, err)
		}
	}
	text, err := chromedp.Run(ctx, chromedp.Text("body"))
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return text
}

// newPage is an empty page of a headless browser that ends with the test.
func newPage(t *testing.T, browser string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser),
		chromedp.NoSandbox, // it may run as root, and sees nothing but our own pages
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1200, 700),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := context.WithTimeout(t.Context(), 2*bound)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}
