// Package secretfile reads a secret, a password or a token, from the file that holds it: for every program, and by the
// same rules, whoever may have written the file.
//
// One case: an operator writes `openssl rand -hex 32 > token` and gives `--invoke-token-file token`. [Read] returns the
// 64 characters without the line end behind them. While the file is written anew it is empty for a moment, which is an
// error: who keeps the secret by [Kept] goes on with what it was, and has the new one a second later.
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Longest is the most bytes that a secret's file may have.
const Longest = 4096

// Read returns what an ordinary file has in it, without the line ends at its end. It never waits: others, as pipes, may
// never end, and are refused. So are an empty file and one of more than [Longest] bytes. Errors name the file, and have
// no part of the secret. It is safe for concurrent use.
func Read(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is no ordinary file", path))
	}
	text, err := io.ReadAll(io.LimitReader(file, Longest+1))
	secret := strings.TrimRight(string(text), "\r\n")
	switch {
	case err != nil:
		return "", err
	case len(text) > Longest:
		return "", fmt.Errorf("%s has more than %d bytes", path, Longest)
	case secret == "":
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}
