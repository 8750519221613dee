package move

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
)

// leaveLate removes from the target what was copied of jobs added on the source
// after the fence. They are not in the snapshot; Sweep brings them.
func (m *mover) leaveLate(ctx context.Context) error {
	for _, q := range m.o.Queues {
		for _, part := range jobStates {
			// Workers cannot complete a late job, because the queue is paused: all
			// of them are still listed.
			err := eachChunk(ctx, m.src, m.pacer.Source, q.Key(part), kindOf(part),
				func(entries []string) error {
					if kindOf(part) == "zset" {
						entries = firsts(entries)
					}
					for ids := range slices.Chunk(entries, batchKeys) {
						if err := m.leave(ctx, q, ids); err != nil {
							return err
						}
					}
					return nil
				})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *mover) leave(ctx context.Context, q bullmq.Queue, ids []string) error {
	dedup := make([]*redis.StringCmd, len(ids))
	if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
		for i, id := range ids {
			dedup[i] = p.HGet(ctx, q.Key(id), "deid")
		}
	}); err != nil {
		return err
	}
	if err := m.pacer.Target(ctx, len(ids)); err != nil {
		return err
	}
	var keys []string
	for i, id := range ids {
		keys = append(keys, q.Key(id))
		for _, s := range sub {
			keys = append(keys, q.Key(id)+s)
		}
		// had the key been there at the fence, the job would not have been added
		if d := dedup[i].Val(); d != "" {
			keys = append(keys, q.Key("de:"+d))
		}
	}
	all, err := m.there.Whose(ctx, m.dst, keys)
	if err != nil {
		return err
	}
	return pipe(ctx, m.dst, func(p redis.Pipeliner) {
		for _, w := range all {
			if w.Owned() && w.Owner.Queue.Same(q) && !m.alone[w.Key] {
				p.Unlink(ctx, w.Key)
			}
		}
	})
}
