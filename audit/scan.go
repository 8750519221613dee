package audit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
)

const (
	scanBatch = 200
	// scanSample is how many jobs, and how many other keys, are measured. SCAN
	// returns keys in the order of their hashes, so the first ones are a fair
	// sample.
	scanSample   = 20_000
	scanExamples = 10
)

// scan is what a scan of the keys found.
type scan struct {
	queues       []bullmq.Queue
	others       []bullmq.Found // queues of other libraries
	keys         int64          // seen, in the connection's database
	foreign      int64          // of those, belonging to no queue
	foreignLimit int64          // of those measured, with an expiry
	expiries     int64          // keys of queues whose expiry was read
	noExpiries   bool           // no key of the server expires, so no expiry was read
	mortal       int64          // keys of queues that expire but must not
	mortalKeys   []string
	jobs         int64 // measured
	largest      int64 // bytes of the largest job's data
	large        int64 // jobs whose data is at least largeData
	largeKeys    []string
	finished     int64 // entries in completed and failed, in all queues
	longest      int64 // the longest of those lists and of the event streams
	longestKey   string
	braces       bool // every queue's prefix contains a hash tag
	// keys whose memory was asked for: every list of every queue, and the first
	// foreignSized others
	sized      int64
	sizeDenied bool     // MEMORY USAGE is not allowed
	biggest    int64    // bytes
	big        []string // keys of at least bigKey bytes
}

// bigKey is a little below the largest value the smallest managed plans allow (Upstash:
// 100 MB).
// foreignSized is how many keys that belong to no queue are measured.
const (
	bigKey       = 95 << 20
	foreignSized = 2_000
)

// largeData is the size from which a job's data counts as large. RedisInsight flags
// strings of 100 KB.
const largeData = 100 << 10

type scanner struct {
	scan
	c     redis.UniversalClient
	share float64
	owner bullmq.Ownership
}

// scanKeys looks at every key of the database in batches, pausing between them. It
// only reads, without scripts.
func scanKeys(
	ctx context.Context, c redis.UniversalClient, o Options, noExpiries bool,
) (*scan, error) {
	owner, err := bullmq.Look(ctx, c)
	if err != nil {
		return nil, err
	}
	queues := owner.BullMQ()
	total, err := c.DBSize(ctx).Result()
	if err != nil {
		return nil, err
	}
	s := &scanner{c: c, share: o.Share, owner: owner}
	s.queues, s.noExpiries, s.braces = queues, noExpiries, true
	for _, f := range owner.Queues() {
		if f.Kind != bullmq.KindBullMQ {
			s.others = append(s.others, f)
		}
	}
	for _, q := range queues {
		s.braces = s.braces && strings.Contains(q.Prefix, "{") &&
			strings.Contains(q.Prefix, "}")
		if err := s.growth(ctx, q); err != nil {
			return nil, err
		}
	}
	var cursor uint64
	for {
		started := time.Now()
		keys, next, err := c.Scan(ctx, cursor, "*", scanBatch).Result()
		if err != nil {
			return nil, err
		}
		if err := s.batch(ctx, keys); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(s.keys, max(total, s.keys))
		}
		if cursor = next; cursor == 0 {
			return &s.scan, nil
		}
		if err := s.rest(ctx, time.Since(started)); err != nil {
			return nil, err
		}
	}
}

func (s *scanner) rest(ctx context.Context, took time.Duration) error {
	if s.share >= 1 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(float64(took) * (1/s.share - 1))):
		return nil
	}
}

// memory asks how big keys are.
func (s *scanner) memory(ctx context.Context, keys []string) error {
	if s.sizeDenied || len(keys) == 0 {
		return nil
	}
	p := s.c.Pipeline()
	sizes := make([]*redis.IntCmd, len(keys))
	for i, k := range keys {
		sizes[i] = p.MemoryUsage(ctx, k)
	}
	if _, err := p.Exec(ctx); err != nil && !isReply(err) {
		return err
	}
	for i, c := range sizes {
		switch n, err := c.Result(); {
		case errors.Is(err, redis.Nil): // it is gone
		case err != nil:
			s.sizeDenied = true
		default:
			s.sized++
			s.biggest = max(s.biggest, n)
			if n >= bigKey && len(s.big) < scanExamples {
				s.big = append(s.big, keys[i])
			}
		}
	}
	return nil
}

// growth measures everything that grows without bound unless limited.
func (s *scanner) growth(ctx context.Context, q bullmq.Queue) error {
	p := s.c.Pipeline()
	sizes := map[string]*redis.IntCmd{
		q.Key("completed"): p.ZCard(ctx, q.Key("completed")),
		q.Key("failed"):    p.ZCard(ctx, q.Key("failed")),
		q.Key("events"):    p.XLen(ctx, q.Key("events")),
	}
	if _, err := p.Exec(ctx); err != nil && !isReply(err) {
		return err
	}
	var lists []string
	for _, part := range bullmq.Lists() {
		lists = append(lists, q.Key(part))
	}
	if err := s.memory(ctx, lists); err != nil {
		return err
	}
	for _, part := range bullmq.GrowingParts {
		key := q.Key(part)
		n := sizes[key].Val()
		if part != "events" {
			s.finished += n
		}
		if n > s.longest {
			s.longest, s.longestKey = n, key
		}
	}
	return nil
}

func (s *scanner) batch(ctx context.Context, keys []string) error {
	type read struct {
		key             string
		foreign, mortal bool
		ttl             *redis.DurationCmd
		data            *redis.IntCmd
	}
	var reads []read
	var others []string
	p := s.c.Pipeline()
	all, err := s.owner.Whose(ctx, s.c, keys)
	if err != nil {
		return err
	}
	for _, w := range all {
		s.keys++
		k, part, ours := w.Key, w.Part, w.Owned()
		r := read{key: k, foreign: !ours, mortal: ours && !bullmq.MayExpire(part)}
		switch {
		case w.Ours || w.Gone || w.Owner.Kind != "" && !ours || strings.Contains(k, "::relay:"):
			// of a queue that was moved away or of another library, or BullMQ's own
			continue
		case r.foreign:
			if s.foreign++; s.foreign <= scanSample && !s.noExpiries {
				r.ttl = p.PTTL(ctx, k)
			}
			if s.foreign <= foreignSized {
				others = append(others, k)
			}
		case r.mortal && !s.noExpiries:
			r.ttl = p.PTTL(ctx, k)
		}
		if ours && bullmq.IsJob(part) && s.jobs < scanSample {
			s.jobs++
			r.data = p.HStrLen(ctx, k, "data")
		}
		if r.ttl != nil || r.data != nil {
			reads = append(reads, r)
		}
	}
	if err := s.memory(ctx, others); err != nil || len(reads) == 0 {
		return err
	}
	if _, err := p.Exec(ctx); err != nil && !isReply(err) {
		return err
	}
	for _, r := range reads {
		if r.ttl != nil && r.ttl.Err() == nil {
			expires := r.ttl.Val() >= 0
			switch {
			case r.foreign && expires:
				s.foreignLimit++
			case r.mortal:
				if s.expiries++; expires {
					if s.mortal++; len(s.mortalKeys) < scanExamples {
						s.mortalKeys = append(s.mortalKeys, r.key)
					}
				}
			}
		}
		if r.data != nil && r.data.Err() == nil {
			n := r.data.Val()
			s.largest = max(s.largest, n)
			if n >= largeData {
				if s.large++; len(s.largeKeys) < scanExamples {
					s.largeKeys = append(s.largeKeys, r.key)
				}
			}
		}
	}
	slices.Sort(s.mortalKeys)
	return nil
}
