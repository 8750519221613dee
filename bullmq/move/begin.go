package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
)

// begin checks that the move can be exact, then pauses the target and records on
// both servers how it found them. It may be repeated.
func (m *mover) begin(ctx context.Context) error {
	m.tell("begin", 0)
	began, err := m.noted(ctx, m.dst, "begun")
	if err != nil {
		return err
	}
	if err := m.look(ctx); err != nil {
		return err
	}
	why, err := m.preflight(ctx, began)
	if err != nil {
		return err
	}
	if len(why) > 0 {
		return migration.Errorf(migration.Blocked, "nothing was changed: %s",
			strings.Join(why, "; "))
	}
	m.mirror = keycopy.NewMirror(ctx, m.src, m.dst, m.path, m.pacer, m.see)
	m.pacer.PerKey(m.mirror.Commands())
	counts, err := m.counts(ctx)
	if err != nil {
		return err
	}
	if err := m.leaveAlone(ctx, began || m.o.Replaces == ""); err != nil {
		return err
	}
	// Copies left by an earlier attempt or move may have gone from the source
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

// beginQueue records, once, whether each side was paused, and where the target's
// counter begins.
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
	// One script sets the counter and records it: a second attempt must not mistake
	// the first one's head start for use by producers.
	if err := startScript.Run(ctx, m.dst, []string{m.record(), q.Key("id")}, "start:"+base,
		id+headStart).Err(); err != nil {
		return fmt.Errorf("set the target's counter: %w", redisconn.Explain(err))
	}
	return nil
}

// KEYS: record, id. ARGV: field of the record, value at which the counter begins
// unless it is higher.
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

// preflight returns the reasons why the move cannot be exact. What is not BullMQ's is not
// even counted.
func (m *mover) preflight(ctx context.Context, began bool) ([]string, error) {
	var why []string
	for _, q := range m.o.Queues {
		more, err := m.notOurs(ctx, q)
		if err != nil {
			return nil, err
		}
		why = append(why, more...)
	}
	if len(why) > 0 {
		return why, nil
	}
	counts, err := m.counts(ctx)
	if err != nil {
		return nil, err
	}
	add := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	for _, q := range m.o.Queues {
		n := counts[q]
		legacy, err := m.legacyRepeatables(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(legacy) > 0 {
			add("%s has %d legacy repeatable jobs, which BullMQ 6 refuses to run (%s): "+
				"replace them with job schedulers (upsertJobScheduler) and remove them "+
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
				"apps need version 5 or later, and no older than the source's", q,
				there.Version, orUnknown(n.Version))
		}
		if began {
			continue
		}
		if jobs := there.Pending() + there.Completed + there.Schedulers; jobs > 0 {
			add("%s already holds %d jobs and schedulers on the target: a whole queue can "+
				"only move into an empty one; move it job by job, or empty it", q, jobs)
		}
		if m.o.Replaces == "" {
			orphans, err := m.hasContent(ctx, q)
			if err != nil {
				return nil, err
			}
			if orphans != "" {
				add("%s has keys on the target that belong to no listed job (%s): inspect "+
					"and remove them", q, orphans)
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
			add("the source has no record that move %s was completed there, so the target "+
				"may hold the only copy", m.o.Replaces)
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

// legacyRepeatables returns the entries of "repeat" that are not job schedulers,
// which have a hash with an iteration count.
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
	// A scheduler that was removed between the two looks has no hash either.
	// Reading both atomically tells it from one that never had one.
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
