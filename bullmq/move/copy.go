package move

import (
	"cmp"
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
	"github.com/switchyard-dev/switchyard/redisconn"
)

// batchKeys is how many keys travel in one round trip at most.
const batchKeys = 500

// pass copies keys as they are now, deletes on the target those that are gone,
// reads both sides back and compares them by typed value and expiry: see
// keycopy.Mirror. It returns the keys that differ: on a live source these changed
// in between, on a fenced one they are a fault. Copying a key again is harmless.
func (m *mover) pass(
	ctx context.Context, batches <-chan []string,
) (differ []string, err error) {
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
					m.worked(began)
				}
			}
			return nil
		})
	}
	err = g.Wait()
	if err != nil {
		go func() { // whoever fills the channel must not block forever
			for range batches {
			}
		}()
	}
	return differ, err
}

func (m *mover) worked(since time.Time) { m.working.Add(int64(time.Since(since))) }

// passList runs pass over a list.
func (m *mover) passList(ctx context.Context, keys []string) ([]string, error) {
	batches := make(chan []string, len(keys)/batchKeys+1)
	for b := range slices.Chunk(keys, batchKeys) {
		batches <- b
	}
	close(batches)
	return m.pass(ctx, batches)
}

// passAll runs pass over every content key of the group that SCAN finds.
func (m *mover) passAll(ctx context.Context) ([]string, error) {
	batches := make(chan []string, 2*m.pacer.Workers)
	scan, ctx := errgroup.WithContext(ctx)
	scan.Go(func() error {
		defer close(batches)
		paced := func(ctx context.Context, n int) error {
			// delays count as they do for the workers: see measured
			defer m.worked(time.Now())
			return m.pacer.Source(ctx, n)
		}
		return m.scan(ctx, m.src, m.own, paced, func(keys []string) error {
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

// scan passes every key once to batch that may be content of the group by its name: see
// mine for who made it. pace is asked before each command.
func (m *mover) scan(
	ctx context.Context, c redis.UniversalClient, own bullmq.Ownership,
	pace func(context.Context, int) error, batch func([]string) error,
) error {
	for _, q := range m.o.Queues {
		var cursor uint64
		var keys []string
		for {
			if err := pace(ctx, 1); err != nil {
				return err
			}
			found, next, err := c.Scan(ctx, cursor, escape(q.Key(""))+"*", 1000).Result()
			if err != nil {
				return fmt.Errorf("scan %s: %w", q, redisconn.Explain(err))
			}
			for _, k := range found {
				if outer, may := m.mayBe(own, k); may && outer.Same(q) {
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

// mayBe reports whether a key may be content of a queue of the group by its name, and
// returns the one with the shortest name among those.
func (m *mover) mayBe(own bullmq.Ownership, key string) (outer bullmq.Queue, may bool) {
	for _, q := range own.Contesting(key) {
		if m.moves(q) && classify(strings.TrimPrefix(key, q.Key(""))) == content {
			outer, may = q, true
		}
	}
	return outer, may
}

// escape escapes a key for MATCH.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`,
		`\^`).Replace(s)
}

// copyBatch copies and compares those keys that are the group's, and returns those that
// differ.
func (m *mover) copyBatch(ctx context.Context, keys []string) (differ []string, err error) {
	if keys, err = m.mine(ctx, keys); err != nil || len(keys) == 0 {
		return nil, err
	}
	keep, err := m.withoutEndlessLimits(ctx, keys)
	if err != nil {
		return nil, err
	}
	if err := m.mirror.Copy(ctx, keep); err != nil {
		return nil, err
	}
	var gone []string
	here := make([]string, 0, len(keep))
	if err := m.mirror.Compare(ctx, keep, func(key string, same, there bool) {
		if !same {
			differ = append(differ, key)
		}
		if there {
			here = append(here, key)
		} else {
			gone = append(gone, key)
		}
	}); err != nil {
		return nil, err
	}
	m.copied.mu.Lock()
	for _, k := range here {
		m.copied.add(k)
	}
	for _, k := range gone {
		m.copied.remove(k)
	}
	m.copied.mu.Unlock()
	wrong, err := m.renameAll(ctx, keep)
	return append(differ, wrong...), err
}

// withoutEndlessLimits returns the keys except rate limits that never expire, which
// would block the target: they are not copied.
func (m *mover) withoutEndlessLimits(ctx context.Context, keys []string) ([]string, error) {
	at := slices.IndexFunc(keys, func(k string) bool {
		return strings.HasSuffix(k, ":limiter")
	})
	if at < 0 {
		return keys, nil
	}
	if err := m.pacer.Source(ctx, 1); err != nil {
		return nil, err
	}
	ttl, err := m.src.PTTL(ctx, keys[at]).Result()
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", keys[at], redisconn.Explain(err))
	}
	rest, err := m.withoutEndlessLimits(ctx, keys[at+1:])
	if err != nil {
		return nil, err
	}
	if ttl == -1 { // go-redis returns the number unchanged: no expiry
		return slices.Concat(keys[:at], rest), nil
	}
	return slices.Concat(keys[:at+1], rest), nil
}

// see records what the mirror compared: which queues outside the group a flow's key
// names, and which jobs count their attempts under old names.
func (m *mover) see(key, kind string, parts [][]byte) {
	note := func(other string) {
		if _, _, ok := m.queueOf(other); !ok {
			if q, _, known := m.own.Of(other); known {
				m.outside[strings.TrimSuffix(q.Key(""), ":")] = key
			} else if at := strings.LastIndexByte(other, ':'); at > 0 {
				m.outside[other[:at]] = key
			}
		}
	}
	m.seeing.Lock()
	defer m.seeing.Unlock()
	switch {
	case kind == "hash" && !strings.HasSuffix(key, ":processed") &&
		!strings.HasSuffix(key, ":failed"):
		for i := 0; i+1 < len(parts); i += 2 {
			switch field := string(parts[i]); {
			case field == "parentKey" && len(parts[i+1]) > 0:
				note(string(parts[i+1]))
			case m.renameAttempts && slices.Contains(attempts[:], field):
				if m.old[key] == nil {
					m.old[key] = map[string]string{}
				}
				m.old[key][field] = string(parts[i+1])
			}
		}
	case kind == "set" && strings.HasSuffix(key, ":dependencies"):
		for _, child := range parts {
			note(string(child))
		}
	}
}

// attempts are the fields in which BullMQ 3 and 4 count attempts, then those of
// later versions.
var attempts = [4]string{"attemptsMade", "attemptsStarted", "atm", "ats"}

// renameAll renames, on the target, the attempt counters of those keys that use the
// old names, reads them back, and returns the keys that are not as they should be.
func (m *mover) renameAll(ctx context.Context, keys []string) (wrong []string, err error) {
	if !m.renameAttempts {
		return nil, nil
	}
	var jobs []string
	var want []map[string]string
	m.seeing.Lock()
	for _, k := range keys {
		if old := m.old[k]; old["attemptsMade"] != "" || old["attemptsStarted"] != "" {
			jobs, want = append(jobs, k), append(want, old)
		}
		delete(m.old, k)
	}
	m.seeing.Unlock()
	if len(jobs) == 0 {
		return nil, nil
	}
	if err := m.pacer.Target(ctx, 1+len(jobs)); err != nil {
		return nil, err
	}
	if err := renameAttempts.Run(ctx, m.dst, jobs).Err(); err != nil {
		return nil, fmt.Errorf("write to the target: %w", redisconn.Explain(err))
	}
	got := make([]*redis.SliceCmd, len(jobs))
	if err := pipe(ctx, m.dst, func(p redis.Pipeliner) {
		for i, k := range jobs {
			got[i] = p.HMGet(ctx, k, attempts[:]...)
		}
	}); err != nil {
		return nil, fmt.Errorf("read from the target: %w", err)
	}
	for i, k := range jobs {
		v, err := got[i].Result()
		if err != nil {
			return nil, fmt.Errorf("key %q: read from the target: %w", k,
				redisconn.Explain(err))
		}
		for n := range 2 {
			is, _ := v[n+2].(string)
			if v[n] != nil || is != cmp.Or(want[i][attempts[n+2]], want[i][attempts[n]]) {
				wrong = append(wrong, k)
				break
			}
		}
	}
	return wrong, nil
}

// pipe sends commands in one round trip. The error is the connection's; a command's
// own error stays with the command.
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
		if _, isReply := errors.AsType[redis.Error](cmd.Err()); cmd.Err() != nil && !isReply {
			return redisconn.Explain(cmd.Err())
		}
	}
	if _, isReply := errors.AsType[redis.Error](err); !isReply {
		return redisconn.Explain(err)
	}
	return nil
}
