package move

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// look finds out whose the keys on both servers are. What was proven on one of them is a
// name on the other too: there its keys may be on their way. O(keys of both).
func (m *mover) look(ctx context.Context) (err error) {
	for _, side := range []struct {
		known *bullmq.Ownership
		c     redis.UniversalClient
		into  *bullmq.Ownership
	}{{m.o.SourceKeys, m.src, &m.own}, {m.o.TargetKeys, m.dst, &m.there}} {
		if side.known != nil {
			*side.into = *side.known
		} else if *side.into, err = bullmq.Look(ctx, side.c); err != nil {
			return err
		}
	}
	m.source = m.own
	if m.own, err = m.own.Knowing(ctx, m.src, m.there.Queues()); err != nil {
		return err
	}
	m.there, err = m.there.Expecting(ctx, m.dst, m.own)
	return err
}

// moves reports whether a queue is one of the group.
func (m *mover) moves(q bullmq.Queue) bool { return slices.ContainsFunc(m.o.Queues, q.Same) }

// notOurs returns why a queue is not one that a move may touch.
func (m *mover) notOurs(ctx context.Context, q bullmq.Queue) ([]string, error) {
	var why []string
	switch f, ok := m.source.Find(q); {
	case !ok:
		why = append(why, fmt.Sprintf("there is no such queue on the source: nothing proves "+
			"that BullMQ made %s", q))
	case f.Kind != bullmq.KindBullMQ:
		why = append(why, fmt.Sprintf("%s is a queue of %s, not of BullMQ: %s", q, f.Kind,
			f.Proof))
	}
	if f, ok := m.there.Find(q); ok && f.Kind != bullmq.KindBullMQ {
		why = append(why, fmt.Sprintf("on the target %s is a queue of %s: %s", q, f.Kind,
			f.Proof))
	}
	for _, o := range []bullmq.Ownership{m.own, m.there} {
		if ids := o.Contested(q); len(ids) > 0 {
			why = append(why, fmt.Sprintf("whose %d keys are cannot be told, since two queues "+
				"list them (%s): rename one of the queues, or let these jobs finish", len(ids),
				ids[0]))
		}
	}
	for side, c := range map[string]redis.UniversalClient{"source": m.src, "target": m.dst} {
		wrong, err := bullmq.WrongTypes(ctx, c, q)
		if err != nil {
			return nil, err
		}
		for _, w := range wrong {
			why = append(why, fmt.Sprintf("on the %s %s: somebody else's", side, w))
		}
	}
	slices.Sort(why)
	return why, nil
}

// mine returns those keys of the source that the move copies: content that a queue of the
// group made, and what is gone, which goes from the target too. Everything else is left
// alone. It refuses when a key of the target that is somebody else's would be written.
func (m *mover) mine(ctx context.Context, keys []string) ([]string, error) {
	if err := m.pacer.Source(ctx, 2*len(keys)); err != nil {
		return nil, err
	}
	all, err := m.own.Whose(ctx, m.src, keys)
	if err != nil {
		return nil, err
	}
	var mine, doubtful []string
	for _, w := range all {
		if q, ok := w.Reveals(); ok {
			return nil, migration.Errorf(migration.Conflict,
				"queue %s came into being under the name of %s: start again", q, m.names())
		}
		if w.Owner.Kind != bullmq.KindBullMQ || !m.moves(w.Owner.Queue) ||
			classify(w.Part) != content {
			continue
		}
		if m.alone[w.Key] && w.Gone {
			continue
		}
		if q, _, ok := m.there.Of(w.Key); !ok || !q.Same(w.Owner.Queue) {
			doubtful = append(doubtful, w.Key)
		}
		if m.alone[w.Key] {
			return nil, othersKey(w.Key)
		}
		mine = append(mine, w.Key)
	}
	return mine, m.unwritten(ctx, doubtful)
}

// unwritten refuses keys of the target that have the name of another queue, unless they are
// the group's own there too.
func (m *mover) unwritten(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	there, err := m.there.Whose(ctx, m.dst, keys)
	if err != nil {
		return err
	}
	for _, w := range there {
		if !w.Gone && !(w.Owned() && m.moves(w.Owner.Queue)) {
			return othersKey(w.Key)
		}
	}
	return nil
}

func othersKey(key string) error {
	return migration.Errorf(migration.Blocked,
		"the target has a key %q that is not the queue's, and it would be overwritten: "+
			"rename or remove it there", key)
}

// aloneKey is where the target remembers which keys under the queues' names it had before
// the move and which none of them made. They are never written.
func (m *mover) aloneKey() string { return m.record() + ":alone" }

// leaveAlone finds those keys, once: later the target also has what the move wrote.
func (m *mover) leaveAlone(ctx context.Context, began bool) error {
	if !began {
		if err := m.dst.Unlink(ctx, m.aloneKey()).Err(); err != nil {
			return fmt.Errorf("note the target's other keys: %w", redisconn.Explain(err))
		}
		if err := m.scan(ctx, m.dst, m.there, m.pacer.Target, func(keys []string) error {
			all, err := m.there.Whose(ctx, m.dst, keys)
			if err != nil {
				return err
			}
			var others []any
			for _, w := range all {
				if q, _, ok := m.there.Of(w.Key); !ok || !m.moves(q) {
					continue // see unwritten
				}
				if !w.Gone && !(w.Owned() && m.moves(w.Owner.Queue)) {
					others = append(others, w.Key)
				}
			}
			if len(others) == 0 {
				return nil
			}
			return redisconn.Explain(m.dst.SAdd(ctx, m.aloneKey(), others...).Err())
		}); err != nil {
			return fmt.Errorf("note the target's other keys: %w", err)
		}
	}
	return m.readAlone(ctx)
}

func (m *mover) readAlone(ctx context.Context) error {
	keys, err := m.dst.SMembers(ctx, m.aloneKey()).Result()
	if err != nil {
		return fmt.Errorf("read the target's other keys: %w", redisconn.Explain(err))
	}
	for _, k := range keys {
		m.alone[k] = true
	}
	return nil
}
