package secretfile

import (
	"fmt"
	"sync"
	"time"
)

// Kept is a secret that may change in its file: one that is written there counts without a restart. The last good one
// stays for as long as the file has none. It is safe for concurrent use.
type Kept struct {
	path    string
	parse   func(text string) (string, error)
	changed func(error)

	mu     sync.Mutex
	secret string
	fault  string // why there is none in the file now
	looked time.Time
}

// every is the time between two looks at the file.
const every = time.Second

// Keep reads a secret for the first time. parse says whether a text is one, and what of it counts. changed, which may be
// nil, is told later, from any goroutine, of each new secret by nil, and once of each reason why there is none.
func Keep(path string, parse func(text string) (string, error), changed func(error)) (*Kept, error) {
	k := &Kept{path: path, parse: parse, changed: changed, looked: time.Now()}
	secret, err := k.read()
	k.secret = secret
	return k, err
}

func (k *Kept) read() (string, error) {
	text, err := Read(k.path)
	if err != nil {
		return "", err
	}
	secret, err := k.parse(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", k.path, err)
	}
	return secret, nil
}

// Secret is what counts now. It looks at the file if nobody did in the last second.
func (k *Kept) Secret() string {
	secret, news, err := k.look(time.Now())
	if news && k.changed != nil {
		k.changed(err)
	}
	return secret
}

// look says also whether there is something to tell: another secret, or a reason why there is none.
func (k *Kept) look(now time.Time) (secret string, news bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.looked) < every {
		return k.secret, false, nil
	}
	k.looked = now
	secret, err = k.read()
	if err != nil {
		news = k.fault != err.Error()
		k.fault = err.Error()
		return k.secret, news, fmt.Errorf("%w; the last one stays in use", err)
	}
	news = secret != k.secret || k.fault != ""
	k.secret, k.fault = secret, ""
	return secret, news, nil
}
