package consul

import (
	"bytes"
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// Pair is the state of one key, whether it exists or not.
type Pair struct {
	Key         string
	Found       bool
	Value       []byte
	ModifyIndex uint64 // grows with every write of the key
}

// KeyObservation is what a watch of a key learned: its state, or why it could not be read just now.
type KeyObservation struct {
	Pair Pair // zero if Err is set
	Err  error
}

// Get reads a key. For a moment after a change of leader it may be answered from the state of the old one.
func (c *Client) Get(ctx context.Context, key string) (Pair, error) {
	return c.get(ctx, key, false)
}

// GetConsistent reads a key as Get does, but never a stale value: the leader first makes sure that it still is one.
func (c *Client) GetConsistent(ctx context.Context, key string) (Pair, error) {
	return c.get(ctx, key, true)
}

func (c *Client) get(ctx context.Context, key string, consistent bool) (Pair, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	options := api.QueryOptions{RequireConsistent: consistent}
	found, _, err := c.api.KV().Get(key, options.WithContext(ctx))
	return newPair(key, found), c.explain(fmt.Sprintf("read key %q", key), err)
}

// Put writes a key, whatever it held before.
func (c *Client) Put(ctx context.Context, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.api.KV().Put(&api.KVPair{Key: key, Value: value}, (&api.WriteOptions{}).WithContext(ctx))
	return c.explain(fmt.Sprintf("write key %q", key), err)
}

// Delete removes a key. It is no error if there is none.
func (c *Client) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.api.KV().Delete(key, (&api.WriteOptions{}).WithContext(ctx))
	return c.explain(fmt.Sprintf("delete key %q", key), err)
}

// WatchKey follows one key by the rules of [Client.Watch]. A key that does not exist is a state, not an error.
func (c *Client) WatchKey(ctx context.Context, key string, observe func(KeyObservation)) {
	ask := func(ctx context.Context, index uint64) (Pair, uint64, error) {
		pair, newIndex, err := c.pair(ctx, key, index)
		return pair, newIndex, c.explain(fmt.Sprintf("watch key %q", key), err)
	}
	equal := func(a, b Pair) bool {
		return a.Found == b.Found && a.ModifyIndex == b.ModifyIndex && bytes.Equal(a.Value, b.Value)
	}
	watch(ctx, ask, equal, func(p Pair, err error) { observe(KeyObservation{Pair: p, Err: err}) })
}

// pair asks once, and returns the index of the answer beside it.
func (c *Client) pair(ctx context.Context, key string, index uint64) (Pair, uint64, error) {
	options, cancel := c.queryOptions(ctx, index, "")
	defer cancel()
	found, meta, err := c.api.KV().Get(key, options)
	switch {
	case err != nil:
		return Pair{}, 0, err
	case meta.LastIndex == 0:
		return Pair{}, 0, errNoIndex
	}
	return newPair(key, found), meta.LastIndex, nil
}

func newPair(key string, found *api.KVPair) Pair {
	if found == nil {
		return Pair{Key: key}
	}
	return Pair{Key: key, Found: true, Value: found.Value, ModifyIndex: found.ModifyIndex}
}
