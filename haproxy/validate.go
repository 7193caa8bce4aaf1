package haproxy

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// longest is less than HAProxy's own limit for a time, which is near 24 days.
const longest = 20 * 24 * time.Hour

var hiddenPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// Validate reports every option that HAProxy would refuse, or that makes no sense, by the name of the flag that the
// programs have for it.
func (o *Options) Validate() error {
	return errors.Join(o.validateFront(), o.validateLimits(), o.validateTimes())
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
