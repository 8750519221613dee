package keycopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// tries is how often a stream is compared that vanishes meanwhile, or loses a group. The next time
// it is gone, or another.
const tries = 3

// large compares one key in chunks, or a stream.
func (c *comparer) large(ctx context.Context, key string, note func(string, finding)) error {
	f, err := c.judgeLarge(ctx, key)
	for try := 1; (errors.Is(err, errGone) || withoutGroup(err)) && try < tries; try++ {
		f, err = c.judgeLarge(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("key %q, in chunks: %w", key, err)
	}
	c.compared(1, 0)
	note(key, f)
	return nil
}

func (c *comparer) judgeLarge(ctx context.Context, key string) (finding, error) {
	var kinds [2]string
	var at [2]int64
	for side, cl := range c.sides {
		if err := c.Source(ctx, 1); err != nil {
			return "", err
		}
		known, err := kindsOf(ctx, cl, []string{key})
		if err == nil {
			kinds[side] = known[key]
			at[side], err = expiryOf(ctx, cl, c.absolute[side], key)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", sideNames[side], err)
		}
	}
	switch {
	case kinds[0] == "none" && kinds[1] == "none":
		return goneFromBoth, nil
	case kinds[0] == "none":
		return c.absent(at[1], extra), nil
	case kinds[1] == "none":
		return c.absent(at[0], missing), nil
	case kinds[0] != kinds[1]:
		return otherValue, nil
	}
	var same bool
	var err error
	if kinds[0] == "stream" {
		same, err = c.sameStream(ctx, key)
	} else {
		same, err = c.sameLarge(ctx, kinds[0], key)
	}
	switch {
	case err != nil:
		return "", err
	case !same:
		return otherValue, nil
	case !c.sameExpiry(at[0], at[1]):
		return otherExpiry, nil
	}
	return equal, nil
}

func expiryOf(
	ctx context.Context, cl redis.UniversalClient, absolute bool, key string,
) (int64, error) {
	if absolute {
		at, err := cl.Do(ctx, "PEXPIRETIME", key).Int64()
		return at, redisconn.Explain(err)
	}
	now, err := cl.Time(ctx).Result()
	if err != nil {
		return 0, redisconn.Explain(err)
	}
	at, err := cl.Do(ctx, "PTTL", key).Int64()
	if at >= 0 {
		at += now.UnixMilli()
	}
	return at, redisconn.Explain(err)
}

var errDiffers = errors.New("differs")

// sameLarge compares lengths, then walks over the source's value and looks up each
// chunk on the target.
func (c *comparer) sameLarge(ctx context.Context, kind, key string) (bool, error) {
	length := map[string]string{
		"string": "strlen",
		"list":   "llen",
		"hash":   "hlen",
		"set":    "scard",
		"zset":   "zcard",
	}[kind]
	var n [2]int64
	for side, cl := range c.sides {
		var err error
		if n[side], err = cl.Do(ctx, length, key).Int64(); err != nil {
			return false, fmt.Errorf("%s: %w", sideNames[side], redisconn.Explain(err))
		}
	}
	if n[0] != n[1] {
		return false, nil
	}
	at := 0
	var theirs error // the target's
	err := walk(ctx, c.sides[0], c.Pacer, kind, key, func(parts [][]byte) error {
		if err := c.Target(ctx, 1); err != nil {
			return err
		}
		same, err := c.sameChunk(ctx, kind, key, at, parts)
		if theirs = err; err == nil && !same {
			err = errDiffers
		}
		if err == nil && c.see != nil {
			c.see(key, kind, parts)
		}
		if at += len(parts); kind == "string" {
			at += len(parts[0]) - 1
		}
		return err
	})
	switch {
	case errors.Is(err, errDiffers):
		return false, nil
	case theirs != nil:
		return false, fmt.Errorf("target: %w", err)
	case err != nil:
		return false, fmt.Errorf("source: %w", err)
	}
	return true, nil
}

func (c *comparer) sameChunk(
	ctx context.Context, kind, key string, at int, parts [][]byte,
) (bool, error) {
	var args []any
	step := 1
	switch kind {
	case "string":
		args = []any{"getrange", key, at, at + len(parts[0]) - 1}
	case "list":
		args = []any{"lrange", key, at, at + len(parts) - 1}
	case "hash":
		args, step = []any{"hmget", key}, 2
	case "set":
		args = []any{"smismember", key}
	case "zset":
		args, step = []any{"zmscore", key}, 2
	}
	if len(args) == 2 {
		for i := 0; i < len(parts); i += step {
			args = append(args, parts[i])
		}
	}
	var raw bytes.Buffer
	pipe := c.sides[1].Pipeline()
	_ = pipe.Process(ctx, redis.NewRawWriteToCmd(ctx, &raw, args...))
	if _, err := pipe.Exec(ctx); err != nil {
		return false, redisconn.Explain(err)
	}
	c.compared(0, int64(raw.Len()))
	got, err := parse(raw.Bytes(), nil)
	if err != nil {
		return false, err
	}
	switch kind {
	case "string", "list":
		return slices.EqualFunc(parts, got, bytes.Equal), nil
	case "set":
		return len(got) == len(parts) && !slices.ContainsFunc(got, func(b []byte) bool {
			return string(b) != "1"
		}), nil
	}
	if len(got)*2 != len(parts) {
		return false, nil
	}
	for i, v := range got {
		want := parts[2*i+1]
		if v == nil || kind == "hash" && !bytes.Equal(v, want) ||
			kind == "zset" && !sameScore(v, want) {
			return false, nil
		}
	}
	return true, nil
}

// sameStream compares entries in chunks, then counters, groups, consumers and pending
// entries.
func (c *comparer) sameStream(ctx context.Context, key string) (bool, error) {
	var info [2]*streamInfo
	for side, cl := range c.sides {
		var err error
		if info[side], err = readStreamInfo(ctx, cl, key); err != nil {
			return false, fmt.Errorf("%s: %w", sideNames[side], err)
		}
	}
	if !info[0].equal(info[1]) {
		return false, nil
	}
	same, err := c.sameSequence(func(side int, each func(string) error) error {
		return eachEntry(ctx, c.sides[side], c.Pacer, key, func(id string, fields []any) error {
			return each(fmt.Sprintf("%q %q", id, fields))
		})
	})
	if err != nil || !same {
		return false, err
	}
	for _, g := range info[0].groups {
		same, err := c.sameSequence(func(side int, each func(string) error) error {
			return eachPending(ctx, c.sides[side], c.Pacer, key, g.name,
				func(id, consumer string, _, delivered int64) error {
					return each(fmt.Sprintf("%q %q %d", id, consumer, delivered))
				})
		})
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (s *streamInfo) equal(o *streamInfo) bool {
	for name, v := range s.counters {
		if other, known := o.counters[name]; known && other != v {
			return false
		}
	}
	return slices.EqualFunc(s.groups, o.groups, func(a, b streamGroup) bool {
		slices.Sort(a.consumers)
		slices.Sort(b.consumers)
		return a.name == b.name && a.last == b.last && (a.read == b.read || a.read == "" ||
			b.read == "") && a.pending == b.pending && slices.Equal(a.consumers, b.consumers)
	})
}

// sameSequence compares two sequences that are read side by side by their hashes,
// so that neither is held in memory.
func (c *comparer) sameSequence(
	read func(side int, each func(string) error) error,
) (bool, error) {
	var sums [2]sequence
	for side := range sums {
		sums[side] = newSequence()
		if err := read(side, sums[side].add); err != nil {
			return false, fmt.Errorf("%s: %w", sideNames[side], err)
		}
	}
	return sums[0].sum() == sums[1].sum(), nil
}
