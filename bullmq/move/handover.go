package move

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// pause holds back the source's workers and waits until no job is active. It
// returns the time of that moment. Meanwhile the copy continues.
func (m *mover) pause(ctx context.Context) (time.Time, error) {
	started := time.Now()
	m.pacer.Hurry()
	m.tell("pause", 0)
	for _, q := range m.o.Queues {
		if err := bullmq.Pause(ctx, m.src, q); err != nil {
			return time.Time{}, err
		}
	}
	deadline := started.Add(m.o.Drain)
	for {
		idle := time.Now()
		busy, err := m.active(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if len(busy) == 0 {
			m.report.DrainMS = time.Since(started).Milliseconds()
			return idle, nil
		}
		if time.Now().After(deadline) {
			err := migration.Errorf(migration.Blocked, "after %s these jobs are still being "+
				"processed, so the queue was resumed: %s. Jobs without a lock are stalled: a "+
				"worker's stalled check returns them to the queue. Wait for them, or allow "+
				"more time", m.o.Drain, strings.Join(busy, ", "))
			return time.Time{}, errors.Join(err, m.resumeSource(context.WithoutCancel(ctx)))
		}
		if m.tracking != nil {
			changed, err := m.changed(ctx)
			if err != nil {
				return time.Time{}, err
			}
			if err := m.again(ctx, changed); err != nil {
				return time.Time{}, err
			}
		}
		select {
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// active names the jobs being processed, "queue:id", up to ten per queue.
func (m *mover) active(ctx context.Context) ([]string, error) {
	lists := make([]*redis.StringSliceCmd, len(m.o.Queues))
	if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
		for i, q := range m.o.Queues {
			lists[i] = p.LRange(ctx, q.Key("active"), 0, 9)
		}
	}); err != nil {
		return nil, err
	}
	var busy []string
	for i, l := range lists {
		if err := l.Err(); err != nil {
			return nil, redisconn.Explain(err)
		}
		for _, id := range l.Val() {
			busy = append(busy, m.o.Queues[i].String()+":"+id)
		}
	}
	return busy, nil
}

// fence takes the source's indexes out of everybody's reach, and makes sure that a
// replica has it: failing over to one that has not would bring the jobs back.
func (m *mover) fence(ctx context.Context) error {
	m.tell("fence", 0)
	if err := fenceScript.Load(ctx, m.src).Err(); err != nil {
		return fmt.Errorf("fence the source: %w", redisconn.Explain(err))
	}
	replicas, err := replicasOf(ctx, m.src)
	if err != nil {
		return err
	}
	var reply *redis.Cmd
	var acked *redis.Cmd
	if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
		reply = fenceScript.EvalSha(ctx, p, []string{m.record()}, m.fenceArgs()...)
		if replicas > 0 {
			// WAIT waits for this connection's writes, so there must be one
			p.HIncrBy(ctx, m.record(), "fence-tries", 1)
			acked = p.Do(ctx, "WAIT", 1, 1000)
		}
	}); err != nil {
		return fmt.Errorf("fence the source: %w", err)
	}
	result, err := reply.Slice()
	if err != nil {
		return fmt.Errorf("fence the source: %w", redisconn.Explain(err))
	}
	if done, _ := result[0].(int64); done != 1 {
		why, _ := result[1].(string)
		return migration.Errorf(migration.Conflict, "fence the source: %s: start again", why)
	}
	if acked != nil {
		if n, err := acked.Int(); err != nil || n == 0 {
			return migration.Errorf(migration.Unavailable, "fence the source: no replica "+
				"acknowledged it within a second (%d connected); the queue stands still: "+
				"continue, or take the move back", replicas)
		}
	}
	return nil
}

func (m *mover) fenceArgs() []any {
	args := []any{"fenced:" + m.o.Run + ":", lateIDs}
	for _, q := range m.o.Queues {
		args = append(args, q.Key(""))
	}
	return args
}

// replicasOf returns how many replicas are connected; a server that does not say
// has none we could wait for.
func replicasOf(ctx context.Context, c redis.UniversalClient) (int64, error) {
	info, err := c.Info(ctx, "replication").Result()
	if err != nil {
		if _, isReply := errors.AsType[redis.Error](err); isReply {
			return 0, nil
		}
		return 0, redisconn.Explain(err)
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "connected_slaves:"); ok {
			var replicas int64
			_, err := fmt.Sscan(n, &replicas)
			return replicas, err
		}
	}
	return 0, nil
}

// settle transfers what changed since the copy. The source is fenced: nothing
// changes any more.
func (m *mover) settle(ctx context.Context) error {
	if m.tracking == nil {
		return m.settleAll(ctx)
	}
	changed, err := m.changed(ctx)
	if err != nil { // lost: look at everything
		return m.settleAll(ctx)
	}
	m.report.Changed = len(changed)
	m.tell("settle", len(changed))
	if err := m.again(ctx, changed); err != nil {
		return err
	}
	return m.finishCopy(ctx)
}

// settleAll transfers everything while the source is fenced.
func (m *mover) settleAll(ctx context.Context) error {
	m.tell("settle", int(m.total))
	// what was copied before may be gone from the source
	if err := m.wipeContent(ctx); err != nil {
		return err
	}
	before := m.pacer.Keys.Load()
	var err error
	if m.differ, err = m.passAll(ctx); err != nil {
		return err
	}
	m.report.Changed = int(m.pacer.Keys.Load() - before)
	return m.finishCopy(ctx)
}

func (m *mover) finishCopy(ctx context.Context) error {
	if len(m.differ) > 0 { // once more: a key may have expired in between
		if err := m.again(ctx, nil); err != nil {
			return err
		}
		if len(m.differ) > 0 {
			return migration.Errorf(migration.Conflict, "%d keys differ between the sides "+
				"although the source is fenced, %s first: somebody writes to them; find out "+
				"who, then continue or take the move back",
				len(m.differ), m.differ[0])
		}
	}
	if err := m.foreign(); err != nil {
		return err
	}
	m.report.Keys, m.report.Bytes = m.pacer.Keys.Load(), m.pacer.Bytes.Load()
	if err := m.stage(ctx); err != nil {
		return err
	}
	return m.leaveLate(ctx)
}
