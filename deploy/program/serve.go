package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ServeHTTP answers on the listener until ctx ends, and then finishes what is under way. A request may take as long to
// arrive as the timeout says, its answer twice as long to be taken, and all that is finished at the end as long again;
// what takes longer is broken off. The caller has set what else the server has, and leaves it alone from then on.
func ServeHTTP(ctx context.Context, listener net.Listener, server *http.Server, timeout time.Duration) error {
	server.ReadTimeout, server.WriteTimeout, server.IdleTimeout = timeout, 2*timeout, time.Minute
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("answering at %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := server.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended
	return err
}

// ByAddress says whether a request names this machine by its address, or as localhost, and by no other name, which a
// hostile page could have made point here: so whoever sent it meant this program.
func ByAddress(r *http.Request) bool {
	name, _, err := net.SplitHostPort(r.Host)
	return err == nil && (name == "localhost" || net.ParseIP(name) != nil)
}
