package consul

import (
	"bytes"
	"context"
	"fmt"
	"slices"

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
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	found, _, err := c.api.KV().Get(key, (&api.QueryOptions{}).WithContext(ctx))
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

// DeleteUnchanged removes a key if nobody has written it since it was read with this ModifyIndex, and says whether it is
// gone.
func (c *Client) DeleteUnchanged(ctx context.Context, read Pair) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	gone, _, err = c.api.KV().DeleteCAS(&api.KVPair{Key: read.Key, ModifyIndex: read.ModifyIndex}, (&api.WriteOptions{}).WithContext(ctx))
	return gone, c.explain(fmt.Sprintf("delete key %q", read.Key), err)
}

// WatchKey follows one key by the rules of [Client.Watch], but there may be a hundred states a second, as of
// [Client.WatchClosely]. A key that does not exist is a state, not an error.
func (c *Client) WatchKey(ctx context.Context, key string, observe func(KeyObservation)) {
	ask := func(ctx context.Context, index uint64) (Pair, uint64, error) {
		pair, newIndex, err := c.pair(ctx, key, index)
		return pair, newIndex, c.explain(fmt.Sprintf("watch key %q", key), err)
	}
	watch(ctx, closely, ask, samePair, func(p Pair, err error) { observe(KeyObservation{Pair: p, Err: err}) })
}

func samePair(a, b Pair) bool {
	return a.Key == b.Key && a.Found == b.Found && a.ModifyIndex == b.ModifyIndex && bytes.Equal(a.Value, b.Value)
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

// TreeObservation is what a watch of all keys under a prefix learned, or why they could not be read just now.
type TreeObservation struct {
	Pairs []Pair // by key; nil if Err is set
	Err   error
}

// WatchTree follows all keys that begin with the prefix, by the rules of [Client.Watch], and as calmly.
func (c *Client) WatchTree(ctx context.Context, prefix string, observe func(TreeObservation)) {
	ask := func(ctx context.Context, index uint64) ([]Pair, uint64, error) {
		pairs, newIndex, err := c.tree(ctx, prefix, index)
		return pairs, newIndex, c.explain(fmt.Sprintf("watch keys under %q", prefix), err)
	}
	equal := func(a, b []Pair) bool { return slices.EqualFunc(a, b, samePair) }
	watch(ctx, calmly, ask, equal, func(pairs []Pair, err error) { observe(TreeObservation{Pairs: pairs, Err: err}) })
}

func (c *Client) tree(ctx context.Context, prefix string, index uint64) ([]Pair, uint64, error) {
	options, cancel := c.queryOptions(ctx, index, "")
	defer cancel()
	found, meta, err := c.api.KV().List(prefix, options)
	switch {
	case err != nil:
		return nil, 0, err
	case meta.LastIndex == 0:
		return nil, 0, errNoIndex
	case meta.ResultsFilteredByACLs:
		return nil, 0, errHidden
	}
	pairs := make([]Pair, 0, len(found))
	for _, pair := range found {
		pairs = append(pairs, newPair(pair.Key, pair))
	}
	return pairs, meta.LastIndex, nil
}
