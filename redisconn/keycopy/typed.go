package keycopy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

const (
	// chunkBytes is how much of a large value is read and written at once; an element
	// may be as large as maxValue.
	chunkBytes = 2 << 20
	// scanBytes is how much one step of a scan may give at least: a bucket with several
	// large elements comes at once.
	scanBytes = 4 * maxValue
	// chunkElements is how many elements are asked for at first.
	chunkElements = 1000
)

// copyTyped reads keys by commands of their type and writes them anew: deleted,
// written, given their expiry, in one pipeline. It takes 2 commands on the target for a
// key, 3 with an expiry.
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

// typedBatch copies keys in one pipeline on each side and gives those that found no
// room. Streams go one by one.
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

// retype writes what was read before the first key whose type had changed, and gives
// the rest to be read again.
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

// typedWriter collects commands for the target.
type typedWriter struct {
	c    *copier
	pipe redis.Pipeliner
	cmds []*redis.Cmd
}

func (c *copier) newWriter() *typedWriter { return &typedWriter{c: c, pipe: c.dst.Pipeline()} }

func (w *typedWriter) add(args ...any) {
	cmd := redis.NewCmd(context.Background(), args...)
	_ = w.pipe.Process(context.Background(), cmd)
	w.cmds = append(w.cmds, cmd)
}

// gone takes in a key that is not on the source any more.
func (w *typedWriter) gone(key string) {
	w.c.vanished.Add(1)
	if w.c.mirror {
		w.add("del", key)
	}
}

// write adds elements as the reply of the typed read gives them: of a hash field and
// value, of a sorted set member and score.
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
				mb(int64(here)), mb(maxValue))
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

// copyLarge copies one value in chunks: deleted, appended to, given its expiry. While
// it travels the key on the target is half there, and a value that somebody writes to
// meanwhile is of no one moment.
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
			"its value is above %s or the target refuses RESTORE: %w", mb(maxValue), err)
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
	if expireAt == -2 { // it went while it was copied
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

// expiry is in unix ms; -1 never, -2 there is no such key.
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

// walk reads a value in chunks of about chunkBytes, and gives elements as the typed
// read does. Elements of hashes, sets and sorted sets may come twice.
func walk(
	ctx context.Context, cl redis.UniversalClient, p *pace.Pacer, kind, key string,
	each func(parts [][]byte) error,
) error {
	n := chunkElements // as many elements, or of a string as many KB
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
			return migration.Errorf(migration.Blocked, "%d of its elements together have %s, "+
				"more than the %s that can be held at once: make them smaller on the source, "+
				"or delete the key",
				n, mb(s.size), mb(scanBytes))
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

// largeStream adds entries, counters, groups, consumers and pending entries. Those
// pending that were deleted from the stream cannot be made again.
func (c *copier) largeStream(ctx context.Context, key string, w *typedWriter) error {
	if err := c.Source(ctx, 4); err != nil {
		return err
	}
	s, err := readStreamInfo(ctx, c.src, key)
	if errors.Is(err, errGone) {
		return nil // its expiry is asked for next, and says so
	}
	if err != nil {
		return err
	}
	added, pending := int64(0), 0
	err = eachEntry(ctx, c.src, c.Pacer, key, func(id string, fields []any) error {
		added++
		w.add(append([]any{"xadd", key, id}, fields...)...)
		for _, f := range fields {
			text, _ := f.(string)
			c.Bytes.Add(int64(len(text)))
			pending += len(text)
		}
		if len(w.cmds) >= batchKeys || pending > chunkBytes {
			pending = 0
			return w.flush(ctx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if added == 0 { // a stream may be empty; trimming leaves no trace of a deletion, XDEL would
		w.add("xadd", key, "maxlen", 0, "0-1", "f", "v")
	}
	setID := []any{"xsetid", key, s.counters["last-generated-id"]}
	if n, ok := s.counters["entries-added"]; ok {
		setID = append(setID, "entriesadded", n, "maxdeletedid",
			s.counters["max-deleted-entry-id"])
	}
	w.add(setID...)
	for _, g := range s.groups {
		create := []any{"xgroup", "create", key, g.name, g.last}
		if g.read != "" {
			create = append(create, "entriesread", g.read)
		}
		w.add(create...)
		for _, consumer := range g.consumers {
			w.add("xgroup", "createconsumer", key, g.name, consumer)
		}
		err := eachPending(ctx, c.src, c.Pacer, key, g.name,
			func(id, consumer string, idle, delivered int64) error {
				w.add("xclaim", key, g.name, consumer, 0, id, "idle", idle,
					"retrycount", delivered,
					"force", "justid")
				if len(w.cmds) >= batchKeys {
					return w.flush(ctx)
				}
				return nil
			})
		if err != nil {
			return err
		}
	}
	return w.flush(ctx)
}

// streamInfo is what a stream has beside its entries.
type streamInfo struct {
	// last-generated-id and, from Redis 7 on, entries-added and max-deleted-entry-id
	counters map[string]string
	groups   []streamGroup
}

type streamGroup struct {
	name, last, read string // read: "" where it is not known
	pending          int64
	consumers        []string
}

var errGone = errors.New("the key is gone")

// readStreamInfo gives errGone for a key that is not there any more.
func readStreamInfo(
	ctx context.Context, cl redis.UniversalClient, key string,
) (*streamInfo, error) {
	info, err := cl.Do(ctx, "XINFO", "STREAM", key).Slice()
	if err != nil {
		if redis.HasErrorPrefix(err, "ERR no such key") {
			return nil, errGone
		}
		return nil, redisconn.Explain(err)
	}
	s := &streamInfo{counters: map[string]string{}}
	for name, v := range pairs(info) {
		switch name {
		case "last-generated-id", "entries-added", "max-deleted-entry-id":
			s.counters[name] = fmt.Sprint(v)
		}
	}
	groups, err := cl.Do(ctx, "XINFO", "GROUPS", key).Slice()
	if err != nil {
		return nil, redisconn.Explain(err)
	}
	for _, one := range groups {
		fields, _ := one.([]any)
		v := pairs(fields)
		g := streamGroup{name: fmt.Sprint(v["name"]), last: fmt.Sprint(v["last-delivered-id"])}
		g.pending, _ = v["pending"].(int64)
		if n, ok := v["entries-read"].(int64); ok {
			g.read = strconv.FormatInt(n, 10)
		}
		consumers, err := cl.Do(ctx, "XINFO", "CONSUMERS", key, g.name).Slice()
		if err != nil {
			return nil, redisconn.Explain(err)
		}
		for _, one := range consumers {
			fields, _ := one.([]any)
			g.consumers = append(g.consumers, fmt.Sprint(pairs(fields)["name"]))
		}
		s.groups = append(s.groups, g)
	}
	return s, nil
}

func pairs(list []any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		if name, ok := list[i].(string); ok {
			m[name] = list[i+1]
		}
	}
	return m
}

// eachEntry gives a stream's entries in chunks.
func eachEntry(
	ctx context.Context, cl redis.UniversalClient, p *pace.Pacer, key string,
	each func(id string, fields []any) error,
) error {
	from := "-"
	size := newSizing(chunkBytes)
	for {
		if err := p.Source(ctx, 1); err != nil {
			return err
		}
		n := size.keys(batchKeys, batchKeys)
		list, err := cl.Do(ctx, "XRANGE", key, from, "+", "COUNT", n).Slice()
		if err != nil {
			return redisconn.Explain(err)
		}
		var sum int64
		for _, one := range list {
			e, _ := one.([]any)
			if len(e) != 2 {
				return errors.New("unexpected answer to XRANGE")
			}
			id, _ := e[0].(string)
			fields, _ := e[1].([]any)
			for _, f := range fields {
				text, _ := f.(string)
				sum += int64(len(text))
			}
			if err := each(id, fields); err != nil {
				return err
			}
			from = "(" + id
		}
		if len(list) < n {
			return nil
		}
		size.saw(sum, n)
	}
}

// eachPending gives a group's pending entries in chunks.
func eachPending(
	ctx context.Context, cl redis.UniversalClient, p *pace.Pacer, key, group string,
	each func(id, consumer string, idle, delivered int64) error,
) error {
	from := "-"
	for {
		if err := p.Source(ctx, 1); err != nil {
			return err
		}
		list, err := cl.Do(ctx, "XPENDING", key, group, from, "+", batchKeys).Slice()
		if err != nil {
			return redisconn.Explain(err)
		}
		for _, one := range list {
			e, _ := one.([]any)
			if len(e) != 4 {
				return errors.New("unexpected answer to XPENDING")
			}
			id, _ := e[0].(string)
			consumer, _ := e[1].(string)
			idle, _ := e[2].(int64)
			delivered, _ := e[3].(int64)
			if err := each(id, consumer, idle, delivered); err != nil {
				return err
			}
			from = "(" + id
		}
		if len(list) < batchKeys {
			return nil
		}
	}
}
