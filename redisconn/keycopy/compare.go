package keycopy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

const (
	// maxAgain is how many differing keys are looked at a second time. Beyond that
	// there is no point: it is not just a race with a writer.
	maxAgain = 10_000
	// maxShapes bounds how many key shapes are remembered with their type.
	maxShapes = 1000
	// relativeTolerance is the allowed difference of two expiry times, in ms, when
	// a server only reports the time left: each is then the sum of two readings.
	relativeTolerance = 1000
)

// CompareOptions control a comparison.
type CompareOptions struct {
	Pace
	// Progress, if not nil, is called several times a second, by one goroutine, and
	// once at the end.
	Progress func(Progress)
}

// Compare compares every key of src's database with dst's, and looks for keys that
// only dst has: type, value (hashes and sets regardless of order), expiry time to
// the millisecond; of streams also counters, groups, consumers and pending entries,
// except their delivery times. Expiry of single fields of a hash (Redis 7.4) is not
// compared. What differs at first is looked at once more at the end, so that a
// writer's last change does not count as a difference. It takes 2 commands per key
// on each side.
//
// dst needs Redis 6.2 for values above maxValue.
func Compare(
	ctx context.Context, src, dst redis.UniversalClient, o CompareOptions,
) (redisconn.CompareReport, error) {
	c := &comparer{sides: [2]redis.UniversalClient{src, dst}, shapes: map[string]string{}}
	c.report.Differences = []redisconn.Difference{}
	if err := c.compare(ctx, o); err != nil {
		return c.report, fmt.Errorf("compare: %w", err)
	}
	return c.report, nil
}

type comparer struct {
	*pace.Pacer
	sides    [2]redis.UniversalClient
	absolute [2]bool
	// on behalf of a Mirror
	uncounted bool
	see       func(key, kind string, parts [][]byte)

	mu     sync.Mutex
	report redisconn.CompareReport
	again  []string
	shapes map[string]string // shape of a key -> type of the last such key
}

// sideNames tell which server an error is about.
var sideNames = [2]string{"source", "target"}

// finding is the result of comparing a key.
type finding string

const (
	equal        finding = ""
	goneFromBoth finding = "gone"
	missing      finding = "missing"
	extra        finding = "extra"
	otherValue   finding = "value"
	otherExpiry  finding = "expiry"
)

func (c *comparer) compare(ctx context.Context, o CompareOptions) error {
	src, dst := c.sides[0], c.sides[1]
	size, err := src.DBSize(ctx).Result()
	if err != nil {
		return fmt.Errorf("source: %w", redisconn.Explain(err))
	}
	if err := dst.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("target: %w", redisconn.Explain(err))
	}
	for i, cl := range c.sides {
		c.absolute[i] = redisconn.AbsoluteExpiry(ctx, cl)
	}
	c.Pacer = pace.New(o.Pace, pace.Work{
		Source:    src,
		Batch:     batchKeys,
		PerSource: 2,
		PerTarget: 2,
		Tell:      o.Progress,
	})
	c.Total.Store(size)
	c.Start(ctx)
	defer c.End()
	if err := c.forth(ctx); err != nil {
		return err
	}
	if covered, err := c.covered(ctx); err != nil {
		return err
	} else if !covered {
		if err := c.back(ctx); err != nil {
			return err
		}
	}
	return c.lookAgain(ctx)
}

// covered reports whether no key can exist on the target alone: every key of the
// source was found there, and both hold the same number. A key that expired and was
// not removed yet would count, but SCAN on a master removes those it meets.
func (c *comparer) covered(ctx context.Context) (bool, error) {
	if len(c.again) > 0 {
		return false, nil
	}
	for i, cl := range c.sides {
		n, err := cl.DBSize(ctx).Result()
		if err != nil {
			return false, fmt.Errorf("%s: %w", sideNames[i], redisconn.Explain(err))
		}
		if n != c.report.Keys {
			return false, nil
		}
	}
	// A replica waits for its master to remove expired keys. One that does not tell may be one.
	info := c.sides[0].Info(ctx, "replication").Val()
	return strings.Contains(info, "role:master"), nil
}

// forth looks at every key of the source.
func (c *comparer) forth(ctx context.Context) error {
	return c.each(ctx, 0, func(ctx context.Context, w *pair, keys []string) error {
		for len(keys) > 0 {
			n := w.size.keys(len(keys), c.Batch)
			left, err := c.compareBatch(ctx, w, keys[:n], func(key string, f finding) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.note(key, f)
			})
			if err != nil {
				return err
			}
			keys = append(left, keys[n:]...)
		}
		return nil
	})
}

// note records a finding, and puts differences aside for a second look. The caller
// holds c.mu.
func (c *comparer) note(key string, f finding) {
	switch {
	case f == goneFromBoth:
		c.report.Expired++
		return
	case f == equal:
	case len(c.again) < maxAgain:
		c.again = append(c.again, key)
	default:
		c.count(key, f)
	}
	c.report.Keys++
}

func (c *comparer) count(key string, f finding) {
	switch f {
	case missing:
		c.report.Add(key, string(f), &c.report.Missing)
	case extra:
		c.report.Add(key, string(f), &c.report.Extra)
	case otherValue:
		c.report.Add(key, string(f), &c.report.Value)
	case otherExpiry:
		c.report.Add(key, string(f), &c.report.Expiry)
	}
}

// back looks for keys of the target that the source does not have.
func (c *comparer) back(ctx context.Context) error {
	return c.each(ctx, 1, func(ctx context.Context, w *pair, keys []string) error {
		for part := range slices.Chunk(keys, c.Batch) {
			if err := c.Source(ctx, len(part)); err != nil {
				return err
			}
			b := w.replies[0]
			b.reset(len(part))
			pipe := c.sides[0].Pipeline()
			for i, k := range part {
				_ = pipe.Process(ctx, b.command(ctx, i, "exists", k))
			}
			if _, err := pipe.Exec(ctx); err != nil {
				return fmt.Errorf("source: %w", redisconn.Explain(err))
			}
			for i, k := range part {
				n, err := integer(b.reply(i))
				if err != nil {
					return fmt.Errorf("source: key %q: %w", k, err)
				}
				if n == 0 {
					c.mu.Lock()
					c.noteExtra(k)
					c.mu.Unlock()
				}
			}
		}
		return nil
	})
}

func (c *comparer) noteExtra(key string) {
	if len(c.again) < maxAgain {
		c.again = append(c.again, key)
		return
	}
	c.count(key, extra)
}

// lookAgain counts what still differs.
func (c *comparer) lookAgain(ctx context.Context) error {
	w := newPair()
	w.size.n = 1
	slices.Sort(c.again)
	keys := slices.Compact(c.again)
	for len(keys) > 0 {
		n := w.size.keys(len(keys), c.Batch)
		left, err := c.compareBatch(ctx, w, keys[:n], func(key string, f finding) {
			c.count(key, f)
		})
		if err != nil {
			return err
		}
		keys = append(left, keys[n:]...)
	}
	c.report.Same = c.report.Missing+c.report.Extra+c.report.Value+c.report.Expiry == 0
	return nil
}
