package keycopy

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

const (
	// chunkBytes is how much of a large value is read and written at once; a single
	// element may be as large as maxValue.
	chunkBytes = 2 << 20
	// scanBytes is the most that one step of a scan may return and still fit: a
	// bucket with several large elements comes at once.
	scanBytes = 4 * maxValue
	// chunkElements is how many elements are asked for at first.
	chunkElements = 1000
)

// copyTyped reads keys with commands of their type and recreates them: deleted,
// written, given their expiry, in one pipeline. A key takes 2 commands on the
// target, 3 with an expiry.
func (c *copier) copyTyped(ctx context.Context, keys []string) error {
	kinds, err := c.kinds(ctx, keys)
	if err != nil {
		return err
	}
	size := newSizing(batchBytes)
	size.n = batchKeys / 4
	for len(keys) > 0 {
		n := size.keys(len(keys), c.Batch)
		left, err := c.typedBatch(ctx, keys[:n], kinds, size)
		if err != nil {
			return err
		}
		if n == 1 && len(left) == 1 {
			if err := c.copyLarge(ctx, left[0]); err != nil {
				return err
			}
			left = nil
		}
		keys = append(left, keys[n:]...)
	}
	return nil
}

// kinds asks for the types of keys; "none" for those that are gone.
func (c *copier) kinds(ctx context.Context, keys []string) (map[string]string, error) {
	if err := c.Source(ctx, len(keys)); err != nil {
		return nil, err
	}
	return kindsOf(ctx, c.src, keys)
}

func kindsOf(
	ctx context.Context, cl redis.UniversalClient, keys []string,
) (map[string]string, error) {
	pipe := cl.Pipeline()
	replies := make([]*redis.StatusCmd, len(keys))
	for i, k := range keys {
		replies[i] = pipe.Type(ctx, k)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read types: %w", redisconn.Explain(err))
	}
	kinds := make(map[string]string, len(keys))
	for i, k := range keys {
		kinds[k] = replies[i].Val()
	}
	return kinds, nil
}

// typedBatch copies keys in one pipeline on each side and returns those that did
// not fit. Streams go one by one.
func (c *copier) typedBatch(
	ctx context.Context, keys []string, kinds map[string]string, size *sizing,
) (left []string, err error) {
	if err := c.Source(ctx, 2*len(keys)); err != nil {
		return nil, err
	}
	b := newBatch()
	defer b.free(c)
	b.slots = growSlots(b.slots, 2*len(keys)+1)
	b.args = b.args[:0]
	pipe := c.src.Pipeline()
	now := int64(0)
	if !c.absolute {
		_ = pipe.Process(ctx, b.command(ctx, 2*len(keys), "time"))
	}
	w := c.newWriter()
	var small, streams []string
	for _, k := range keys {
		switch kinds[k] {
		case "none":
			w.gone(k)
			continue
		case "stream":
			streams = append(streams, k)
			continue
		}
		args, _, err := redisconn.TypedRead(kinds[k], k)
		if err != nil {
			return nil, migration.Errorf(migration.Blocked,
				"the target refuses RESTORE: %w", err)
		}
		i := len(small)
		_ = pipe.Process(ctx, b.command(ctx, 2*i, args...))
		_ = pipe.Process(ctx, b.command(ctx, 2*i+1, c.expiryCommand(), k))
		small = append(small, k)
	}
	for _, k := range streams {
		if err := c.copyLarge(ctx, k); err != nil {
			return nil, err
		}
	}
	if len(small) == 0 {
		return nil, w.flush(ctx)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read from the source: %w", redisconn.Explain(err))
	}
	if !c.absolute {
		if now, err = serverTime(b.reply(2 * len(keys))); err != nil {
			return nil, err
		}
	}
	var sum, bytes int64
	written := int64(0)
	for i, k := range small {
		s := &b.slots[2*i]
		sum += s.size
		if s.dropped || b.slots[2*i+1].dropped {
			left = append(left, k)
			continue
		}
		expireAt, err := integer(b.reply(2*i + 1))
		if err != nil {
			return nil, fmt.Errorf("key %q: expiry: %w", k, err)
		}
		if expireAt >= 0 {
			expireAt += now
		}
		parts, err := parse(b.reply(2*i), nil)
		if err != nil {
			// replaced between the two readings
			if strings.HasPrefix(err.Error(), "WRONGTYPE") {
				return c.retype(ctx, append(left, small[i:]...), w, kinds)
			}
			return nil, fmt.Errorf("key %q: read from the source: %w", k, err)
		}
		if expireAt == -2 || len(parts) == 0 || kinds[k] == "string" && parts[0] == nil {
			w.gone(k)
			continue
		}
		w.add("del", k)
		w.write(kinds[k], k, parts)
		if expireAt >= 0 {
			w.add("pexpireat", k, expireAt)
		}
		written++
		bytes += s.size
	}
	size.saw(sum, len(small))
	if err := w.flush(ctx); err != nil {
		return nil, err
	}
	c.wrote(written, bytes)
	c.typed.Add(written)
	return left, nil
}

// retype writes what was read before the first key whose type had changed, and
// returns the rest to be read again.
func (c *copier) retype(
	ctx context.Context, again []string, w *typedWriter, kinds map[string]string,
) ([]string, error) {
	if err := w.flush(ctx); err != nil {
		return nil, err
	}
	fresh, err := c.kinds(ctx, again)
	for k, v := range fresh {
		kinds[k] = v
	}
	return again, err
}

func (c *copier) expiryCommand() string {
	if c.absolute {
		return "pexpiretime"
	}
	return "pttl"
}
