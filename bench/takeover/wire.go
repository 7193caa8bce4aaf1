package takeover

import (
	"context"
	"fmt"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wire is a host's way to Consul: toxiproxy, which can make a hole of it.
type wire struct{ proxy *toxiproxy.Proxy }

func newWire(consul string) (*wire, error) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(api, "consul", "127.0.0.1:0", consul)
	if err := proxy.Start(); err != nil {
		return nil, fmt.Errorf("start toxiproxy: %w", err)
	}
	return &wire{proxy}, nil
}

func (w *wire) address() string { return w.proxy.Listen }

// cut lets nothing through any more in either direction, and closes nothing.
func (w *wire) cut() error {
	for _, stream := range []string{"upstream", "downstream"} {
		toxin := fmt.Sprintf(`{"name": %q, "stream": %q, "type": "timeout", "attributes": {"timeout": 0}}`, stream, stream)
		if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(toxin)); err != nil {
			return fmt.Errorf("toxiproxy: %w", err)
		}
	}
	return nil
}

func (w *wire) mend(ctx context.Context) error {
	for _, stream := range []string{"upstream", "downstream"} {
		if err := w.proxy.Toxics.RemoveToxic(ctx, stream); err != nil {
			return fmt.Errorf("toxiproxy: %w", err)
		}
	}
	return nil
}

func (w *wire) close() { w.proxy.Stop() }
