package keycopy

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// typedWriter collects commands for the target.
type typedWriter struct {
	c    *copier
	pipe redis.Pipeliner
	cmds []*redis.Cmd
}

// add queues a command.
//
//nolint:contextcheck // it only queues; Exec has the caller's context
func (w *typedWriter) add(args ...any) {
	cmd := redis.NewCmd(context.Background(), args...)
	_ = w.pipe.Process(context.Background(), cmd)
	w.cmds = append(w.cmds, cmd)
}

// gone records a key that is no longer on the source.
func (w *typedWriter) gone(key string) {
	w.c.vanished.Add(1)
	if w.c.mirror {
		w.add("del", key)
	}
}

// write adds elements as in the reply of the typed read: field and value of a hash,
// member and score of a sorted set.
func (w *typedWriter) write(kind, key string, parts [][]byte) {
	command := map[string]string{
		"string": "set",
		"list":   "rpush",
		"hash":   "hset",
		"set":    "sadd",
		"zset":   "zadd",
	}[kind]
	args := make([]any, 0, 2+len(parts))
	args = append(args, command, key)
	if kind == "zset" {
		for i := 0; i+1 < len(parts); i += 2 {
			args = append(args, parts[i+1], parts[i])
		}
	} else {
		for _, p := range parts {
			args = append(args, p)
		}
	}
	w.add(args...)
}

// chunk writes elements in requests of about chunkBytes.
func (w *typedWriter) chunk(ctx context.Context, kind, key string, parts [][]byte) error {
	if kind == "string" {
		w.c.Bytes.Add(int64(len(parts[0])))
		w.add("append", key, parts[0])
		return w.flush(ctx)
	}
	step := 1
	if kind == "hash" || kind == "zset" {
		step = 2
	}
	from, size := 0, 0
	for i := 0; i < len(parts); i += step {
		here := 0
		for _, p := range parts[i : i+step] {
			here += len(p)
		}
		if here > maxValue {
			return migration.Errorf(migration.Blocked, "it has an element of %s, more than "+
				"the %s that travel in one request: make it smaller on the source, or delete "+
				"the key",
				migration.Bytes(int64(here)), migration.Bytes(maxValue))
		}
		if size > 0 && size+here > chunkBytes {
			w.write(kind, key, parts[from:i])
			if err := w.flush(ctx); err != nil {
				return err
			}
			from, size = i, 0
		}
		size += here
		w.c.Bytes.Add(int64(here))
	}
	w.write(kind, key, parts[from:])
	return w.flush(ctx)
}

func (w *typedWriter) flush(ctx context.Context) error {
	if len(w.cmds) == 0 {
		return nil
	}
	if err := w.c.Target(ctx, len(w.cmds)); err != nil {
		return err
	}
	_, err := w.pipe.Exec(ctx)
	for _, cmd := range w.cmds {
		if e := cmd.Err(); e != nil && !errors.Is(e, redis.Nil) {
			var refusal redis.Error
			if errors.As(e, &refusal) {
				return writeError(fmt.Sprint(cmd.Args()[1]), e.Error())
			}
			return fmt.Errorf("write to the target: %w", redisconn.Explain(e))
		}
	}
	w.cmds, w.pipe = w.cmds[:0], w.c.dst.Pipeline()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("write to the target: %w", redisconn.Explain(err))
	}
	return nil
}

func (c *copier) newWriter() *typedWriter { return &typedWriter{c: c, pipe: c.dst.Pipeline()} }
