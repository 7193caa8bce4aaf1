package embedded

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"zatoha/haproxy"
)

// TestOnlyATrustedProxySaysWhatAClientAskedFor has somebody send all headers that say it, once as a stranger, once as a
// trusted proxy, and once as a stranger with names that CGI takes for them.
func TestOnlyATrustedProxySaysWhatAClientAskedFor(t *testing.T) {
	said := []string{"x-forwarded-host", "X-Forwarded-Port", "X-FORWARDED-PREFIX", "X-Forwarded-For", "X-Real-IP"}
	asCGI := []string{"X_Forwarded_Host", "X-Forwarded_Port", "X_Real-IP", "X-Real_IP", "X_Real_Name"}
	for name, c := range map[string]struct {
		trusted, send []string
		want          string
	}{
		"a stranger":                  {nil, said, "X-Forwarded-For=127.0.0.1 X-Forwarded-Proto=http "},
		"a proxy":                     {[]string{"127.0.0.1/32"}, said, "X-Forwarded-For=6.6.6.6 X-Forwarded-Host=6.6.6.6 X-Forwarded-Port=6.6.6.6 X-Forwarded-Prefix=6.6.6.6 X-Forwarded-Proto=http X-Real-Ip=6.6.6.6 "},
		"a stranger beside a proxy":   {[]string{"10.0.0.1/32"}, said, "X-Forwarded-For=127.0.0.1 X-Forwarded-Proto=http "},
		"a stranger with other names": {nil, asCGI, "X-Forwarded-For=127.0.0.1 X-Forwarded-Proto=http X_real_name=6.6.6.6 "},
	} {
		t.Run(name, func(t *testing.T) {
			d, paths := newDataPlane(t)
			d.options.HeaderNames = "preserve"
			for _, network := range c.trusted {
				d.options.TrustedProxies = append(d.options.TrustedProxies, haproxy.Network{Prefix: netip.MustParsePrefix(network)})
			}
			serve(t, d, paths, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for _, name := range slices.Sorted(maps.Keys(r.Header)) {
					if strings.HasPrefix(name, "X") {
						fmt.Fprintf(w, "%s=%s ", name, strings.Join(r.Header[name], ","))
					}
				}
			}))
			defer server.Close()
			address := server.Listener.Addr().(*net.TCPAddr)
			must(t, set(t, d, []haproxy.Server{{Name: "slot-001", Address: address.IP.String(), Port: address.Port, Weight: 1, Admin: haproxy.Ready}}))
			conn := dial(t, d.options.Bind)
			_, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\n%s: 6.6.6.6\r\n\r\n", strings.Join(c.send, ": 6.6.6.6\r\n"))
			must(t, err)
			if got := conn.receive(t); got != c.want {
				t.Errorf("the server sees %q, want %q", got, c.want)
			}
		})
	}
}
