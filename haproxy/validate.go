package haproxy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// longest is less than HAProxy's own limit for a time, which is near 24 days.
const longest = 20 * 24 * time.Hour

var hiddenPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// Validate reports every option that HAProxy would refuse, or that makes no sense, by the name of the flag that the
// programs have for it.
func (o *Options) Validate() error {
	return errors.Join(o.validateFront(), o.validateLimits(), o.validateRepeating(), o.validateTimes(), o.validateChecks())
}

func (o *Options) validateFront() error {
	var faults []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	refuse((o.TLS.Bind == "") != (o.TLS.Certificate == ""), "--tls-listen and --tls-cert: give both or neither")
	refuse(o.TLS.Bind == "" && o.TLS.RedirectPort != 0, "--https-redirect: needs --tls-listen")
	refuse(o.TLS.Bind == "" && o.TLS.HSTS != 0, "--hsts: needs --tls-listen")
	refuse(o.TLS.RedirectPort < 0 || o.TLS.RedirectPort > 65535, "--https-redirect: %d: must be a port, 1..65535", o.TLS.RedirectPort)
	refuse(o.TLS.HSTS < 0 || o.TLS.HSTS%time.Second != 0, "--hsts: %v: must be whole seconds", o.TLS.HSTS)
	refuse(o.TLS.Bind == "" && !slices.Contains([]string{"", oldestTLS}, o.TLS.MinVersion), "--ssl-min-ver: needs --tls-listen")
	refuse(!slices.Contains([]string{"", oldestTLS, "TLSv1.3"}, o.TLS.MinVersion), "--ssl-min-ver: %q: must be TLSv1.2 or TLSv1.3", o.TLS.MinVersion)
	refuse(namesNotes[o.HeaderNames] == "", "--http-restrict-req-hdr-names: %q: must be reject, delete or preserve", o.HeaderNames)
	for _, path := range o.HidePaths {
		refuse(!hiddenPath.MatchString(path), "--hide-paths: %q: must be a path like /metrics, of letters, digits and . _ ~ -", path)
	}
	return errors.Join(faults...)
}

func (o *Options) validateLimits() error {
	return errors.Join(
		CheckRange("--buffer-size", o.BufferSize, 16<<10, 1<<20),
		CheckRange("--maxconn", o.MaxConn, 1, 1_000_000),
		CheckRange("--queue-limit", o.QueueLimit, 1, 1_000_000),
		CheckRange("--retries", o.Retries, 0, 10),
	)
}

// Failures of a request: that it could not be sent, and that its server took longer than ServerTimeout.
const (
	connFailure     = "conn-failure"
	responseTimeout = "response-timeout"
)

// retryable are the failures of HAProxy 2.6 after which a request can be tried again, but for those that are others by
// another name (none, all-retryable-errors), or cannot happen where servers are asked without TLS (0rtt-rejected).
var retryable = []string{
	connFailure, "empty-response", "junk-response", responseTimeout,
	"401", "403", "404", "408", "425", "500", "501", "502", "503", "504",
}

func (o *Options) validateRepeating() error {
	var faults []error
	for i, failure := range o.RetryOn {
		switch {
		case failure == "none":
			faults = append(faults, errors.New("--retry-on: none: is --retries 0"))
		case !slices.Contains(retryable, failure):
			faults = append(faults, fmt.Errorf("--retry-on: %q: must be of %s", failure, strings.Join(retryable, ", ")))
		case slices.Contains(o.RetryOn[:i], failure):
			faults = append(faults, fmt.Errorf("--retry-on: %s: is there twice", failure))
		}
	}
	if len(faults) == 0 && !slices.Contains(o.RetryOn, connFailure) {
		faults = append(faults, fmt.Errorf("--retry-on: %s: name all failures, with %s: a request that was not sent can always be tried again (or nothing, by --retries 0)",
			strings.Join(o.RetryOn, ","), connFailure))
	}
	return errors.Join(faults...)
}

func (o *Options) validateChecks() error {
	faults := []error{CheckRange("--check-fall", o.CheckFall, 1, 10), CheckRange("--check-rise", o.CheckRise, 1, 100)}
	if o.CheckFastInterval != 0 {
		faults = append(faults, CheckTime("--check-fastinter", o.CheckFastInterval, time.Millisecond))
	}
	if o.CheckFastInterval > o.CheckInterval {
		faults = append(faults, fmt.Errorf("--check-fastinter: %v: must not be longer than --check-interval, %v", o.CheckFastInterval, o.CheckInterval))
	}
	if o.CheckDownInterval != 0 {
		faults = append(faults, CheckTime("--check-downinter", o.CheckDownInterval, 10*time.Millisecond))
	}
	return errors.Join(faults...)
}

func (o *Options) validateTimes() error {
	return errors.Join(
		CheckTime("--request-timeout", o.RequestTimeout, 100*time.Millisecond),
		CheckTime("--client-timeout", o.ClientTimeout, 100*time.Millisecond),
		CheckTime("--keep-alive-timeout", o.KeepAliveTimeout, 100*time.Millisecond),
		CheckTime("--queue-timeout", o.QueueTimeout, time.Millisecond),
		CheckTime("--connect-timeout", o.ConnectTimeout, time.Millisecond),
		CheckTime("--server-timeout", o.ServerTimeout, 10*time.Millisecond),
		CheckTime("--tunnel-timeout", o.TunnelTimeout, time.Second),
		CheckTime("--check-interval", o.CheckInterval, 10*time.Millisecond),
		CheckTime("--check-timeout", o.CheckTimeout, 10*time.Millisecond),
		CheckTime("--slowstart", o.SlowStart, 0),
		CheckTime("--hard-stop-after", o.HardStop, time.Second),
	)
}

// CheckRange is nil if a number is one of those from the least to the most.
func CheckRange(flag string, value, least, most int) error {
	if value < least || value > most {
		return fmt.Errorf("%s: %d: must be %d..%d", flag, value, least, most)
	}
	return nil
}

// CheckTime is nil if a time is at least so long, and not longer than HAProxy takes.
func CheckTime(flag string, value, least time.Duration) error {
	if value < least || value > longest {
		return fmt.Errorf("%s: %v: must be %v..%v", flag, value, least, longest)
	}
	return nil
}
