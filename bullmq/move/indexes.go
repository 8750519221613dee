package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// indexChunk is how many entries of an index one command reads or writes, so that
// no server is blocked for long and no request gets too big.
const indexChunk = 10_000

// jobStates are the indexes whose entries are ids of jobs.
var jobStates = []string{"wait", "paused", "delayed", "prioritized", "waiting-children",
	"completed", "failed"}

// trial stages the live indexes once, to learn how long that will keep the queue at
// a standstill, and how many commands it takes.
func (m *mover) trial(ctx context.Context) error {
	started, waited, commands := time.Now(), m.pacer.Waited.Load(),
		m.pacer.TargetCommands.Load()
	for _, q := range m.o.Queues {
		for _, part := range indexes {
			if _, err := m.stageIndex(ctx, q, part, q.Key(part), false); err != nil {
				return err
			}
		}
	}
	m.indexTime = time.Since(started) - time.Duration(m.pacer.Waited.Load()-waited)
	m.indexCommands = m.pacer.TargetCommands.Load() - commands
	return m.unstage(ctx)
}

// stage puts the fenced indexes next to their final places on the target, reads
// them back and compares.
func (m *mover) stage(ctx context.Context) error {
	m.tell("stage", 0)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(m.pacer.Workers)
	var mu sync.Mutex
	jobs := map[string]int64{}
	for _, q := range m.o.Queues {
		for _, part := range indexes {
			g.Go(func() error {
				n, err := m.stageIndex(gctx, q, part, m.fencedKey(q, part), true)
				mu.Lock()
				defer mu.Unlock()
				if n > 0 && slices.Contains(jobStates, part) {
					jobs[q.String()+" "+part] = n
				}
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m.report.Jobs = jobs
	slices.Sort(m.report.Empty)
	return nil
}

// stageIndex copies one index from a key of the source into its staging place,
// without the marker ids of BullMQ 3 and 4 and without ids that have no job, reads
// it back, and returns how many entries it has. fenced means that the source no
// longer changes, so every id has been seen.
func (m *mover) stageIndex(
	ctx context.Context, q bullmq.Queue, part, from string, fenced bool,
) (int64, error) {
	staged := m.stagedKey(q, part)
	if err := m.pacer.Source(ctx, 2); err != nil {
		return 0, err
	}
	if err := m.pacer.Target(ctx, 2); err != nil {
		return 0, err
	}
	if err := m.dst.Del(ctx, staged).Err(); err != nil {
		return 0, fmt.Errorf("%s: %w", staged, redisconn.Explain(err))
	}
	kind, err := m.src.Type(ctx, from).Result()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", from, redisconn.Explain(err))
	}
	switch kind {
	case "none":
		return 0, nil
	case "string":
		n, err := m.src.Get(ctx, from).Result()
		if err == nil {
			err = m.dst.Set(ctx, staged, n, 0).Err()
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, fmt.Errorf("%s: %w", from, redisconn.Explain(err))
		}
		return 1, nil
	case "list", "zset":
	default:
		return 0, migration.Errorf(migration.Blocked,
			"%s has type %s: this is not a BullMQ queue", from, kind)
	}
	// One chunk is read while the previous one is written: memory does not grow
	// with the queue.
	chunks := make(chan []string, 1)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(chunks)
		return eachChunk(gctx, m.src, m.pacer.Source, from, kind, func(entries []string) error {
			select {
			case chunks <- entries:
				return nil
			case <-gctx.Done():
				return context.Cause(gctx)
			}
		})
	})
	var n int64
	g.Go(func() error {
		for entries := range chunks {
			if part != "repeat" {
				var err error
				if entries, err = m.withContent(gctx, q, entries, stepOf(kind),
					fenced); err != nil {
					return err
				}
			}
			if len(entries) == 0 {
				continue
			}
			if err := m.stageChunk(gctx, staged, kind, entries, n); err != nil {
				return err
			}
			n += int64(len(entries) / stepOf(kind))
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return 0, err
	}
	if n > 0 {
		if err := m.pacer.Target(ctx, 1); err != nil {
			return 0, err
		}
		length := "LLEN"
		if kind == "zset" {
			length = "ZCARD"
		}
		there, err := m.dst.Do(ctx, length, staged).Int64()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", staged, redisconn.Explain(err))
		}
		if there != n {
			return 0, migration.Errorf(migration.Conflict,
				"%s was not stored as it was sent: %d entries, %d sent", staged, there, n)
		}
	}
	return n, nil
}

// stageChunk adds entries after the at entries staged already, reads them back and
// compares.
func (m *mover) stageChunk(
	ctx context.Context, staged, kind string, entries []string, at int64,
) error {
	if err := m.pacer.Target(ctx, 2); err != nil {
		return err
	}
	args := make([]any, 0, len(entries)+2)
	last := at + int64(len(entries)/stepOf(kind)) - 1
	read := []any{"LRANGE", staged, at, last}
	if kind == "list" {
		args = append(args, "RPUSH", staged)
		for _, id := range entries {
			args = append(args, id)
		}
	} else { // they come in the order in which a sorted set holds them
		read = []any{"ZRANGE", staged, at, last, "WITHSCORES"}
		args = append(args, "ZADD", staged)
		for i := 0; i+1 < len(entries); i += 2 {
			args = append(args, entries[i+1], entries[i])
		}
	}
	var write, back *redis.Cmd
	if err := pipe(ctx, m.dst, func(p redis.Pipeliner) {
		write = p.Do(ctx, args...)
		back = p.Do(ctx, read...)
	}); err != nil {
		return fmt.Errorf("%s: %w", staged, err)
	}
	if err := write.Err(); err != nil {
		return fmt.Errorf("%s: %w", staged, redisconn.Explain(err))
	}
	is, err := back.StringSlice()
	if err != nil {
		return fmt.Errorf("%s: %w", staged, redisconn.Explain(err))
	}
	if !slices.Equal(is, entries) {
		return migration.Errorf(migration.Conflict,
			"%s was not stored as it was sent: %d entries from %d on differ", staged,
			len(entries)/stepOf(kind), at)
	}
	return nil
}

// withContent leaves out the entries that are not jobs: see stageIndex.
func (m *mover) withContent(
	ctx context.Context, q bullmq.Queue, entries []string, step int, note bool,
) ([]string, error) {
	var doubtful []string
	m.copied.mu.Lock()
	for i := 0; i < len(entries); i += step {
		if id := entries[i]; !isMarker(id) && !m.copied.has(q.Key(id)) {
			doubtful = append(doubtful, id)
		}
	}
	m.copied.mu.Unlock()
	empty := map[string]bool{}
	for ids := range slices.Chunk(doubtful, batchKeys) {
		keys := make([]string, len(ids))
		for i, id := range ids {
			keys[i] = q.Key(id)
		}
		if err := m.pacer.Source(ctx, 2*len(ids)); err != nil {
			return nil, err
		}
		there, err := m.own.Whose(ctx, m.src, keys)
		if err != nil {
			return nil, err
		}
		for i, id := range ids {
			switch w := there[i]; {
			case w.Gone, w.Owner.Kind == "" && !w.Contested: // no job, as when it is gone
				empty[id] = true
			case note: // the source is fenced, so it should have been seen
				return nil, migration.Errorf(migration.Conflict,
					"job %s was not copied: start again", q.Key(id))
			}
		}
	}
	if note {
		m.copied.mu.Lock()
		for id := range empty {
			m.report.Empty = append(m.report.Empty, q.Key(id))
		}
		m.copied.mu.Unlock()
	}
	if len(empty) == 0 && !slices.ContainsFunc(entries, isMarker) {
		return entries, nil
	}
	out := entries[:0]
	for i := 0; i < len(entries); i += step {
		if !isMarker(entries[i]) && !empty[entries[i]] {
			out = append(out, entries[i:i+step]...)
		}
	}
	return out, nil
}

// isMarker recognises the marker ids by which BullMQ 3 and 4 wake blocked workers.
func isMarker(id string) bool { return strings.HasPrefix(id, "0:") }

// eachChunk passes on the ids of a list from left to right, or ids and scores of a
// sorted set. pace is asked before each command.
func eachChunk(
	ctx context.Context, c redis.UniversalClient, pace func(context.Context, int) error,
	key, kind string, each func([]string) error,
) error {
	for at := int64(0); ; at += indexChunk {
		if err := pace(ctx, 1); err != nil {
			return err
		}
		args := []any{"LRANGE", key, at, at + indexChunk - 1}
		if kind == "zset" {
			args = []any{"ZRANGE", key, at, at + indexChunk - 1, "WITHSCORES"}
		}
		part, err := c.Do(ctx, args...).StringSlice()
		if err != nil {
			return fmt.Errorf("%s: %w", key, redisconn.Explain(err))
		}
		if len(part) > 0 {
			if err := each(part); err != nil {
				return err
			}
		}
		if len(part) < indexChunk*stepOf(kind) {
			return nil
		}
	}
}

// stepOf is how many strings an entry of an index takes: a sorted set's has a
// score.
func stepOf(kind string) int {
	if kind == "zset" {
		return 2
	}
	return 1
}

// kindOf is the type of an index.
func kindOf(part string) string {
	if part == "wait" || part == "paused" || part == "active" {
		return "list"
	}
	return "zset"
}

// firsts returns every other entry: ids without their scores.
func firsts(entries []string) []string {
	out := make([]string, 0, len(entries)/2)
	for i := 0; i < len(entries); i += 2 {
		out = append(out, entries[i])
	}
	return out
}

// unstage removes what trial or an earlier attempt staged.
func (m *mover) unstage(ctx context.Context) error {
	var keys []string
	for _, q := range m.o.Queues {
		for _, part := range indexes {
			keys = append(keys, m.stagedKey(q, part))
		}
	}
	if err := m.dst.Unlink(ctx, keys...).Err(); err != nil {
		return fmt.Errorf("remove staged indexes: %w", redisconn.Explain(err))
	}
	return nil
}

// activate carries over the settings of the queues and lets the target's workers
// take the jobs.
func (m *mover) activate(ctx context.Context) error {
	m.tell("activate", 0)
	begun, err := m.src.HGetAll(ctx, m.record()).Result()
	if err != nil {
		return fmt.Errorf("read the record of the move: %w", redisconn.Explain(err))
	}
	there, err := m.dst.HGetAll(ctx, m.record()).Result()
	if err != nil {
		return fmt.Errorf("read the record of the move: %w", redisconn.Explain(err))
	}
	args := []any{"switchyard:move:" + m.o.Run + ":"}
	for _, q := range m.o.Queues {
		base := q.Key("")
		if err := m.copySettings(ctx, q); err != nil {
			return err
		}
		stay := "0"
		if begun["paused:"+base] == "1" || there["paused:"+base] == "1" {
			stay = "1"
		}
		args = append(args, base, begun["id:"+base], there["start:"+base], stay)
	}
	reply, err := activateScript.Run(ctx, m.dst, []string{m.record()}, args...).Slice()
	if err != nil {
		return fmt.Errorf("activate the target: %w", redisconn.Explain(err))
	}
	if done, _ := reply[0].(int64); done != 1 {
		why, _ := reply[1].(string)
		return migration.Errorf(migration.Blocked,
			"activate the target: %s: take the move back", why)
	}
	m.report.Twice, _ = reply[1].(int64)
	return nil
}

// copySettings carries over the queue's own settings: global rate limit,
// concurrency, length of the event stream. Pausing belongs to the move. The version
// is that of whoever uses the target; until somebody does, it is the source's,
// unless the move made a later version's jobs of them.
func (m *mover) copySettings(ctx context.Context, q bullmq.Queue) error {
	meta, err := m.src.HGetAll(ctx, q.Key("meta")).Result()
	if err != nil {
		return fmt.Errorf("%s: %w", q.Key("meta"), redisconn.Explain(err))
	}
	version := meta["version"]
	for _, own := range []string{"paused", "version", "switchyard:moved"} {
		delete(meta, own)
	}
	if len(meta) > 0 {
		err = m.dst.HSet(ctx, q.Key("meta"), meta).Err()
	}
	if err == nil && version != "" && !m.renameAttempts {
		err = m.dst.HSetNX(ctx, q.Key("meta"), "version", version).Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", q.Key("meta"), redisconn.Explain(err))
	}
	return nil
}
