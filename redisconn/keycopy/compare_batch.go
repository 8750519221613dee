package keycopy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// pair is what a worker reads both sides into.
type pair struct {
	replies [2]*batch
	size    *sizing
	parts   [2][][]byte
}

func newPair() *pair { return &pair{replies: [2]*batch{{}, {}}, size: newSizing(batchBytes)} }

// reset makes room for the replies to n commands.
func (b *batch) reset(n int) {
	b.buf, b.args, b.slots, b.limit = b.buf[:0], b.args[:0], growSlots(b.slots, n), batchBytes
}

// each passes the keys of a side to the workers.
func (c *comparer) each(
	ctx context.Context, side int, do func(context.Context, *pair, []string) error,
) error {
	g, ctx := errgroup.WithContext(ctx)
	names := make(chan []string, 2*c.Workers)
	g.Go(func() error {
		defer close(names)
		if err := scan(ctx, c.sides[side], c.Pacer, func(keys []string) error {
			return send(ctx, names, keys)
		}); err != nil {
			return fmt.Errorf("%s: %w", sideNames[side], err)
		}
		return nil
	})
	for range c.Workers {
		g.Go(func() error {
			w := newPair()
			for keys := range names {
				if err := do(ctx, w, keys); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// shape is what keys of one kind have in common: whether the part after the last
// colon is a number. It is a guess; a wrong one costs a second reading.
func shape(key string) string {
	last := key[strings.LastIndexByte(key, ':')+1:]
	if last == "" || last[0] >= '0' && last[0] <= '9' {
		return "#"
	}
	return last
}

func (c *comparer) guess(key string) string {
	if kind := c.shapes[shape(key)]; kind != "" {
		return kind
	}
	return "hash"
}

// compareBatch compares keys with one pipeline on each side; the type is guessed,
// and asked for if the guess was wrong. It returns the keys that did not fit.
func (c *comparer) compareBatch(
	ctx context.Context, w *pair, keys []string, note func(string, finding),
) (left []string, err error) {
	kinds := make([]string, len(keys))
	c.mu.Lock()
	for i, k := range keys {
		kinds[i] = c.guess(k)
	}
	c.mu.Unlock()
	left, wrong, err := c.readBoth(ctx, w, keys, kinds, note)
	if err != nil {
		return nil, err
	}
	if len(wrong) > 0 {
		if err := c.Source(ctx, len(wrong)); err != nil {
			return nil, err
		}
		known, err := kindsOf(ctx, c.sides[0], wrong)
		if err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
		var plain []string
		kinds = kinds[:0]
		for _, k := range wrong {
			kind := known[k]
			if kind == "stream" {
				if err := c.large(ctx, k, note); err != nil {
					return nil, err
				}
				continue
			}
			if kind == "none" { // it is gone meanwhile: whatever the target has decides
				kind = "string"
			}
			if _, _, err := redisconn.TypedRead(kind, k); err != nil {
				return nil, migration.Errorf(migration.Blocked, "compare: %w", err)
			}
			c.mu.Lock()
			if len(c.shapes) < maxShapes {
				c.shapes[strings.Clone(shape(k))] = kind
			}
			c.mu.Unlock()
			plain, kinds = append(plain, k), append(kinds, kind)
		}
		more, wrong, err := c.readBoth(ctx, w, plain, kinds, note)
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
		left = append(left, wrong...) // another type again: somebody writes
	}
	if len(left) == 1 && len(keys) == 1 {
		return nil, c.large(ctx, left[0], note)
	}
	return left, nil
}

// readBoth reads keys on both sides with commands of their supposed type and
// records the findings. left did not fit, wrong have another type on the source.
func (c *comparer) readBoth(
	ctx context.Context, w *pair, keys, kinds []string, note func(string, finding),
) (left, wrong []string, err error) {
	if len(keys) == 0 {
		return nil, nil, nil
	}
	if err := c.Source(ctx, 2*len(keys)); err != nil {
		return nil, nil, err
	}
	if err := c.Target(ctx, 2*len(keys)); err != nil {
		return nil, nil, err
	}
	var g errgroup.Group
	for side := range 2 {
		g.Go(func() error {
			if err := c.readSide(ctx, side, w.replies[side], keys, kinds); err != nil {
				return fmt.Errorf("%s: %w", sideNames[side], err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	var now [2]int64
	for side, b := range w.replies {
		if !c.absolute[side] {
			if now[side], err = serverTime(b.reply(2 * len(keys))); err != nil {
				return nil, nil, err
			}
		}
	}
	var sum int64
	for i, k := range keys {
		a, b := &w.replies[0].slots[2*i], &w.replies[1].slots[2*i]
		sum += max(a.size, b.size)
		if a.dropped || b.dropped || w.replies[0].slots[2*i+1].dropped ||
			w.replies[1].slots[2*i+1].dropped {
			left = append(left, k)
			continue
		}
		f, err := c.judge(w, i, kinds[i], now)
		if errors.Is(err, errWrongType) {
			wrong = append(wrong, k)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", k, err)
		}
		if c.see != nil && (f == equal || f == otherExpiry) {
			if w.parts[0], err = parse(w.replies[0].reply(2*i), w.parts[0][:0]); err != nil {
				return nil, nil, fmt.Errorf("key %q: %w", k, err)
			}
			c.see(k, kinds[i], w.parts[0])
		}
		note(k, f)
	}
	w.size.saw(sum, len(keys))
	c.compared(int64(len(keys)-len(left)-len(wrong)), sum)
	return left, wrong, nil
}

func (c *comparer) compared(keys, bytes int64) {
	if !c.uncounted {
		c.Keys.Add(keys)
		c.Bytes.Add(bytes)
	}
}

func (c *comparer) readSide(
	ctx context.Context, side int, b *batch, keys, kinds []string,
) error {
	b.reset(2*len(keys) + 1)
	pipe := c.sides[side].Pipeline()
	expiry := "pexpiretime"
	if !c.absolute[side] {
		expiry = "pttl"
		_ = pipe.Process(ctx, b.command(ctx, 2*len(keys), "time"))
	}
	for i, k := range keys {
		var cmd redis.Cmder
		var key any = k
		switch kinds[i] {
		case "hash":
			cmd = b.command(ctx, 2*i, "hgetall", key)
		default:
			args, _, err := redisconn.TypedRead(kinds[i], k)
			if err != nil {
				return err
			}
			cmd = b.command(ctx, 2*i, args...)
		}
		_ = pipe.Process(ctx, cmd)
		_ = pipe.Process(ctx, b.command(ctx, 2*i+1, expiry, key))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return redisconn.Explain(err)
	}
	return nil
}

var errWrongType = errors.New("of another type")
