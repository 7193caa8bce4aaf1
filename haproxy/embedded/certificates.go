package embedded

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/haproxytech/client-native/v5/models"
	"github.com/haproxytech/client-native/v5/runtime"
	"github.com/rs/zerolog"

	"zatoha/haproxy"
)

// Certificates keeps the certificates of the running HAProxy as their files are, without a reload. A file is looked at
// rather than waited for, so that it does not matter how it is replaced: written over, renamed, or by a symbolic link
// above it. Content that cannot be served is refused: HAProxy goes on with what it has. It would not start or reload
// with such a file, though.
type Certificates struct {
	path    string // of a file or a directory; "" for none
	runtime socket
	log     zerolog.Logger

	mu    sync.Mutex
	files map[string]*certificateFile // by path
}

// certificateFile is what was made of one file.
type certificateFile struct {
	haproxy.Certificate
	content [sha256.Size]byte
}

// Certificates are those of this data plane's HTTPS front. There are none if it has no such front.
func (d *DataPlane) Certificates(log zerolog.Logger) *Certificates {
	return &Certificates{path: d.options.TLS.Certificate, runtime: d.runtime, log: log, files: map[string]*certificateFile{}}
}

// certificateInterval is how often the files are looked at.
const certificateInterval = time.Second

// Run looks at the files until ctx ends.
func (c *Certificates) Run(ctx context.Context) error {
	if c.path == "" {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(certificateInterval)
	defer ticker.Stop()
	for {
		c.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// List is a copy of what is known of each file, in the order of their paths.
func (c *Certificates) List() []haproxy.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]haproxy.Certificate, 0, len(c.files))
	for _, file := range c.files {
		list = append(list, file.Certificate)
	}
	slices.SortFunc(list, func(a, b haproxy.Certificate) int { return strings.Compare(a.File, b.File) })
	return list
}

// look deals with every file whose content is new. A file that is gone keeps its place: HAProxy serves what it had
// until the next reload.
func (c *Certificates) look(ctx context.Context) {
	paths, err := certificateFiles(c.path)
	if err != nil {
		c.log.Debug().Err(err).Msg("the certificates cannot be looked for")
		return
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it is being replaced
		}
		content := sha256.Sum256(text)
		if known := c.files[path]; known != nil && known.content == content {
			continue
		}
		c.take(ctx, path, text, content)
	}
}

// certificateFiles are the files that HAProxy reads if it is given this path.
func certificateFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		other := slices.Contains([]string{".key", ".issuer", ".ocsp", ".sctl"}, filepath.Ext(entry.Name()))
		file := filepath.Join(path, entry.Name())
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && !other && entry.Name()[0] != '.' {
			files = append(files, file)
		}
	}
	return files, nil
}

// take has HAProxy serve a file's content, unless it does already. An HAProxy that does not answer is asked again at
// the next look; if it is not running, it will read the file itself.
func (c *Certificates) take(ctx context.Context, path string, text []byte, content [sha256.Size]byte) {
	known := c.files[path]
	next := &certificateFile{Certificate: haproxy.Certificate{File: path}, content: content}
	if known != nil {
		next.Names, next.NotBefore, next.NotAfter = known.Names, known.NotBefore, known.NotAfter
	}
	bundle, err := readBundle(text)
	changed := false
	if err == nil {
		changed, err = c.serve(ctx, path, bundle, known == nil)
	}
	switch {
	case errors.Is(err, errNoAnswer):
		return
	case err != nil:
		next.Refused = err.Error()
		c.log.Error().Err(err).Str("file", path).Msg("this certificate is refused, the one before goes on being served; put a good one in its place")
	default:
		next.Names, next.NotBefore, next.NotAfter = bundle.names(), bundle.leaf.NotBefore, bundle.leaf.NotAfter
	}
	if changed {
		c.log.Info().Str("file", path).Strs("names", next.Names).Time("not_after", next.NotAfter).Msg("haproxy serves another certificate")
	}
	c.mu.Lock()
	c.files[path] = next
	c.mu.Unlock()
}

// bundle is a PEM file's content as HAProxy's runtime API takes it.
type bundle struct {
	leaf *x509.Certificate
	text string // without empty lines, which would end the command
}

func readBundle(text []byte) (bundle, error) {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return bundle{}, fmt.Errorf("not a certificate and its key: %w", err)
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		return bundle{}, fmt.Errorf("it expired on %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	var blocks bytes.Buffer
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		block.Headers = nil
		if err := pem.Encode(&blocks, block); err != nil {
			return bundle{}, err
		}
	}
	return bundle{leaf: pair.Leaf, text: strings.TrimSuffix(blocks.String(), "\n")}, nil
}

func (b bundle) names() []string {
	names := slices.Clone(b.leaf.DNSNames)
	for _, ip := range b.leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{b.leaf.Subject.CommonName}
	}
	return names
}

// fingerprint is the leaf's as HAProxy shows it.
func (b bundle) fingerprint() string {
	sum := sha1.Sum(b.leaf.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// errNoAnswer says that HAProxy could not be asked.
var errNoAnswer = errors.New("haproxy does not answer")

// serve has the running HAProxy serve a certificate and says whether that changed anything. One that is new in its
// directory is added to those that HAProxy chooses from. At the first look at a file HAProxy mostly serves it already;
// later, the leaf may be the same and the chain another.
func (c *Certificates) serve(ctx context.Context, path string, b bundle, first bool) (changed bool, err error) {
	type result struct {
		changed bool
		err     error
	}
	done, err := within(ctx, func() (result, error) {
		changed, err := c.exchange(path, b, first)
		return result{changed, err}, nil
	})
	if err != nil {
		return false, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return done.changed, done.err
}

func (c *Certificates) exchange(path string, b bundle, first bool) (changed bool, err error) {
	all, err := c.runtime.api().ShowCerts()
	if err != nil || len(all) == 0 {
		return false, errNoAnswer // the library has one error for all
	}
	name := escape(path)
	if !slices.ContainsFunc(all, func(s *models.SslCertificate) bool { return s.StorageName == path }) {
		if err := c.runtime.api().NewCertEntry(name); err != nil {
			return false, brief(err)
		}
	}
	entry, err := c.runtime.api().ShowCertEntry(name)
	if err != nil {
		return false, errNoAnswer
	}
	if first && entry.Status == "Used" && entry.Sha1FingerPrint == b.fingerprint() {
		return false, nil
	}
	if err := c.runtime.api().SetCertEntry(name, b.text); err != nil {
		return false, brief(err)
	}
	if err := c.runtime.api().CommitCertEntry(name); err != nil {
		return false, brief(errors.Join(err, c.runtime.api().AbortCertEntry(name)))
	}
	if entry.Status != "Used" {
		if err := c.runtime.api().AddCrtListEntry(escape(c.path), runtime.CrtListEntry{File: name}); err != nil {
			return false, brief(err)
		}
	}
	return true, nil
}

// escape writes a path as one word of a runtime command.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, " ", `\ `, ";", `\;`).Replace(path)
}

// brief is the first line of what HAProxy says; the rest may be the manual.
func brief(err error) error {
	first, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return fmt.Errorf("haproxy says: %s", strings.TrimSpace(strings.TrimLeft(first, "[]0123456789: ")))
}
