package move

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

const (
	// batchKeys is how many keys travel in one round trip, batchBytes how many bytes at most on the way to the target: managed services
	// refuse requests of more than 10 MB.
	batchKeys  = 500
	batchBytes = 4 << 20
	// perSource and perTarget are how many commands a key takes there, reading it back included.
	perSource = 6
	perTarget = 4
)

// copied remembers which keys are on the target, in 8 bytes each. Two keys have the same hash with odds of about n²/2^65: 1 in 30 million for a
// million keys; then a job without content could pass as one with.
type copied struct {
	seed maphash.Seed
	mu   sync.Mutex
	set  map[uint64]struct{}
}

func newCopied() *copied { return &copied{seed: maphash.MakeSeed(), set: map[uint64]struct{}{}} }

func (c *copied) add(key string)    { c.set[maphash.String(c.seed, key)] = struct{}{} }
func (c *copied) remove(key string) { delete(c.set, maphash.String(c.seed, key)) }
func (c *copied) has(key string) bool {
	_, ok := c.set[maphash.String(c.seed, key)]
	return ok
}

// pass copies keys as they are now, deletes on the target those that are gone, reads both sides back and compares them by typed value and
// expiry. It gives the keys that differ: on a living source those that changed in between, on a fenced one a fault. Copying a key again is
// harmless.
func (m *mover) pass(ctx context.Context, batches <-chan []string) (differ []string, err error) {
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	for range m.pacer.Workers {
		g.Go(func() error {
			for found := range batches {
				for keys := range slices.Chunk(found, m.pacer.Batch) {
					began := time.Now()
					d, err := m.copyBatch(ctx, keys)
					if err != nil {
						return err
					}
					mu.Lock()
					differ = append(differ, d...)
					mu.Unlock()
					m.pacer.Keys.Add(int64(len(keys)))
					m.working.Add(int64(time.Since(began)))
				}
			}
			return nil
		})
	}
	err = g.Wait()
	if err != nil {
		go func() { // whoever fills the channel must not wait for ever
			for range batches {
			}
		}()
	}
	return differ, err
}

// passList is pass over a list.
func (m *mover) passList(ctx context.Context, keys []string) ([]string, error) {
	batches := make(chan []string, len(keys)/batchKeys+1)
	for b := range slices.Chunk(keys, batchKeys) {
		batches <- b
	}
	close(batches)
	return m.pass(ctx, batches)
}

// passAll is pass over every content key of the group that SCAN finds.
func (m *mover) passAll(ctx context.Context) ([]string, error) {
	batches := make(chan []string, 2*m.pacer.Workers)
	scan, ctx := errgroup.WithContext(ctx)
	scan.Go(func() error {
		defer close(batches)
		return m.scan(ctx, m.src, m.pacer.Source, func(keys []string) error {
			select {
			case batches <- keys:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	var differ []string
	scan.Go(func() (err error) {
		differ, err = m.pass(ctx, batches)
		return err
	})
	return differ, scan.Wait()
}

// scan gives every content key of the group, in batches. pace, if not nil, is asked before each command.
func (m *mover) scan(ctx context.Context, c redis.UniversalClient, pace func(context.Context, int) error, batch func([]string) error) error {
	for _, q := range m.o.Queues {
		var cursor uint64
		var keys []string
		for {
			if pace != nil {
				if err := pace(ctx, 1); err != nil {
					return err
				}
			}
			found, next, err := c.Scan(ctx, cursor, escape(q.Key(""))+"*", 1000).Result()
			if err != nil {
				return fmt.Errorf("scan %s: %w", q, redisconn.Explain(err))
			}
			for _, k := range found {
				if classify(strings.TrimPrefix(k, q.Key(""))) == content {
					keys = append(keys, k)
				}
			}
			for len(keys) >= batchKeys || next == 0 && len(keys) > 0 {
				n := min(batchKeys, len(keys))
				if err := batch(keys[:n:n]); err != nil {
					return err
				}
				keys = keys[n:]
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	return nil
}

// escape makes a literal of a key for MATCH.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(s)
}

// value is one key as it was read. Values hold the reply of the typed read, with the elements of hashes and sets in sorted order.
type value struct {
	kind   string
	expiry int64 // ms; -1 none
	parts  []string
}

func (v value) equal(w value) bool {
	late := v.expiry - w.expiry
	return v.kind == w.kind && late <= expiryTolerance && late >= -expiryTolerance && (v.expiry < 0) == (w.expiry < 0) && slices.Equal(v.parts, w.parts)
}

// expiryTolerance, in ms: without PEXPIRETIME (Redis 7) an expiry is the sum of two readings.
const expiryTolerance = 1000

func (m *mover) copyBatch(ctx context.Context, keys []string) (differ []string, err error) {
	dumps := make([]*redis.StringCmd, len(keys))
	ttls := make([]*redis.DurationCmd, len(keys))
	kinds := make([]*redis.StatusCmd, len(keys))
	var now *redis.TimeCmd
	if err := m.pacer.Source(ctx, 3*len(keys)+1); err != nil {
		return nil, err
	}
	if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
		now = p.Time(ctx)
		for i, k := range keys {
			dumps[i], ttls[i], kinds[i] = p.Dump(ctx, k), p.PTTL(ctx, k), p.Type(ctx, k)
		}
	}); err != nil {
		return nil, fmt.Errorf("read from the source: %w", err)
	}
	if err := now.Err(); err != nil {
		return nil, fmt.Errorf("read from the source: %w", redisconn.Explain(err))
	}
	var writes []write
	var gone, hashes []string
	for i, k := range keys {
		dump, err := dumps[i].Result()
		if err == redis.Nil {
			gone = append(gone, k)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("key %q: read from the source: %w", k, redisconn.Explain(err))
		}
		w := write{key: k, dump: dump}
		if ttl := ttls[i].Val(); ttl > 0 {
			w.expireAt = now.Val().Add(ttl).UnixMilli()
		} else if strings.HasSuffix(k, ":limiter") {
			continue // without an end it would be a limit that never counts again
		}
		writes = append(writes, w)
		if kinds[i].Val() == "hash" {
			hashes = append(hashes, k)
		}
	}
	if err := m.write(ctx, writes, gone); err != nil {
		return nil, err
	}
	if m.renameAttempts && len(hashes) > 0 {
		if err := m.pacer.Target(ctx, 1); err != nil {
			return nil, err
		}
		if err := renameAttempts.Run(ctx, m.dst, hashes).Err(); err != nil {
			return nil, fmt.Errorf("write to the target: %w", redisconn.Explain(err))
		}
	}
	return m.compare(ctx, keys)
}

// write is one key on its way to the target.
type write struct {
	key, dump string
	expireAt  int64 // unix ms; 0 never
}

// write restores keys on the target and deletes others, in requests of at most batchBytes.
func (m *mover) write(ctx context.Context, writes []write, gone []string) error {
	for len(writes) > 0 || len(gone) > 0 {
		n, size := 0, 0
		for n < len(writes) && (n == 0 || size+len(writes[n].dump) <= batchBytes) {
			size += len(writes[n].dump)
			n++
		}
		replies := make([]*redis.Cmd, n)
		if err := m.pacer.Target(ctx, n+min(1, len(gone))); err != nil {
			return err
		}
		err := pipe(ctx, m.dst, func(p redis.Pipeliner) {
			for i, w := range writes[:n] {
				args := []any{"RESTORE", w.key, w.expireAt, w.dump, "REPLACE"}
				if w.expireAt != 0 {
					args = append(args, "ABSTTL")
				}
				replies[i] = p.Do(ctx, args...)
			}
			if len(gone) > 0 {
				p.Unlink(ctx, gone...)
			}
		})
		if err != nil {
			return fmt.Errorf("write to the target: %w", err)
		}
		for i, r := range replies {
			if err := r.Err(); err != nil {
				return fmt.Errorf("key %q: write to the target: %w", writes[i].key, redisconn.Explain(err))
			}
			m.pacer.Bytes.Add(int64(len(writes[i].dump)))
		}
		writes, gone = writes[n:], nil
	}
	return nil
}

// compare reads keys from both sides and gives those that differ. On the way it sees what cannot be moved: see inspect.
func (m *mover) compare(ctx context.Context, keys []string) (differ []string, err error) {
	var there, here map[string]value
	if err := m.pacer.Source(ctx, 3*len(keys)+1); err != nil {
		return nil, err
	}
	if err := m.pacer.Target(ctx, 3*len(keys)+1); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { there, err = read(gctx, m.src, keys); return err })
	g.Go(func() (err error) { here, err = read(gctx, m.dst, keys); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	m.copied.mu.Lock()
	defer m.copied.mu.Unlock()
	for _, k := range keys {
		want, ok := there[k]
		if got, also := here[k]; ok && strings.HasSuffix(k, ":limiter") && want.expiry < 0 {
			ok = also
			want = got
		}
		if m.renameAttempts && want.kind == "hash" {
			want.parts = withNewNames(want.parts)
		}
		if got, also := here[k]; ok != also || ok && !want.equal(got) {
			differ = append(differ, k)
		}
		if !ok {
			m.copied.remove(k)
			continue
		}
		m.copied.add(k)
		m.inspect(k, want)
	}
	return differ, nil
}

// withNewNames is what renameAttempts makes of a hash, sorted as read gives it.
func withNewNames(parts []string) []string {
	fields := map[string]string{}
	for i := 0; i+1 < len(parts); i += 2 {
		fields[parts[i]] = parts[i+1]
	}
	for old, name := range map[string]string{"attemptsMade": "atm", "attemptsStarted": "ats"} {
		if n, ok := fields[old]; ok {
			if _, ok := fields[name]; !ok {
				fields[name] = n
			}
			delete(fields, old)
		}
	}
	out := make([]string, 0, len(parts))
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		out = append(out, k, fields[k])
	}
	return out
}

// inspect remembers which queues outside the group a key of a flow names. m.copied is locked.
func (m *mover) inspect(key string, v value) {
	note := func(other string) {
		if _, _, ok := m.queueOf(other); !ok {
			if at := strings.LastIndexByte(other, ':'); at > 0 {
				m.outside[other[:at]] = key
			}
		}
	}
	switch {
	case v.kind == "hash" && !strings.HasSuffix(key, ":processed") && !strings.HasSuffix(key, ":failed"):
		for i := 0; i+1 < len(v.parts); i += 2 {
			if v.parts[i] == "parentKey" && v.parts[i+1] != "" {
				note(v.parts[i+1])
			}
		}
	case v.kind == "set" && strings.HasSuffix(key, ":dependencies"):
		for _, child := range v.parts {
			note(child)
		}
	}
}

// read gives the keys that exist, by typed value.
func read(ctx context.Context, c redis.UniversalClient, keys []string) (map[string]value, error) {
	kinds := make([]*redis.StatusCmd, len(keys))
	if err := pipe(ctx, c, func(p redis.Pipeliner) {
		for i, k := range keys {
			kinds[i] = p.Type(ctx, k)
		}
	}); err != nil {
		return nil, err
	}
	values := make([]*redis.Cmd, len(keys))
	ttls := make([]*redis.Cmd, len(keys))
	var now *redis.TimeCmd
	if err := pipe(ctx, c, func(p redis.Pipeliner) {
		now = p.Time(ctx)
		for i, k := range keys {
			if args, _, err := redisconn.TypedRead(kinds[i].Val(), k); err == nil && kinds[i].Val() != "stream" {
				values[i], ttls[i] = p.Do(ctx, args...), p.Do(ctx, "PTTL", k)
			}
		}
	}); err != nil {
		return nil, err
	}
	out := make(map[string]value, len(keys))
	for i, k := range keys {
		kind, err := kinds[i].Result()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, redisconn.Explain(err))
		}
		if kind == "none" {
			continue
		}
		if values[i] == nil {
			return nil, migration.Errorf(migration.Blocked, "key %q has type %q, which no part of a BullMQ queue has", k, kind)
		}
		ttl, err := ttls[i].Int64()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, redisconn.Explain(err))
		}
		if ttl == -2 {
			continue
		}
		if ttl >= 0 {
			ttl += now.Val().UnixMilli()
		}
		reply, err := values[i].Result()
		if err != nil && err != redis.Nil {
			if strings.HasPrefix(err.Error(), "WRONGTYPE") { // replaced between the two readings
				reply = "WRONGTYPE"
			} else {
				return nil, fmt.Errorf("key %q: %w", k, redisconn.Explain(err))
			}
		}
		out[k] = value{kind: kind, expiry: ttl, parts: sorted(kind, reply)}
	}
	return out, nil
}

// sorted gives the strings of a reply; fields of a hash and members of a set, whose order means nothing, sorted.
func sorted(kind string, reply any) []string {
	list, ok := reply.([]any)
	if !ok {
		s, _ := reply.(string)
		return []string{s}
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, _ := x.(string)
		out = append(out, s)
	}
	switch kind {
	case "set":
		slices.Sort(out)
	case "hash":
		fields := make(map[string]string, len(out)/2)
		for i := 0; i+1 < len(out); i += 2 {
			fields[out[i]] = out[i+1]
		}
		out = out[:0]
		for _, k := range slices.Sorted(maps.Keys(fields)) {
			out = append(out, k, fields[k])
		}
	}
	return out
}

// pipe sends commands in one round trip. The error is that of the connection; a command's own error stays with it.
func pipe(ctx context.Context, c redis.UniversalClient, fill func(redis.Pipeliner)) error {
	p := c.Pipeline()
	fill(p)
	if p.Len() == 0 {
		return nil
	}
	cmds, err := p.Exec(ctx)
	if err == nil {
		return nil
	}
	for _, cmd := range cmds {
		if _, isReply := cmd.Err().(redis.Error); cmd.Err() != nil && !isReply {
			return redisconn.Explain(cmd.Err())
		}
	}
	if _, isReply := err.(redis.Error); !isReply {
		return redisconn.Explain(err)
	}
	return nil
}
