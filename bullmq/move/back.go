package move

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Back takes back a move that has not activated the target: the source gets its
// indexes back, with what was added meanwhile, and continues as before; the target
// is left as it was found. It may be repeated. After the activation it refuses
// (kind Blocked): the source's copies are then out of date, and only a move in the
// other direction brings the jobs back.
func Back(ctx context.Context, src, dst redis.UniversalClient, o Options) error {
	m, err := newMover(src, dst, o)
	if err != nil {
		return err
	}
	if err := m.back(ctx); err != nil {
		return fmt.Errorf("take back the move of %s: %w", m.names(), err)
	}
	return nil
}

func (m *mover) back(ctx context.Context) error {
	m.tell("back", 0)
	activated, err := m.noted(ctx, m.dst, "activated")
	if err != nil {
		return err
	}
	if activated {
		return migration.Errorf(migration.Blocked, "the target's workers have been let at "+
			"the jobs: move the queues in the other direction instead")
	}
	// From here on Move must not activate, or it would read a target that is being
	// emptied.
	isFenced, err := m.noted(ctx, m.src, "fenced")
	if err != nil {
		return err
	}
	if isFenced {
		if err := unfenceScript.Run(ctx, m.src, []string{m.record()},
			m.fenceArgs()...).Err(); err != nil {
			return fmt.Errorf("put the source's indexes back: %w", redisconn.Explain(err))
		}
	}
	if err := m.resumeSource(ctx); err != nil {
		return err
	}
	begun, err := m.dst.HGetAll(ctx, m.record()).Result()
	if err != nil {
		return fmt.Errorf("read the record of the move: %w", redisconn.Explain(err))
	}
	if begun["begun"] == "1" {
		if err := m.unstage(ctx); err != nil {
			return err
		}
		if err := m.look(ctx); err != nil {
			return err
		}
		if err := m.readAlone(ctx); err != nil {
			return err
		}
		if err := m.wipeContent(ctx); err != nil {
			return err
		}
	}
	for _, q := range m.o.Queues {
		if begun["paused:"+q.Key("")] == "0" {
			if err := bullmq.Resume(ctx, m.dst, q); err != nil {
				return err
			}
		}
	}
	for _, c := range []redis.UniversalClient{m.dst, m.src} {
		if err := c.Unlink(ctx, m.record(), m.aloneKey()).Err(); err != nil {
			return fmt.Errorf("remove the record of the move: %w", redisconn.Explain(err))
		}
	}
	return nil
}

// resumeSource resumes the queues that were not paused before the move.
func (m *mover) resumeSource(ctx context.Context) error {
	begun, err := m.src.HGetAll(ctx, m.record()).Result()
	if err != nil {
		return fmt.Errorf("read the record of the move: %w", redisconn.Explain(err))
	}
	for _, q := range m.o.Queues {
		if begun["paused:"+q.Key("")] == "0" {
			if err := bullmq.Resume(ctx, m.src, q); err != nil {
				return err
			}
		}
	}
	return nil
}

// wipeContent removes the copies from the target, except what belongs to jobs
// listed there.
func (m *mover) wipeContent(ctx context.Context) error {
	const some = 100_000 // keys held in memory
	for _, q := range m.o.Queues {
		var keys []string
		one := &mover{o: Options{Queues: []bullmq.Queue{q}}}
		if err := one.scan(ctx, m.dst, m.there, m.pacer.Target, func(batch []string) error {
			if keys = append(keys, batch...); len(keys) < some {
				return nil
			}
			err := m.wipe(ctx, q, keys)
			keys = keys[:0]
			return err
		}); err != nil {
			return err
		}
		if err := m.wipe(ctx, q, keys); err != nil {
			return err
		}
	}
	return nil
}

func (m *mover) wipe(ctx context.Context, q bullmq.Queue, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	// Read after the scan, so that a job added in between is either listed or was
	// not seen.
	own := map[string]bool{}
	for _, part := range append([]string{"active"}, jobStates...) {
		err := eachChunk(ctx, m.dst, m.pacer.Target, q.Key(part), kindOf(part),
			func(entries []string) error {
				for _, id := range entries {
					own[id] = true
				}
				return nil
			})
		if err != nil {
			return err
		}
	}
	var doubtful []string // those with the name of another queue too
	keys = slices.DeleteFunc(keys, func(k string) bool {
		of, _, ok := m.there.Of(k)
		if !ok || !of.Same(q) {
			doubtful = append(doubtful, k)
			return true
		}
		return m.alone[k] || own[jobOf(strings.TrimPrefix(k, q.Key("")))]
	})
	all, err := m.there.Whose(ctx, m.dst, doubtful)
	if err != nil {
		return err
	}
	for _, w := range all {
		if w.Owned() && w.Owner.Queue.Same(q) && !own[jobOf(w.Part)] {
			keys = append(keys, w.Key)
		}
	}
	for drop := range slices.Chunk(keys, batchKeys) {
		if err := m.pacer.Target(ctx, 1); err != nil {
			return err
		}
		if err := m.dst.Unlink(ctx, drop...).Err(); err != nil {
			return fmt.Errorf("remove copies from the target: %w", redisconn.Explain(err))
		}
	}
	return nil
}

// Sweep carries over what producers added on the source after the fence, job by
// job, exactly once, using bullmq.Merge with a ledger on the target. It may be
// repeated as long as producers still know the source. The source's workers find
// nothing, since its queues stay paused; what cannot travel job by job (flows,
// schedulers) stays and is returned as an error.
func Sweep(
	ctx context.Context, src, dst redis.UniversalClient, o Options,
) (map[string]bullmq.MergeReport, error) {
	m, err := newMover(src, dst, o)
	if err != nil {
		return nil, err
	}
	for side, c := range map[string]redis.UniversalClient{"fenced": src, "activated": dst} {
		ok, err := m.noted(ctx, c, side)
		if err != nil {
			return nil, fmt.Errorf("sweep %s: %w", m.names(), err)
		}
		if !ok {
			return nil, migration.Errorf(migration.Blocked,
				"sweep %s: the move %s is not complete", m.names(), o.Run)
		}
	}
	reports := map[string]bullmq.MergeReport{}
	for _, q := range o.Queues {
		r, err := bullmq.Merge(ctx, src, dst, q,
			bullmq.MergeOptions{Ledger: m.record() + ":swept:" + q.String()})
		reports[q.String()] = r
		if err != nil {
			return reports, err
		}
	}
	return reports, nil
}
