package find

import (
	"fmt"
	"os/exec"
)

// FindKeepalived returns the path of the keepalived in PATH, else in the folders for system programs. Its errors are as
// those of [FindConsul].
func FindKeepalived() (path string, err error) {
	return program{
		name:    "keepalived",
		beyond:  []string{"/usr/sbin/keepalived", "/usr/local/sbin/keepalived"},
		needed:  MinimumKeepalived,
		version: "-v",
		missing: `run "go run ./deploy/tools keepalived" to install it`,
		tooOld:  "upgrade it, or put a newer one before it in PATH",
	}.find()
}

// FindIP returns the path of ip, which sets up networks. The error wraps [ErrMissing] if there is none.
func FindIP() (path string, err error) { return ofAnyVersion("ip", "iproute2") }

// FindNFT is [FindIP] for nft, which filters packets.
func FindNFT() (path string, err error) { return ofAnyVersion("nft", "nftables") }

func ofAnyVersion(name, pkg string) (path string, err error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf(`%s %w in PATH, nor in /usr/sbin: run "go run ./deploy/tools %s" to install it`, name, ErrMissing, pkg)
}
