package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config says where the API is and who we are to it.
type Config struct {
	URL      string // without the /v2, e.g. https://lb-1:5555
	User     string
	Password func() string // is asked at each call
	CAFile   string        // PEM file of who may sign the API's certificate; "" takes the system's
	CertFile string        // PEM file of our own certificate, if the API asks for one
	KeyFile  string        // and of its key
}

// String is the configuration without the password.
func (c Config) String() string { return fmt.Sprintf("%s as %q", c.URL, c.User) }

// GoString keeps the password out of "%#v" too.
func (c Config) GoString() string { return c.String() }

// Bounds of single calls. A write has haproxy check the whole file, and may reload it.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
)

// maxAnswer bounds what is read of an answer, in bytes: the configuration of 5,000 servers has about one million.
const maxAnswer = 64 << 20

// client makes single calls to the API.
type client struct {
	base     *url.URL // ends with /v2/services/haproxy
	user     string
	password func() string
	http     *http.Client
}

func newClient(config Config) (*client, error) {
	base, err := url.Parse(config.URL)
	switch {
	case err != nil:
		return nil, errors.New("the Data Plane API's URL cannot be read: give one like https://lb-1:5555") // err may show a password
	case base.User != nil:
		return nil, errors.New("the Data Plane API's URL has a user in it: give user and password by their own settings")
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, fmt.Errorf("the Data Plane API's URL %q: want one like https://lb-1:5555", config.URL)
	}
	tlsConfig, err := config.tls()
	if err != nil {
		return nil, err
	}
	return &client{
		base: base.JoinPath("v2", "services", "haproxy"), user: config.User, password: config.Password,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true,
				MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
			},
			// A redirect would take the configuration, and the password, to somebody who was not named.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (c Config) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the Data Plane API's CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the Data Plane API's CA file %s has no certificate in it: give one in PEM form", c.CAFile)
		}
	}
	if c.CertFile == "" && c.KeyFile == "" {
		return config, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("our certificate for the Data Plane API: %w: give a PEM file for each of certificate and key", err)
	}
	config.Certificates = []tls.Certificate{certificate}
	return config, nil
}

// request is one call.
type request struct {
	method  string
	path    string // below /v2/services/haproxy
	query   url.Values
	actions []string // runtime commands
	body    string
	timeout time.Duration
}

// call makes one call, decodes the JSON of a good answer into answer, if that is not nil, and returns its header. Any
// other answer is an [Error].
func (c *client) call(ctx context.Context, r request, answer any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	target := c.base.JoinPath(r.path)
	target.RawQuery = r.query.Encode()
	sent, err := http.NewRequestWithContext(ctx, r.method, target.String(), strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	sent.SetBasicAuth(c.user, c.password())
	if r.body != "" {
		sent.Header.Set("Content-Type", "text/plain")
	}
	if len(r.actions) > 0 {
		sent.Header.Set("X-Runtime-Actions", strings.Join(r.actions, ";"))
	}
	failure := &Error{Call: r.method + " " + target.String()}
	response, err := c.http.Do(sent)
	if err != nil {
		failure.err = unwrapped(err)
		return nil, failure
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		failure.err = fmt.Errorf("the answer broke off: %w", err)
		return nil, failure
	}
	if response.StatusCode/100 != 2 {
		failure.Status, failure.Message = response.StatusCode, message(body)
		return nil, failure
	}
	if answer != nil {
		if err := json.Unmarshal(body, answer); err != nil {
			failure.err = fmt.Errorf("the answer is not a Data Plane API's: %w", err)
			return nil, failure
		}
	}
	return response.Header, nil
}

// about says at which API something was found.
func (c *client) about(err error) error {
	return fmt.Errorf("the configuration at %s: %w", c.base.Host, err)
}

// unwrapped takes off what net/http says about method and URL, which [Error] says itself.
func unwrapped(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// message is what the API says in its error answers, or else the beginning of what came instead, on one line.
func message(body []byte) string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) == nil && said.Message != "" {
		return said.Message
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 200)]), "?")), " ")
}
