package program

import (
	"context"
	"net"
	"net/http"
	"strconv"
)

// Advertised is where others reach what listens at an address: where a flag says, else there, or, if that is all
// addresses of the machine, at its first.
func Advertised(listening net.Addr, flag HostPort) HostPort {
	if flag != "" {
		return flag
	}
	return specified(listening, machineAddress)
}

// Reachable is where this machine reaches a listener of its own.
func Reachable(listening net.Addr) HostPort {
	return specified(listening, func() string { return "localhost" })
}

func specified(listening net.Addr, host func() string) HostPort {
	address := HostPort(listening.String())
	if Unspecified(address.Host()) {
		return HostPort(net.JoinHostPort(host(), strconv.Itoa(address.Port())))
	}
	return address
}

// AskSelf asks a listener of this program over the network, as everybody does.
func AskSelf(ctx context.Context, listening net.Addr, path string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(Reachable(listening))+path, nil)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
