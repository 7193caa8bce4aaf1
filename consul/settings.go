package consul

import (
	"fmt"
	"os"

	"github.com/hashicorp/consul/api"
)

// Settings are the flags by which every program finds its Consul agent and shows itself to it. A kong grammar embeds
// them; the tags are the documentation. What else the agent wants is in the standard CONSUL_* variables.
type Settings struct {
	ConsulHTTPAddr      string `env:"CONSUL_HTTP_ADDR" default:"127.0.0.1:8500" help:"Consul agent: host:port, https://host:port or unix:///path. The other CONSUL_* variables hold too."`
	ConsulCACert        string `name:"consul-cacert" env:"CONSUL_CACERT" placeholder:"FILE" help:"Certificate of the authority that Consul's own is to be from, for an https address."`
	ConsulHTTPTokenFile string `env:"CONSUL_HTTP_TOKEN_FILE" placeholder:"FILE" help:"File with the token to show to Consul; another token in it counts at once. The token itself can be in CONSUL_HTTP_TOKEN."`
}

// Client makes a client. An error names the flag that is to blame. changed, which may be nil, is told later, from any
// goroutine, when the file with the token has another one, by nil, or has none any more, once, by the reason.
func (s Settings) Client(changed func(error)) (*Client, error) {
	const remedy = "name a file that this user can read"
	if s.ConsulCACert != "" {
		if text, err := os.ReadFile(s.ConsulCACert); err != nil {
			return nil, fmt.Errorf("--consul-cacert: %w: %s", err, remedy)
		} else if len(text) == 0 {
			return nil, fmt.Errorf("--consul-cacert: %s is empty: %s", s.ConsulCACert, remedy)
		}
	}
	token, err := keepToken(s.ConsulHTTPTokenFile, changed)
	if err != nil {
		return nil, fmt.Errorf("--consul-http-token-file: %w: %s", err, remedy)
	}
	config := api.DefaultNonPooledConfig()
	config.TLSConfig.CAFile, config.TokenFile = s.ConsulCACert, s.ConsulHTTPTokenFile // the flags have seen the variables
	client, err := newClient(config, s.ConsulHTTPAddr, token)
	if err != nil {
		return nil, fmt.Errorf("--consul-http-addr: %w", err)
	}
	return client, nil
}
