package keycopy

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// writeAll restores batches.
func (c *copier) writeAll(ctx context.Context, in <-chan *batch) error {
	for b := range in {
		if err := c.writeBatch(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// writeBatch restores a batch and frees it; what the target refuses is copied by
// type.
func (c *copier) writeBatch(ctx context.Context, b *batch) error {
	refused, err := c.restore(ctx, b)
	b.free(c)
	if err != nil || len(refused) == 0 {
		return err
	}
	return c.copyTyped(ctx, refused)
}

// restore writes a batch in one pipeline and returns the keys whose payload the
// target refused.
func (c *copier) restore(ctx context.Context, b *batch) (refused []string, err error) {
	if err := c.Target(ctx, len(b.items)+len(b.gone)); err != nil {
		return nil, err
	}
	answers := newBatch()
	defer answers.free(c)
	answers.slots = growSlots(answers.slots, len(b.items)+len(b.gone))
	answers.args = answers.args[:0]
	pipe := c.dst.Pipeline()
	for i, it := range b.items {
		payload := b.buf[it.from:it.to:it.to]
		if it.expireAt == 0 {
			_ = pipe.Process(ctx,
				answers.command(ctx, i, "restore", it.key, zero, payload, "replace"))
		} else {
			_ = pipe.Process(ctx, answers.command(ctx, i, "restore", it.key, it.expireAt,
				payload, "replace", "absttl"))
		}
	}
	for i, k := range b.gone {
		_ = pipe.Process(ctx, answers.command(ctx, len(b.items)+i, "unlink", k))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("write to the target: %w", redisconn.Explain(err))
	}
	for i, k := range b.gone {
		if _, err := integer(answers.reply(len(b.items) + i)); err != nil {
			return nil, writeError(k, err.Error())
		}
	}
	var keys, bytes int64
	for i, it := range b.items {
		answer := answers.reply(i)
		if len(answer) > 0 && answer[0] == '+' {
			keys++
			bytes += int64(it.to - it.from)
			continue
		}
		text := errorText(answer)
		switch {
		case isDenied(text), strings.Contains(text, "payload version"):
			c.refuses.Store(true)
			refused = append(refused, it.key)
		case strings.Contains(text, "Bad data format"), strings.Contains(text, "request size"):
			refused = append(refused, it.key)
		default:
			return nil, writeError(it.key, text)
		}
	}
	c.wrote(keys, bytes)
	return refused, nil
}

// wrote counts. The caller of a mirror counts keys itself.
func (c *copier) wrote(keys, bytes int64) {
	if !c.mirror {
		c.Keys.Add(keys)
	}
	c.Bytes.Add(bytes)
}

var zero any = int64(0)

// writeError says what to do about the target's reply.
func writeError(key, text string) error {
	switch {
	case strings.HasPrefix(text, "OOM"), strings.Contains(text, "capacity quota exceeded"):
		return migration.Errorf(migration.Blocked, "key %q: the target is full (%s): give it "+
			"more memory, then run this again (a copy: with overwrite)", key, text)
	case strings.HasPrefix(text, "READONLY"):
		return migration.Errorf(migration.Blocked,
			"key %q: the target is a replica (%s): use its master as the target", key, text)
	}
	return fmt.Errorf("key %q: write to the target: %s", key, text)
}

// isDenied reports whether a server does not have a command or denies it to this
// user.
func isDenied(text string) bool {
	text = strings.ToLower(text)
	return strings.HasPrefix(text, "noperm") || strings.Contains(text, "unknown command") ||
		strings.Contains(text, "not supported") || strings.Contains(text, "not allowed by")
}
