package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// ReadLane reads up to n entries of a queue's events stream after a position, and the
// server's counters, all of one moment (MULTI). Cost on the server: O(n) for the
// entries; the counters are O(1). It reads nothing but the stream, so that jobs that
// were removed are seen too.
func ReadLane(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, after Position, n int64,
) (Reading, error) {
	tx := c.TxPipeline()
	now := tx.Time(ctx)
	id := tx.Get(ctx, q.Key("id"))
	info := tx.XInfoStream(ctx, q.Key("events"))
	lists := []*redis.IntCmd{tx.LLen(ctx, q.Key("wait")), tx.LLen(ctx, q.Key("paused")),
		tx.LLen(ctx, q.Key("active")), tx.ZCard(ctx, q.Key("delayed")),
		tx.ZCard(ctx, q.Key("prioritized")), tx.ZCard(ctx, q.Key("waiting-children"))}
	// BullMQ 3 and 4 keep a marker "0:<delay>" at an end of the waiting list, which is
	// no job.
	ends := []*redis.StringCmd{tx.LIndex(ctx, q.Key("wait"), 0),
		tx.LIndex(ctx, q.Key("wait"), -1)}
	entries := tx.XRangeN(ctx, q.Key("events"), "("+after.String(), "+", n)
	if _, err := tx.Exec(ctx); err != nil && !isAnswer(err) {
		return Reading{}, redisconn.Explain(err)
	}
	for _, cmd := range []redis.Cmder{now, entries, lists[0], lists[1], lists[2], lists[3],
		lists[4], lists[5]} {
		if err := cmd.Err(); err != nil {
			return Reading{}, fmt.Errorf("%s: %w", q, redisconn.Explain(err))
		}
	}
	r := Reading{At: now.Val().UnixMilli(), End: int64(len(entries.Val())) < n}
	var err error
	if r.Adds, err = id.Int64(); err != nil && !errors.Is(err, redis.Nil) {
		return r, fmt.Errorf("%s: its id counter: %w", q, redisconn.Explain(err))
	}
	for i, l := range lists {
		r.Jobs += l.Val()
		if i < 3 {
			r.Listed += l.Val()
		}
	}
	if strings.HasPrefix(ends[0].Val(), "0:") || strings.HasPrefix(ends[1].Val(), "0:") {
		r.Jobs--
	}
	switch err := info.Err(); {
	case err == nil:
		x := info.Val()
		if r.Added = x.EntriesAdded; r.Added == 0 && x.Length > 0 {
			r.Added = -1
		}
		if r.Last, err = ParsePosition(x.LastGeneratedID); err != nil {
			return r, err
		}
		if x.FirstEntry.ID != "" {
			if r.First, err = ParsePosition(x.FirstEntry.ID); err != nil {
				return r, err
			}
		}
	case !strings.Contains(err.Error(), "no such key"):
		return r, fmt.Errorf("%s: its events stream: %w", q, redisconn.Explain(err))
	}
	r.Entries = make([]Entry, 0, len(entries.Val()))
	var fields []string
	for _, m := range entries.Val() {
		fields = fields[:0]
		for k, v := range m.Values {
			text, _ := v.(string)
			fields = append(fields, k, text)
		}
		e, err := ParseEntry(m.ID, fields)
		if err != nil {
			return r, fmt.Errorf("%s: %w", q, err)
		}
		r.Entries = append(r.Entries, e)
	}
	return r, nil
}

// isAnswer says that the server answered with an error, or nil: the single commands
// tell which.
func isAnswer(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// lookBatch is how many jobs are looked at in one transaction: each takes an LPOS over
// three lists, O(their length).
const lookBatch = 10

// fromTail: jobs that are looked at are the oldest, and those are near the end that
// BullMQ takes from.
var fromTail = redis.LPosArgs{Rank: -1}

// LookAt says what a server has of jobs, each of one moment with the end of the stream.
func LookAt(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, jobs []string,
) (map[string]Look, error) {
	lists, sets := []string{"wait", "active", "paused"}, []string{"delayed", "prioritized",
		"waiting-children", "completed", "failed"}
	out := make(map[string]Look, len(jobs))
	for len(jobs) > 0 {
		batch := jobs[:min(lookBatch, len(jobs))]
		jobs = jobs[len(batch):]
		tx := c.TxPipeline()
		exists := make([]*redis.IntCmd, len(batch))
		in := make([]map[string]redis.Cmder, len(batch))
		for i, id := range batch {
			exists[i], in[i] = tx.Exists(ctx, q.Key(id)), map[string]redis.Cmder{}
			for _, l := range lists {
				in[i][l] = tx.LPos(ctx, q.Key(l), id, fromTail)
			}
			for _, z := range sets {
				in[i][z] = tx.ZScore(ctx, q.Key(z), id)
			}
		}
		info := tx.XInfoStream(ctx, q.Key("events"))
		if _, err := tx.Exec(ctx); err != nil && !isAnswer(err) {
			return nil, redisconn.Explain(err)
		}
		end := Position{}
		if err := info.Err(); err == nil {
			if end, err = ParsePosition(info.Val().LastGeneratedID); err != nil {
				return nil, err
			}
		} else if !strings.Contains(err.Error(), "no such key") {
			return nil, redisconn.Explain(err)
		}
		for i, id := range batch {
			if err := exists[i].Err(); err != nil {
				return nil, redisconn.Explain(err)
			}
			look := Look{Hash: exists[i].Val() == 1, End: end}
			for _, state := range append(lists, sets...) {
				switch err := in[i][state].Err(); {
				case err == nil:
					look.State = state
				case !errors.Is(err, redis.Nil):
					return nil, fmt.Errorf("%s in %s: %w", id, state, redisconn.Explain(err))
				}
			}
			out[id] = look
		}
	}
	return out, nil
}

// Pace of Follow.
const (
	readPage  = 5000
	readEvery = 200 * time.Millisecond // while entries come
	// how long one wait for an entry lasts; a queue at rest is read once in this time
	readIdle  = 5 * time.Second
	lookEvery = 2 * time.Second
	lookGrace = 3 * time.Second // a job without news for so long is looked at
	lookLimit = 100             // jobs looked at in one round, at most
	// list entries that one round may go through: about 10 ms of the server's time
	lookScan = 500_000
)

// Follow reads a lane into the ledger until ctx ends or an error; whoever calls it
// tells the ledger (Failed) and calls again. now gives unix ms.
func (l *Streams) Follow(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, at Lane,
	now func() int64,
) error {
	var looked int64
	for {
		for {
			r, err := ReadLane(ctx, c, q, l.After(at), readPage)
			if err != nil {
				return err
			}
			l.Read(at, r)
			if r.End {
				break
			}
		}
		if t := now(); t-looked >= lookEvery.Milliseconds() {
			looked = t
			if err := l.lookRound(ctx, c, q, at, t); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readEvery):
		}
		// Wakes with the next entry; what it gives is read again above, together with
		// the counters.
		err := c.XRead(ctx, &redis.XReadArgs{
			Streams: []string{q.Key("events"), l.After(at).String()},
			Count:   1,
			Block:   readIdle,
		}).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			return redisconn.Explain(err)
		}
	}
}

func (l *Streams) lookRound(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, at Lane, now int64,
) error {
	jobs := l.Overdue(at, now, lookGrace, int(min(lookLimit, 1+lookScan/(1+l.listed(at)))))
	if len(jobs) == 0 {
		return nil
	}
	looks, err := LookAt(ctx, c, q, jobs)
	if err != nil {
		return err
	}
	for id, look := range looks {
		l.Seen(at, id, now, look)
	}
	return nil
}
