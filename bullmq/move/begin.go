package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
)

// begin checks that the move can be exact, then pauses the target and notes on both
// servers how it found them. It may be repeated.
func (m *mover) begin(ctx context.Context) error {
	m.tell("begin", 0)
	began, err := m.noted(ctx, m.dst, "begun")
	if err != nil {
		return err
	}
	counts, err := m.counts(ctx)
	if err != nil {
		return err
	}
	why, err := m.preflight(ctx, counts, began)
	if err != nil {
		return err
	}
	if len(why) > 0 {
		return migration.Errorf(migration.Blocked, "nothing was changed: %s",
			strings.Join(why, "; "))
	}
	m.mirror = keycopy.NewMirror(ctx, m.src, m.dst, m.path, m.pacer, m.see)
	m.pacer.PerKey(m.mirror.Commands())
	// What an earlier attempt, or an earlier move, copied may be gone from the source
	// since: a job that came back under the same id would count as a duplicate and
	// never run.
	if began || m.o.Replaces != "" {
		if err := m.wipeContent(ctx); err != nil {
			return err
		}
	}
	for _, q := range m.o.Queues {
		if err := m.beginQueue(ctx, q, counts[q]); err != nil {
			return err
		}
	}
	if err := m.dst.HSet(ctx, m.record(), "begun", "1").Err(); err != nil {
		return fmt.Errorf("note the beginning of the move: %w", redisconn.Explain(err))
	}
	return nil
}

// beginQueue notes, once, whether each side was paused, and where the target's counter
// begins.
func (m *mover) beginQueue(ctx context.Context, q bullmq.Queue, n bullmq.Counts) error {
	base := q.Key("")
	err := m.src.HSetNX(ctx, m.record(), "paused:"+base, bit(n.Paused)).Err()
	if err != nil {
		return fmt.Errorf("note the beginning of the move: %w", redisconn.Explain(err))
	}
	there, err := bullmq.Census(ctx, m.dst, q)
	if err != nil {
		return err
	}
	paused := bit(there.Paused)
	if m.o.Replaces != "" { // that move paused it; what counts is how it was before
		if was, err := m.dst.HGet(ctx, "switchyard:move:"+m.o.Replaces,
			"paused:"+base).Result(); err == nil {
			paused = was
		} else if !errors.Is(err, redis.Nil) {
			return fmt.Errorf("read the record of move %s: %w", m.o.Replaces,
				redisconn.Explain(err))
		}
	}
	if err := m.dst.HSetNX(ctx, m.record(), "paused:"+base, paused).Err(); err != nil {
		return fmt.Errorf("note the beginning of the move: %w", redisconn.Explain(err))
	}
	if err := bullmq.Pause(ctx, m.dst, q); err != nil {
		return err
	}
	id, err := m.src.Get(ctx, q.Key("id")).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("%s: %w", q.Key("id"), redisconn.Explain(err))
	}
	// The counter and the note of it in one script: a second attempt must not take the
	// first one's head start for use by producers.
	if err := startScript.Run(ctx, m.dst, []string{m.record(), q.Key("id")}, "start:"+base,
		id+headStart).Err(); err != nil {
		return fmt.Errorf("set the target's counter: %w", redisconn.Explain(err))
	}
	return nil
}

// KEYS: record, id. ARGV: field of the record, where the counter begins unless it is
// higher.
var startScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
local id = tonumber(redis.call('GET', KEYS[2]) or '0') or 0
if id < tonumber(ARGV[2]) then redis.call('SET', KEYS[2], ARGV[2]) end
redis.call('HSET', KEYS[1], ARGV[1], redis.call('GET', KEYS[2]))
return 1
`)

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// preflight gives the reasons why the move cannot be exact.
func (m *mover) preflight(
	ctx context.Context, counts map[bullmq.Queue]bullmq.Counts, began bool,
) ([]string, error) {
	var why []string
	add := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	for _, q := range m.o.Queues {
		n := counts[q]
		legacy, err := m.legacyRepeatables(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(legacy) > 0 {
			add("%s has %d repeatable jobs of the kind that BullMQ 6 refuses to run (%s): "+
				"make job schedulers of them (upsertJobScheduler) and remove these "+
				"(removeRepeatableByKey)",
				q, len(legacy), strings.Join(legacy[:min(3, len(legacy))], ", "))
		}
		there, err := bullmq.Census(ctx, m.dst, q)
		if err != nil {
			return nil, err
		}
		if major(there.Version) != 0 &&
			(major(there.Version) < 5 || major(there.Version) < major(n.Version)) {
			add("%s is used by BullMQ %s on the target and %s on the source: the target's "+
				"apps need version 5 or later, and none older than the source's", q,
				there.Version, orUnknown(n.Version))
		}
		if began {
			continue
		}
		if jobs := there.Pending() + there.Completed + there.Schedulers; jobs > 0 {
			add("%s holds %d jobs and schedulers on the target already: a whole queue moves "+
				"into an empty one only; use the move job by job, or empty it", q, jobs)
		}
		if m.o.Replaces == "" {
			orphans, err := m.hasContent(ctx, q)
			if err != nil {
				return nil, err
			}
			if orphans != "" {
				add("%s has keys on the target that belong to no listed job (%s): look at "+
					"them and remove them", q, orphans)
			}
		}
	}
	if m.o.Replaces != "" && !began {
		ok, err := m.src.HExists(ctx, "switchyard:move:"+m.o.Replaces, "activated").Result()
		if err != nil {
			return nil, fmt.Errorf("read the record of move %s: %w", m.o.Replaces,
				redisconn.Explain(err))
		}
		if !ok {
			add("the source has no record that move %s was completed there, so what the "+
				"target holds may be the only copy", m.o.Replaces)
		}
	}
	more, err := m.probe(ctx)
	return append(why, more...), err
}

func major(version string) int {
	n, _, _ := strings.Cut(version, ".")
	m, _ := strconv.Atoi(n) // 0: unknown
	return m
}

func orUnknown(version string) string {
	if version == "" {
		return "an unknown version"
	}
	return version
}

// legacyRepeatables gives the entries of "repeat" that are no job schedulers: those
// have a hash with an iteration count.
func (m *mover) legacyRepeatables(ctx context.Context, q bullmq.Queue) ([]string, error) {
	ids, err := m.src.ZRange(ctx, q.Key("repeat"), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.Key("repeat"), redisconn.Explain(err))
	}
	var suspects, legacy []string
	for batch := range slices.Chunk(ids, batchKeys) {
		is := make([]*redis.BoolCmd, len(batch))
		if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
			for i, id := range batch {
				is[i] = p.HExists(ctx, q.Key("repeat:"+id), "ic")
			}
		}); err != nil {
			return nil, err
		}
		for i, id := range batch {
			if ok, err := is[i].Result(); err != nil {
				return nil, redisconn.Explain(err)
			} else if !ok {
				suspects = append(suspects, id)
			}
		}
	}
	// A scheduler that was removed between the two looks has no hash either. Both at
	// once tell it from one that never had one.
	for _, id := range suspects {
		var is *redis.BoolCmd
		var there *redis.FloatCmd
		_, err := m.src.TxPipelined(ctx, func(p redis.Pipeliner) error {
			there, is = p.ZScore(ctx, q.Key("repeat"), id), p.HExists(ctx,
				q.Key("repeat:"+id), "ic")
			return nil
		})
		switch {
		case errors.Is(there.Err(), redis.Nil):
		case err != nil:
			return nil, fmt.Errorf("%s: %w", q.Key("repeat"), redisconn.Explain(err))
		case !is.Val():
			legacy = append(legacy, id)
		}
	}
	return legacy, nil
}

// hasContent gives one content key that the target has of a queue, "" when there is none.
func (m *mover) hasContent(ctx context.Context, q bullmq.Queue) (string, error) {
	var cursor uint64
	for {
		keys, next, err := m.dst.Scan(ctx, cursor, escape(q.Key(""))+"*", 1000).Result()
		if err != nil {
			return "", fmt.Errorf("scan %s: %w", q, redisconn.Explain(err))
		}
		for _, k := range keys {
			if classify(strings.TrimPrefix(k, q.Key(""))) == content {
				return k, nil
			}
		}
		if cursor = next; cursor == 0 {
			return "", nil
		}
	}
}

// probe tries the target: eviction policy, room, and the commands that the move and
// BullMQ need, values of the source's format among them.
func (m *mover) probe(ctx context.Context) ([]string, error) {
	var why []string
	info, err := infoOf(ctx, m.dst)
	if err != nil {
		return nil, err
	}
	switch policy := info["maxmemory_policy"]; {
	case policy == "" && !m.o.EvictionOff:
		why = append(why, "the target does not tell its maxmemory-policy: make sure that "+
			"eviction is off, and say so")
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
		why = append(why, fmt.Sprintf("the target has %d MB free of %d MB: the queues need "+
			"about %d MB, and half as much again for room", (limit-used)>>20,
			limit>>20, size>>20))
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
				fmt.Sprintf("the target does not take %s: %v", t.what, redisconn.Explain(err)))
		}
	}
	return why, nil
}

// probePath finds how keys can travel: as DUMP payloads, if the source gives one and
// the target takes it, else by commands of their type. It reports false when the source
// has none of the queues.
func (m *mover) probePath(ctx context.Context, key string) (found bool, err error) {
	for _, q := range m.o.Queues {
		for _, part := range []string{"meta", "id"} { // one of which every queue has
			n, err := m.src.Exists(ctx, q.Key(part)).Result()
			if err != nil {
				return false, fmt.Errorf("%s: %w", q.Key(part), redisconn.Explain(err))
			}
			if n == 0 {
				continue
			}
			found = true
			dump, err := m.src.Dump(ctx, q.Key(part)).Result()
			if errors.Is(err, redis.Nil) { // it went
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

// size estimates the group's memory on the source from a sample of its jobs, in bytes,
// and how many content keys it has. What is asked of the source has no size of its own,
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

// Check gives every reason why a move would be refused now, in words; none when it may
// begin or has begun. It changes nothing but for keys of its own on the target, which
// it removes. Flows that reach out of the queues are found by Groups, and by the move
// itself.
func Check(ctx context.Context, src, dst redis.UniversalClient, o Options) ([]string, error) {
	m, err := newMover(src, dst, o)
	if err != nil {
		return nil, err
	}
	began, err := m.noted(ctx, m.dst, "begun")
	if err != nil {
		return nil, err
	}
	counts, err := m.counts(ctx)
	if err != nil {
		return nil, err
	}
	return m.preflight(ctx, counts, began)
}

func (m *mover) counts(ctx context.Context) (map[bullmq.Queue]bullmq.Counts, error) {
	counts := map[bullmq.Queue]bullmq.Counts{}
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
