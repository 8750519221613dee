package move

import (
	"context"
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

// indexChunk is how many entries of an index one command reads or writes, so that no server is held up for long and no request gets too big.
const indexChunk = 10_000

// jobStates are the indexes whose entries are ids of jobs.
var jobStates = []string{"wait", "paused", "delayed", "prioritized", "waiting-children", "completed", "failed"}

// trial stages the living indexes once, to know how long the queue will stand still for it, and how many commands it takes.
func (m *mover) trial(ctx context.Context) error {
	started, waited, commands := time.Now(), m.pacer.Waited.Load(), m.pacer.TargetCommands.Load()
	for _, q := range m.o.Queues {
		for _, part := range indexes {
			if _, err := m.stageIndex(ctx, q, part, q.Key(part), false); err != nil {
				return err
			}
		}
	}
	m.indexTime = time.Since(started) - time.Duration(m.pacer.Waited.Load()-waited)
	m.indexCommands = 2 * (m.pacer.TargetCommands.Load() - commands) // they will be read back
	return m.unstage(ctx)
}

// stage puts the fenced indexes beside their places on the target, reads them back and compares.
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

// stageIndex copies one index from a key of the source into its staging place, without the fake ids of BullMQ 3 and 4 and without ids that
// have no job, and gives how many entries it has. With verify it is read back.
func (m *mover) stageIndex(ctx context.Context, q bullmq.Queue, part, from string, verify bool) (int64, error) {
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
	var entries []string
	switch kind {
	case "none":
		return 0, nil
	case "string":
		n, err := m.src.Get(ctx, from).Result()
		if err == nil {
			err = m.dst.Set(ctx, staged, n, 0).Err()
		}
		if err != nil && err != redis.Nil {
			return 0, fmt.Errorf("%s: %w", from, redisconn.Explain(err))
		}
		return 1, nil
	case "list", "zset":
		if entries, err = readIndex(ctx, m.src, m.pacer.Source, from, kind); err != nil {
			return 0, err
		}
	default:
		return 0, migration.Errorf(migration.Blocked, "%s has type %s: this is no BullMQ queue", from, kind)
	}
	step := 1
	if kind == "zset" {
		step = 2
	}
	if part != "repeat" {
		if entries, err = m.withContent(ctx, q, entries, step, verify); err != nil {
			return 0, err
		}
	}
	if err := m.writeIndex(ctx, staged, kind, entries); err != nil {
		return 0, err
	}
	if verify && len(entries) > 0 {
		back, err := readIndex(ctx, m.dst, m.pacer.Target, staged, kind)
		if err != nil {
			return 0, err
		}
		if !slices.Equal(back, entries) {
			return 0, migration.Errorf(migration.Conflict, "%s was not stored as it was sent: %d entries, %d sent", staged, len(back)/step, len(entries)/step)
		}
	}
	return int64(len(entries) / step), nil
}

// withContent leaves out the entries that are no jobs: see stageIndex.
func (m *mover) withContent(ctx context.Context, q bullmq.Queue, entries []string, step int, note bool) ([]string, error) {
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
		there := make([]*redis.IntCmd, len(ids))
		if err := m.pacer.Source(ctx, len(ids)); err != nil {
			return nil, err
		}
		if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
			for i, id := range ids {
				there[i] = p.Exists(ctx, q.Key(id))
			}
		}); err != nil {
			return nil, err
		}
		for i, id := range ids {
			n, err := there[i].Result()
			if err != nil {
				return nil, redisconn.Explain(err)
			}
			switch {
			case n == 0:
				empty[id] = true
			case note: // the source is fenced, so it should have been seen
				return nil, migration.Errorf(migration.Conflict, "job %s was not copied: start again", q.Key(id))
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

// isMarker knows the fake ids by which BullMQ 3 and 4 wake blocked workers.
func isMarker(id string) bool { return strings.HasPrefix(id, "0:") }

// readIndex gives the ids of a list from left to right, or ids and scores of a sorted set. pace is asked before each command.
func readIndex(ctx context.Context, c redis.UniversalClient, pace func(context.Context, int) error, key, kind string) ([]string, error) {
	var out []string
	for at := int64(0); ; at += indexChunk {
		if err := pace(ctx, 1); err != nil {
			return nil, err
		}
		args := []any{"LRANGE", key, at, at + indexChunk - 1}
		if kind == "zset" {
			args = []any{"ZRANGE", key, at, at + indexChunk - 1, "WITHSCORES"}
		}
		part, err := c.Do(ctx, args...).StringSlice()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, redisconn.Explain(err))
		}
		out = append(out, part...)
		full := indexChunk
		if kind == "zset" {
			full *= 2
		}
		if len(part) < full {
			return out, nil
		}
	}
}

// kindOf is the type of an index.
func kindOf(part string) string {
	if part == "wait" || part == "paused" || part == "active" {
		return "list"
	}
	return "zset"
}

// firsts gives every other entry: ids without their scores.
func firsts(entries []string) []string {
	out := make([]string, 0, len(entries)/2)
	for i := 0; i < len(entries); i += 2 {
		out = append(out, entries[i])
	}
	return out
}

func (m *mover) writeIndex(ctx context.Context, key, kind string, entries []string) error {
	p := m.dst.Pipeline()
	chunk := indexChunk
	if kind == "zset" {
		chunk *= 2
	}
	for part := range slices.Chunk(entries, chunk) {
		args := make([]any, 0, len(part)+2)
		if kind == "list" {
			args = append(args, "RPUSH", key)
			for _, id := range part {
				args = append(args, id)
			}
		} else {
			args = append(args, "ZADD", key)
			for i := 0; i+1 < len(part); i += 2 {
				args = append(args, part[i+1], part[i])
			}
		}
		if err := m.pacer.Target(ctx, 1); err != nil {
			return err
		}
		p.Do(ctx, args...)
		if p.Len() == 10 {
			if _, err := p.Exec(ctx); err != nil {
				return fmt.Errorf("%s: %w", key, redisconn.Explain(err))
			}
		}
	}
	if _, err := p.Exec(ctx); err != nil { // of nothing it is nil
		return fmt.Errorf("%s: %w", key, redisconn.Explain(err))
	}
	return nil
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

// activate carries over the settings of the queues and lets the target's workers at the jobs.
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
		return migration.Errorf(migration.Blocked, "activate the target: %s: take the move back", why)
	}
	m.report.Twice, _ = reply[1].(int64)
	return nil
}

// copySettings carries over the queue's own settings: global rate limit, concurrency, length of the event stream. The pause is the move's. The
// version is that of whoever uses the target; until somebody does, it is the source's, unless the move made a later version's jobs of them.
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
