package keycopy

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// copyLarge copies one value in chunks: deleted, appended to, given its expiry.
// While it travels the key on the target is incomplete, and if somebody writes to
// the value meanwhile the copy is not a consistent state.
func (c *copier) copyLarge(ctx context.Context, key string) error {
	err := c.large1(ctx, key)
	if err != nil {
		return fmt.Errorf("key %q, in chunks: %w", key, err)
	}
	return nil
}

func (c *copier) large1(ctx context.Context, key string) error {
	kinds, err := c.kinds(ctx, []string{key})
	if err != nil {
		return err
	}
	kind := kinds[key]
	w := c.newWriter()
	if kind == "none" {
		w.gone(key)
		return w.flush(ctx)
	}
	if _, _, err := redisconn.TypedRead(kind, key); err != nil {
		return migration.Errorf(migration.Blocked,
			"its value is above %s or the target refuses RESTORE: %w", migration.Bytes(maxValue), err)
	}
	w.add("del", key)
	if kind == "stream" {
		err = c.largeStream(ctx, key, w)
	} else {
		c.oneLarge.Lock() // each may hold scanBytes
		defer c.oneLarge.Unlock()
		err = walk(ctx, c.src, c.Pacer, kind, key, func(parts [][]byte) error {
			return w.chunk(ctx, kind, key, parts)
		})
	}
	if err != nil {
		return err
	}
	expireAt, err := c.expiry(ctx, key)
	if err != nil {
		return err
	}
	if expireAt == -2 { // deleted while it was copied
		w.add("del", key)
		c.vanished.Add(1)
		return w.flush(ctx)
	}
	if expireAt >= 0 {
		w.add("pexpireat", key, expireAt)
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	c.wrote(1, 0)
	c.typed.Add(1)
	c.large.Add(1)
	return nil
}

// expiry returns unix ms; -1 for never, -2 if there is no such key.
func (c *copier) expiry(ctx context.Context, key string) (int64, error) {
	if err := c.Source(ctx, 2); err != nil {
		return 0, err
	}
	now, err := c.src.Time(ctx).Result()
	if err != nil {
		return 0, redisconn.Explain(err)
	}
	at, err := c.src.Do(ctx, c.expiryCommand(), key).Int64()
	if err != nil {
		return 0, redisconn.Explain(err)
	}
	if at >= 0 && !c.absolute {
		at += now.UnixMilli()
	}
	return at, nil
}

// walk reads a value in chunks of about chunkBytes, and passes on elements as the
// typed read does. Elements of hashes, sets and sorted sets may come twice.
func walk(
	ctx context.Context, cl redis.UniversalClient, p *pace.Pacer, kind, key string,
	each func(parts [][]byte) error,
) error {
	n := chunkElements // as many elements, or KB of a string
	if kind == "string" {
		n = chunkBytes
	}
	cursor, at := "0", 0
	b := &batch{}
	for {
		var args []any
		switch kind {
		case "string":
			args = []any{"getrange", key, at, at + n - 1}
		case "list":
			args = []any{"lrange", key, at, at + n - 1}
		case "hash":
			args = []any{"hscan", key, cursor, "count", n}
		case "set":
			args = []any{"sscan", key, cursor, "count", n}
		case "zset":
			args = []any{"zscan", key, cursor, "count", n}
		default:
			return fmt.Errorf("type %s has no elements to walk over", kind)
		}
		if err := p.Source(ctx, 1); err != nil {
			return err
		}
		b.buf, b.args, b.slots = b.buf[:0], b.args[:0], growSlots(b.slots, 1)
		b.limit = chunkBytes + 64
		if n == 1 {
			b.limit = scanBytes
		}
		pipe := cl.Pipeline()
		_ = pipe.Process(ctx, b.command(ctx, 0, args...))
		if _, err := pipe.Exec(ctx); err != nil {
			return redisconn.Explain(err)
		}
		s := &b.slots[0]
		if s.dropped && n > 1 {
			n = max(1, int(min(int64(n)/2, int64(n)*chunkBytes/max(s.size, 1))))
			continue
		}
		if s.dropped {
			return migration.Errorf(migration.Blocked, "%d of its elements together are %s, "+
				"more than the %s that can be held at once: make them smaller on the source, "+
				"or delete the key",
				n, migration.Bytes(s.size), migration.Bytes(scanBytes))
		}
		parts, err := parse(b.reply(0), nil)
		if err != nil {
			return err
		}
		var last bool
		switch kind {
		case "string":
			last, parts = len(parts) == 0 || len(parts[0]) < n, nonEmpty(parts)
		case "list":
			last = len(parts) < n
		default:
			if len(parts) == 0 {
				return errors.New("unexpected answer to a scan")
			}
			cursor, parts = string(parts[0]), parts[1:]
			last = cursor == "0"
		}
		if len(parts) > 0 {
			if err := each(parts); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		at += n
	}
}

func nonEmpty(parts [][]byte) [][]byte {
	if len(parts) == 1 && len(parts[0]) == 0 {
		return nil
	}
	return parts
}
