package bullmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// counts counts a queue, and finds out whether it was moved away.
func (s *surveyor) counts(ctx context.Context, sq *surveyed) (err error) {
	if sq.Counts, err = Census(ctx, s.c, sq.Queue); err != nil {
		return err
	}
	moved, err := s.c.HGet(ctx, sq.Queue.Key("meta"), movedField).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	sq.MovedBy = strings.TrimSuffix(strings.TrimPrefix(moved, "fenced:"), ":")
	return nil
}

// details reads what a queue's own keys say about it.
func (s *surveyor) details(ctx context.Context, sq *surveyed) error {
	q := sq.Queue
	p := s.c.TxPipeline()
	now := p.Time(ctx)
	meta := p.HMGet(ctx, q.Key("meta"), "max", "duration", "concurrency")
	limiter := p.PTTL(ctx, q.Key("limiter"))
	first, last := p.ZRangeWithScores(ctx, q.Key("delayed"), 0, 0), p.ZRangeWithScores(ctx,
		q.Key("delayed"), -1, -1)
	kinds := map[string]*redis.IntCmd{}
	for _, part := range []string{"marker", "prioritized", "priority", "pc", "paused"} {
		kinds[part] = p.Exists(ctx, q.Key(part))
	}
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	number := func(v any) int64 {
		text, _ := v.(string)
		n, _ := strconv.ParseInt(text, 10, 64)
		return n
	}
	if limit := number(meta.Val()[0]); limit > 0 {
		sq.RateLimit = &RateLimit{Max: limit,
			Duration: time.Duration(number(meta.Val()[1])) * time.Millisecond}
	}
	sq.Concurrency = number(meta.Val()[2])
	// go-redis returns -1 and -2 unchanged
	sq.Limited, sq.LimitedEver = limiter.Val() != -2, limiter.Val() == -1
	due := func(z []redis.Z) *time.Time {
		if len(z) == 0 {
			return nil
		}
		at := time.UnixMilli(int64(z[0].Score) / 4096).UTC()
		return &at
	}
	sq.DelayedFirst, sq.DelayedLast = due(first.Val()), due(last.Val())
	there := func(part string) bool { return kinds[part].Val() == 1 }
	switch major := sq.Counts.major(); {
	case major >= 3:
		sq.Layout = strconv.Itoa(major)
	case there("priority"):
		sq.Layout = "3"
	case sq.markers:
		sq.Layout = "4"
		if !there("prioritized") && !there("pc") && sq.Counts.Version == "" {
			sq.Layout = "" // 3 or 4
		}
	case there("marker"):
		sq.Layout = "6"
		if there("paused") {
			sq.Layout = "5"
		}
	}
	if sq.DelayedFirst == nil {
		return nil
	}
	counts := make([]*redis.IntCmd, len(Horizons))
	p = s.c.TxPipeline()
	from := "-inf"
	for i, h := range Horizons {
		to := "+inf"
		if i < len(Horizons)-1 {
			to = "(" + strconv.FormatInt(now.Val().Add(h.Span).UnixMilli()*4096, 10)
		}
		counts[i] = p.ZCount(ctx, q.Key("delayed"), from, to)
		from = strings.TrimPrefix(to, "(")
	}
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	for i, h := range Horizons {
		if n := counts[i].Val(); n > 0 {
			sq.DelayedOver[h.Name] = n
		}
	}
	return nil
}

func (s *surveyor) schedulers(ctx context.Context, sq *surveyed) error {
	q := sq.Queue
	entries, err := s.c.ZRangeWithScores(ctx, q.Key("repeat"), 0, -1).Result()
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(entries, surveyKeys) {
		hashes, pending := make([]*redis.SliceCmd, len(batch)),
			make([]*redis.IntCmd, len(batch))
		if err := s.timed(ctx, func(p redis.Pipeliner) {
			for i, z := range batch {
				id, _ := z.Member.(string)
				hashes[i] = p.HMGet(ctx, q.Key("repeat:"+id), "ic", "pattern", "tz", "every")
				pending[i] = p.Exists(ctx, q.Key(fmt.Sprintf("repeat:%s:%.0f", id, z.Score)))
			}
		}); err != nil {
			return err
		}
		for i, z := range batch {
			id, _ := z.Member.(string)
			text := func(n int) string { v, _ := hashes[i].Val()[n].(string); return v }
			sc := Scheduler{
				ID:             id,
				Pattern:        text(1),
				TZ:             text(2),
				Next:           time.UnixMilli(int64(z.Score)).UTC(),
				Legacy:         text(0) == "",
				PendingMissing: pending[i].Val() == 0,
			}
			sc.EveryMS, _ = strconv.ParseInt(text(3), 10, 64)
			sc.Iterations, _ = strconv.ParseInt(text(0), 10, 64)
			sq.Schedulers = append(sq.Schedulers, sc)
		}
	}
	return nil
}

// stalled counts active jobs whose worker has shown no sign of life for the
// duration of a lock.
func (s *surveyor) stalled(ctx context.Context, sq *surveyed) error {
	q := sq.Queue
	var ids []string
	if err := s.entries(ctx, q.Key("active"), true, func(some []string) {
		ids = append(ids, some...)
	}); err != nil {
		return err
	}
	for batch := range slices.Chunk(ids, surveyIDs) {
		locks := make([]*redis.IntCmd, len(batch))
		if err := s.timed(ctx, func(p redis.Pipeliner) {
			for i, id := range batch {
				locks[i] = p.Exists(ctx, q.Key(id)+":lock")
			}
		}); err != nil {
			return err
		}
		for i, id := range batch {
			if locks[i].Err() != nil || locks[i].Val() != 0 {
				continue
			}
			// It may just have ended. LPOS takes time proportional to the list, so
			// it is only asked for the few that look stalled.
			var active *redis.IntCmd
			if err := s.timed(ctx, func(p redis.Pipeliner) {
				active = p.LPos(ctx, q.Key("active"), id, redis.LPosArgs{})
			}); err != nil {
				return err
			}
			if active.Err() == nil {
				if sq.StalledCount++; len(sq.Stalled) < surveyExamples {
					sq.Stalled = append(sq.Stalled, id)
				}
			}
		}
	}
	return nil
}

func (s *surveyor) workers(ctx context.Context, sq *surveyed) error {
	clients, err := s.clients()
	if err != nil {
		if _, isReply := errors.AsType[redis.Error](err); !isReply {
			return err
		}
		sq.WorkersNote = "the server does not allow CLIENT LIST"
		return nil
	}
	for _, cl := range clients {
		if name, is := workerOf(sq.Queue, cl.Name); is {
			sq.Workers = append(sq.Workers, WorkerConn{
				Name: name,
				Addr: cl.Addr,
				Age:  cl.AgeSec,
				Idle: cl.IdleSec,
			})
		}
	}
	return nil
}
