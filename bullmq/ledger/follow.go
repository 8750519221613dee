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

// ReadLane reads up to n entries of a queue's events stream after a position, the entry at
// that position, the server's counters and its run id, atomically (MULTI). It costs the
// server O(n) for the entries and O(1) for the rest. It reads nothing but the stream, so it
// sees removed jobs too. An account that may not ask for INFO does not learn the run id: its
// server is told by the stream alone.
func ReadLane(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, after Position, n int64,
) (Reading, error) {
	return readLane(ctx, c, q, after, n, true)
}

func readLane(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, after Position, n int64,
	askInfo bool,
) (Reading, error) {
	tx := c.TxPipeline()
	now, server := tx.Time(ctx), redis.NewStringCmd(ctx)
	if askInfo {
		server = tx.Info(ctx, "server")
	}
	id := tx.Get(ctx, q.Key("id"))
	info := tx.XInfoStream(ctx, q.Key("events"))
	lists := []*redis.IntCmd{tx.LLen(ctx, q.Key("wait")), tx.LLen(ctx, q.Key("paused")),
		tx.LLen(ctx, q.Key("active")), tx.ZCard(ctx, q.Key("delayed")),
		tx.ZCard(ctx, q.Key("prioritized")), tx.ZCard(ctx, q.Key("waiting-children"))}
	// BullMQ 3 and 4 keep a marker "0:<delay>" at one end of the waiting list; it
	// is not a job.
	ends := []*redis.StringCmd{tx.LIndex(ctx, q.Key("wait"), 0),
		tx.LIndex(ctx, q.Key("wait"), -1)}
	entries := tx.XRangeN(ctx, q.Key("events"), after.String(), "+", n+1)
	cmds, err := tx.Exec(ctx)
	if err = refusal(cmds, err); err != nil && askInfo && errors.Is(err, server.Err()) {
		return readLane(ctx, c, q, after, n, false)
	}
	if err != nil {
		return Reading{}, fmt.Errorf("%s: %w", q, redisconn.Explain(err))
	}
	for _, cmd := range []redis.Cmder{now, entries, lists[0], lists[1], lists[2], lists[3],
		lists[4], lists[5]} {
		if err := cmd.Err(); err != nil {
			return Reading{}, fmt.Errorf("%s: %w", q, redisconn.Explain(err))
		}
	}
	r := Reading{At: now.Val().UnixMilli(),
		Server: redisconn.ParseInfo(server.Val())["run_id"]}
	if r.Adds, err = id.Int64(); err != nil && !errors.Is(err, redis.Nil) {
		return r, fmt.Errorf("%s: its id counter: %w", q, redisconn.Explain(err))
	}
	for i, l := range lists {
		r.Jobs += l.Val()
		if i < 3 {
			r.Listed += l.Val()
		}
	}
	r.Waits = lists[0].Val() + lists[1].Val() + lists[4].Val()
	if strings.HasPrefix(ends[0].Val(), "0:") || strings.HasPrefix(ends[1].Val(), "0:") {
		r.Jobs, r.Waits = r.Jobs-1, r.Waits-1
	}
	if id := ends[1].Val(); lists[1].Val()+lists[4].Val() == 0 && !strings.HasPrefix(id, "0:") {
		r.Next = id
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
		if e.At == after {
			r.Cursor = &e
			continue
		}
		r.Entries = append(r.Entries, e)
	}
	r.End = int64(len(r.Entries)) < n
	r.Entries = r.Entries[:min(n, int64(len(r.Entries)))]
	return r, nil
}

// refusal says why nothing of a transaction or a pipeline was carried out: by the command that
// the server refused, where it tells. nil when it was, also if single commands failed.
func refusal(cmds []redis.Cmder, err error) error {
	if err == nil || isAnswer(err) && !redis.IsExecAbortError(err) {
		return nil
	}
	for _, cmd := range cmds {
		if e := cmd.Err(); e != nil && isAnswer(e) && !redis.IsExecAbortError(e) {
			return e
		}
	}
	return err
}

// isAnswer reports whether the server replied with an error or nil: the single
// commands tell which.
func isAnswer(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// The pace of Follow.
const (
	readPage  = 5000
	readEvery = 200 * time.Millisecond // while entries arrive
	// how long one wait for an entry lasts; an idle queue is read once in this time
	readIdle  = 5 * time.Second
	lookEvery = 2 * time.Second
	lookGrace = 3 * time.Second // a job without news for this long is looked up
	lookLimit = 100             // jobs looked up in one round, at most
	// list entries one round may scan: about 10 ms of the server's time
	lookScan = 500_000
)

// Follow reads a lane until ctx ends or an error occurs; the caller reports the
// error (Failed) and calls again. now returns unix ms.
func (st *Streams) Follow(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, at Lane,
	now func() int64,
) error {
	st.Follows(at)
	var looked int64
	for {
		for {
			began := time.Now()
			r, err := ReadLane(ctx, c, q, st.After(at), readPage)
			if err != nil {
				return err
			}
			r.ReadAt, r.Took = now(), time.Since(began)
			st.Read(at, r)
			if r.End {
				break
			}
		}
		if t := now(); t-looked >= lookEvery.Milliseconds() {
			looked = t
			if err := st.lookRound(ctx, c, q, at, t); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readEvery):
		}
		// Wakes up with the next entry, which is read again above, together with
		// the counters.
		err := c.XRead(ctx, &redis.XReadArgs{
			Streams: []string{q.Key("events"), st.After(at).String()},
			Count:   1,
			Block:   readIdle,
		}).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			return redisconn.Explain(err)
		}
	}
}
