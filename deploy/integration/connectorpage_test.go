package integration

import (
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp"

	"zatoha/deploy/freeport"
)

func TestTheStatusPageShowsWhoRunsTheConnectors(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on PATH: install the package chromium to run this test")
	}
	c := started(t, withHosts(t, newConfig(t, 1), 3))
	define(t, c, "connectors/ticks", map[string]any{
		"name": "ticks", "kind": "zmq", "role": "channel", "service": "demo.log",
		"socket_type": "PULL", "socket_method": "bind", "address": "tcp://" + freeport.For(t),
	})
	define(t, c, "connectors/odd", map[string]any{"name": "odd", "kind": "smtp"})
	host, before := activeHost(t, c, 0, 1)
	ctx := newPage(t, browser)
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+c.Admin+"/")); err != nil {
		t.Fatal(err)
	}
	const section = `document.querySelector("[data-key=connectors]")`
	shows(t, ctx, section+`.querySelectorAll(".hosts tr.up").length === 1 && `+section+`.querySelectorAll(".hosts tr.out").length === 2`)
	shows(t, ctx, section+`.querySelector("[data-key=ticks]").className === "up"`)
	shows(t, ctx, section+`.querySelector(".refused").textContent.includes("odd")`)
	shows(t, ctx, `document.querySelector(".risks").textContent.includes("1 connector's definition is refused")`)
	keep(t, ctx, "light-connectors")

	c.Hosts[host].Kill()
	activeHost(t, c, before.Epoch, 1)
	t.Logf("shown away %s after another runs", shows(t, ctx, section+`.querySelectorAll(".hosts tr.down").length === 1`))
	shows(t, ctx, section+`.querySelectorAll(".hosts tr.up").length === 1`)
	shows(t, ctx, section+`.querySelector("[data-key=ticks]").className === "up"`)
	keep(t, ctx, "light-connectors-moved")
}
