package program

import (
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// servePprof serves /debug/pprof until the function that it returns is called.
func servePprof(address Loopback) (shut func(), err error) {
	listener, err := net.Listen("tcp", string(address))
	if err != nil {
		return nil, BadConfig("--pprof", err.Error(), "choose a free port or leave the flag out")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends by Close; it has nothing else to tell
	}()
	return func() {
		_ = server.Close()
		<-done
	}, nil
}
