package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
)

// folder is where everything is kept. Only its owner may read it.
type folder struct {
	path string
	log  zerolog.Logger
}

// get reads a file, nil if there is none.
func (f folder) get(name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(f.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// put writes a file at one stroke, unless it is as it should be.
func (f folder) put(name string, text []byte) error {
	have, err := f.get(name)
	if err != nil {
		return err
	}
	if have != nil && bytes.Equal(have, text) {
		return nil
	}
	path := filepath.Join(f.path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	f.log.Info().Str("file", path).Bool("new", have == nil).Msg("written")
	return nil
}

// remove deletes a file, and says whether there was one.
func (f folder) remove(name string) (removed bool, err error) {
	err = os.Remove(filepath.Join(f.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f folder) pair(name string) (p pair, err error) {
	if p.cert, err = f.get(name + ".pem"); err != nil {
		return pair{}, err
	}
	p.key, err = f.get(name + "-key.pem")
	return p, err
}

func (f folder) putPair(name string, p pair) error {
	return errors.Join(f.put(name+"-key.pem", p.key), f.put(name+".pem", p.cert))
}

func (f folder) secrets() (*secrets, error) {
	text, err := f.get(secretsFile)
	if err != nil || text == nil {
		return &secrets{}, err
	}
	kept := &secrets{}
	if err := json.Unmarshal(text, kept); err != nil {
		return nil, fmt.Errorf("%s: %w: put it right, or restore it: without it the datacenter's tokens are lost",
			filepath.Join(f.path, secretsFile), err)
	}
	return kept, nil
}
