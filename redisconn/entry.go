package redisconn

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sort"
	"strings"

	"github.com/redis/go-redis/v9"
)

// entryReader reads keys with their typed values.
type entryReader struct {
	c redis.UniversalClient
	// absolute means that the server has PEXPIRETIME (Redis 7). Otherwise expiry is
	// TIME + PTTL, read in one transaction.
	absolute  bool
	tolerance int64 // ms by which two readings of one expiry time may differ
}

func newEntryReader(ctx context.Context, c redis.UniversalClient) *entryReader {
	r := &entryReader{c: c, absolute: AbsoluteExpiry(ctx, c)}
	if !r.absolute {
		r.tolerance = 5 // TIME is read once per transaction, PTTL rounds
	}
	return r
}

// AbsoluteExpiry reports whether the server can return the time at which a key
// expires (PEXPIRETIME, Redis 7), and not only the time left (PTTL).
func AbsoluteExpiry(ctx context.Context, c redis.UniversalClient) bool {
	return c.Do(ctx, "PEXPIRETIME", "switchyard:none").Err() == nil
}

// TypedRead returns the command that reads a whole value of a type, and whether its
// elements are unordered.
func TypedRead(kind, key string) (args []any, unordered int, err error) {
	switch kind {
	case "string":
		return []any{"GET", key}, 0, nil
	case "list":
		return []any{"LRANGE", key, 0, -1}, 0, nil
	case "hash":
		return []any{"HGETALL", key}, 2, nil
	case "set":
		return []any{"SMEMBERS", key}, 1, nil
	case "zset":
		return []any{"ZRANGE", key, 0, -1, "WITHSCORES"}, 0, nil
	case "stream":
		return []any{"XRANGE", key, "-", "+"}, 0, nil
	default:
		return nil, 0,
			fmt.Errorf("key %q has type %s, which this program cannot read", key, kind)
	}
}

// pending is one key of a transaction.
type pending struct {
	key, kind string
	unordered int
	dump      *redis.StringCmd
	expiry    *redis.Cmd
	value     *redis.Cmd
	groups    *redis.Cmd // streams only
}

// read returns the keys that exist. Value, expiry and DUMP of one key are read
// atomically.
func (r *entryReader) read(ctx context.Context, keys []string, dump bool) ([]entry, error) {
	kinds := make([]*redis.StatusCmd, len(keys))
	if _, err := r.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			kinds[i] = p.Type(ctx, k)
		}
		return nil
	}); err != nil {
		return nil, Explain(err)
	}
	tx := r.c.TxPipeline()
	now := tx.Time(ctx)
	var batch []pending
	for i, k := range keys {
		kind := kinds[i].Val()
		if kind == "none" {
			continue
		}
		args, unordered, err := TypedRead(kind, k)
		if err != nil {
			return nil, err
		}
		p := pending{key: k, kind: kind, unordered: unordered, value: tx.Do(ctx, args...)}
		if r.absolute {
			p.expiry = tx.Do(ctx, "PEXPIRETIME", k)
		} else {
			p.expiry = tx.Do(ctx, "PTTL", k)
		}
		if kind == "stream" {
			p.groups = tx.Do(ctx, "XINFO", "GROUPS", k)
		}
		if dump {
			p.dump = tx.Dump(ctx, k)
		}
		batch = append(batch, p)
	}
	if _, err := tx.Exec(ctx); err != nil && !isReply(err) {
		return nil, Explain(err)
	}
	if err := now.Err(); err != nil {
		return nil, Explain(err)
	}
	var out []entry
	for _, p := range batch {
		e, ok, err := r.entry(p, now.Val().UnixMilli(), dump)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// entry returns false for a key that disappeared between TYPE and the transaction.
func (r *entryReader) entry(p pending, now int64, dump bool) (entry, bool, error) {
	e := entry{key: p.key}
	expiry, err := p.expiry.Int64()
	if err != nil {
		return e, false, fmt.Errorf("key %q: expiry: %w", p.key, err)
	}
	if expiry == -2 {
		return e, false, nil
	}
	if e.expireAt = expiry; !r.absolute && expiry >= 0 {
		e.expireAt = now + expiry
	}
	if err := p.value.Err(); err != nil {
		return e, false, fmt.Errorf("key %q: value: %w", p.key, err)
	}
	parts := []any{p.value.Val()}
	if p.groups != nil {
		if err := p.groups.Err(); err != nil {
			return e, false, fmt.Errorf("key %q: groups: %w", p.key, err)
		}
		parts = append(parts, p.groups.Val())
	}
	e.digest = digest(p.kind, parts, p.unordered)
	if dump {
		if e.dump, err = p.dump.Result(); err != nil {
			return e, false, fmt.Errorf("key %q: DUMP: %w", p.key, err)
		}
	}
	return e, true, nil
}

// digest hashes a type and a value. With unordered n the value is a list of groups
// of n elements whose order does not matter.
func digest(kind string, parts []any, unordered int) [sha256.Size]byte {
	h := sha256.New()
	writeValue(h, kind)
	if elements, ok := parts[0].([]any); ok && unordered > 0 {
		writeUnordered(h, elements, unordered)
		parts = parts[1:]
	}
	for _, p := range parts {
		writeValue(h, p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func writeUnordered(h hash.Hash, elements []any, n int) {
	groups := make([]string, 0, len(elements)/n)
	for i := 0; i+n <= len(elements); i += n {
		var b strings.Builder
		for _, x := range elements[i : i+n] {
			s, _ := x.(string)
			b.Write(binary.AppendUvarint(nil, uint64(len(s))))
			b.WriteString(s)
		}
		groups = append(groups, b.String())
	}
	sort.Strings(groups)
	for _, g := range groups {
		writeValue(h, g)
	}
}

// writeValue writes a reply unambiguously: kind, length, content.
func writeValue(h hash.Hash, v any) {
	switch v := v.(type) {
	case nil:
		h.Write([]byte{'n'})
	case string:
		h.Write(binary.AppendUvarint([]byte{'s'}, uint64(len(v))))
		h.Write([]byte(v))
	case int64:
		h.Write(binary.AppendVarint([]byte{'i'}, v))
	case []any:
		h.Write(binary.AppendUvarint([]byte{'a'}, uint64(len(v))))
		for _, x := range v {
			writeValue(h, x)
		}
	default:
		writeValue(h, fmt.Sprint(v))
	}
}
