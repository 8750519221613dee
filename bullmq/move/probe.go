package move

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
)

// hasContent returns one content key that the target has of a queue, "" if there is
// none.
func (m *mover) hasContent(ctx context.Context, q bullmq.Queue) (string, error) {
	var cursor uint64
	for {
		keys, next, err := m.dst.Scan(ctx, cursor, escape(q.Key(""))+"*", 1000).Result()
		if err != nil {
			return "", fmt.Errorf("scan %s: %w", q, redisconn.Explain(err))
		}
		for _, k := range keys {
			if of, part, ok := m.there.Of(k); ok && of.Same(q) && classify(part) == content {
				return k, nil
			}
		}
		if cursor = next; cursor == 0 {
			return "", nil
		}
	}
}

// probe tries the target: eviction policy, room, and the commands that the move and
// BullMQ need, including with values in the source's format.
func (m *mover) probe(ctx context.Context) ([]string, error) {
	var why []string
	info, err := infoOf(ctx, m.dst)
	if err != nil {
		return nil, err
	}
	switch policy := info["maxmemory_policy"]; {
	case policy == "" && !m.o.EvictionOff:
		why = append(why, "the target does not report its maxmemory-policy: make sure that "+
			"eviction is off, and confirm it")
	case policy != "" && policy != "noeviction":
		why = append(why, fmt.Sprintf(
			"the target's maxmemory-policy is %s: it has to be noeviction, or jobs disappear",
			policy))
	}
	size, err := m.size(ctx)
	if err != nil {
		return nil, err
	}
	limit, _ := strconv.ParseInt(info["maxmemory"], 10, 64) // 0 or absent: no limit known
	used, _ := strconv.ParseInt(info["used_memory"], 10, 64)
	if limit > 0 && limit-used < size*3/2 {
		why = append(why, fmt.Sprintf("the target has %s of %s free: the queues need about %s, "+
			"and half as much again for headroom",
			migration.Bytes(limit-used), migration.Bytes(limit), migration.Bytes(size)))
	}
	key := m.record() + ":probe"
	found, err := m.probePath(ctx, key)
	if err != nil {
		return nil, err
	}
	if !found {
		return append(why, "there is no such queue on the source"), nil
	}
	type try struct {
		what string
		args []any
	}
	var tries []try
	if m.path == keycopy.Typed { // each once, as the copy uses them
		for _, args := range [][]any{{"SET", key, "v"}, {"APPEND", key, "v"}, {"DEL", key},
			{"RPUSH", key, "v"}, {"DEL", key}, {"SADD", key, "v"}, {"DEL", key},
			{"ZADD", key, 1, "v"},
			{"DEL", key}, {"HSET", key, "f", "v"},
			{"PEXPIREAT", key, time.Now().Add(time.Hour).UnixMilli()}} {
			tries = append(tries, try{args[0].(string), args})
		}
	}
	tries = append(tries, []try{
		{"scripts", []any{"EVAL", "return redis.call('EXISTS', KEYS[1])", 1, key}},
		{"BZPOPMIN", []any{"BZPOPMIN", key + ":none", "0.01"}},
		{"XADD", []any{"XADD", key + ":stream", "MAXLEN", "~", 1, "*", "event", "probe"}},
		{"UNLINK", []any{"UNLINK", key, key + ":stream"}},
	}...)
	for _, t := range tries {
		err := m.dst.Do(ctx, t.args...).Err()
		if _, isReply := errors.AsType[redis.Error](err); err != nil &&
			!errors.Is(err, redis.Nil) {
			if !isReply {
				return nil, redisconn.Explain(err)
			}
			why = append(why,
				fmt.Sprintf("the target does not accept %s: %v", t.what,
					redisconn.Explain(err)))
		}
	}
	return why, nil
}

// probePath finds out how keys can travel: as DUMP payloads, if the source provides
// them and the target accepts them, otherwise with commands of their type. It
// returns false when the source has none of the queues.
func (m *mover) probePath(ctx context.Context, key string) (found bool, err error) {
	for _, q := range m.o.Queues {
		for _, part := range []string{"meta", "id"} { // every queue has one of these
			n, err := m.src.Exists(ctx, q.Key(part)).Result()
			if err != nil {
				return false, fmt.Errorf("%s: %w", q.Key(part), redisconn.Explain(err))
			}
			if n == 0 {
				continue
			}
			found = true
			dump, err := m.src.Dump(ctx, q.Key(part)).Result()
			if errors.Is(err, redis.Nil) { // it is gone
				continue
			}
			if err == nil {
				err = m.dst.Do(ctx, "RESTORE", key, 60_000, dump, "REPLACE").Err()
			}
			m.path = keycopy.Scan
			if _, isReply := errors.AsType[redis.Error](err); isReply {
				m.path, err = keycopy.Typed, nil
			}
			return true, redisconn.Explain(err)
		}
	}
	return found, nil
}

// size estimates the group's memory on the source in bytes, from a sample of its
// jobs, and the number of its content keys. What is asked of the source is bounded,
// however large the jobs are.
func (m *mover) size(ctx context.Context) (int64, error) {
	const (
		sample = 50
		// bytes of a hash in memory besides its large fields: 1.74 KB for 1 KB of
		// payload
		rest = 600
	)
	large := []string{"data", "opts", "returnvalue", "stacktrace"}
	var sum, seen, keys int64
	for _, q := range m.o.Queues {
		for _, part := range jobStates {
			args := []any{"LRANGE", q.Key(part), 0, sample - 1}
			if part != "wait" && part != "paused" {
				args[0] = "ZRANGE"
			}
			ids, err := m.src.Do(ctx, args...).StringSlice()
			if err != nil {
				return 0, fmt.Errorf("%s: %w", q.Key(part), redisconn.Explain(err))
			}
			var sizes []*redis.IntCmd
			there := make([]*redis.IntCmd, len(ids))
			if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
				for i, id := range ids {
					for _, field := range large {
						sizes = append(sizes, p.HStrLen(ctx, q.Key(id), field))
					}
					all := []string{q.Key(id)}
					for _, s := range sub {
						all = append(all, q.Key(id)+s)
					}
					there[i] = p.Exists(ctx, all...)
				}
			}); err != nil {
				return 0, err
			}
			for _, n := range sizes {
				sum += n.Val() * 9 / 8
			}
			for _, n := range there {
				sum += rest
				keys += n.Val()
				seen++
			}
		}
	}
	if seen == 0 {
		return 0, nil
	}
	jobs := max(m.jobs, seen)
	m.total = jobs * max(keys, 1) / seen
	return sum / seen * jobs, nil
}

// infoOf reads INFO memory.
func infoOf(ctx context.Context, c redis.UniversalClient) (map[string]string, error) {
	text, err := c.Info(ctx, "memory").Result()
	if err != nil {
		if _, isReply := errors.AsType[redis.Error](err); isReply {
			return map[string]string{}, nil
		}
		return nil, redisconn.Explain(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[k] = v
		}
	}
	return out, nil
}

// Check returns every reason why a move would be refused now, in words; none if it
// may begin or has begun. It changes nothing except keys of its own on the target,
// which it removes. Flows that reach outside the queues are found by Groups, and by
// the move itself.
func Check(ctx context.Context, src, dst redis.UniversalClient, o Options) ([]string, error) {
	m, err := newMover(src, dst, o)
	if err != nil {
		return nil, err
	}
	began, err := m.noted(ctx, m.dst, "begun")
	if err != nil {
		return nil, err
	}
	if err := m.look(ctx); err != nil {
		return nil, err
	}
	return m.preflight(ctx, began)
}

func (m *mover) counts(ctx context.Context) (map[bullmq.Queue]bullmq.Counts, error) {
	counts := map[bullmq.Queue]bullmq.Counts{}
	m.jobs = 0
	for _, q := range m.o.Queues {
		n, err := bullmq.Census(ctx, m.src, q)
		if err != nil {
			return nil, err
		}
		counts[q] = n
		m.jobs += n.Pending() + n.Completed
		// Versions before 4.18 do not say which they are.
		m.renameAttempts = m.renameAttempts || major(n.Version) < 5
	}
	return counts, nil
}
