package keycopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

const (
	// maxAgain is how many keys that differ are looked at a second time. With more
	// there is no point: it is no race with a writer.
	maxAgain = 10_000
	// maxShapes bounds what is remembered about which keys have which type.
	maxShapes = 1000
	// relativeTolerance is by how much two expiry times may differ, in ms, when a
	// server tells only how long a key lasts: each is then the sum of two readings.
	relativeTolerance = 1000
)

// CompareOptions says how to compare.
type CompareOptions struct {
	Pace
	// Progress, if not nil, is told several times a second, by one goroutine, and once
	// at the end.
	Progress func(Progress)
}

// Compare compares every key of src's database with dst's, and looks for keys that only
// dst has: type, value (hashes and sets without regard to order), expiry time to the
// millisecond; of streams also counters, groups, consumers and pending entries, but for
// when those were delivered. Expiry of single fields of a hash (Redis 7.4) is not
// compared. What differs at first is looked at once more at the end, so that a writer's
// last change is not a difference. It takes 2 commands for a key on each side.
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
	// of a Mirror
	uncounted bool
	see       func(key, kind string, parts [][]byte)

	mu     sync.Mutex
	report redisconn.CompareReport
	again  []string
	shapes map[string]string // shape of a key -> type that the last such key had
}

// what a key is on both sides.
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

// covered reports that nothing can be on the target alone: every key of the source was
// found there, and both hold exactly so many. A key that expired and was not removed
// yet would count, but SCAN removes those it meets on a master.
func (c *comparer) covered(ctx context.Context) (bool, error) {
	if len(c.again) > 0 ||
		c.report.Missing+c.report.Value+c.report.Expiry+c.report.Expired > 0 {
		return false, nil
	}
	for i, cl := range c.sides {
		n, err := cl.DBSize(ctx).Result()
		if err != nil {
			return false, redisconn.Explain(err)
		}
		if n != c.report.Keys {
			return false, nil
		}
		if i == 0 {
			info, err := cl.Info(ctx, "replication").Result()
			if err == nil && strings.Contains(info, "role:slave") {
				return false, nil // a replica waits for its master to remove expired keys
			}
		}
	}
	return true, nil
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

// note takes in what was found, and puts differences aside for a second look. c.mu is
// locked.
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

// pair is what a worker reads both sides into.
type pair struct {
	replies [2]*batch
	size    *sizing
	parts   [2][][]byte
}

func newPair() *pair { return &pair{replies: [2]*batch{{}, {}}, size: newSizing(batchBytes)} }

// reset makes room for the replies to n commands.
func (b *batch) reset(n int) {
	b.buf, b.args, b.slots, b.limit = b.buf[:0], b.args[:0], growSlots(b.slots, n), batchBytes
}

// each gives the keys of a side to the workers.
func (c *comparer) each(
	ctx context.Context, side int, do func(context.Context, *pair, []string) error,
) error {
	g, ctx := errgroup.WithContext(ctx)
	names := make(chan []string, 2*c.Workers)
	g.Go(func() error {
		defer close(names)
		return scan(ctx, c.sides[side], c.Pacer, func(keys []string) error {
			return send(ctx, names, keys)
		})
	})
	for range c.Workers {
		g.Go(func() error {
			w := newPair()
			for keys := range names {
				if err := do(ctx, w, keys); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// shape is what keys of one kind have in common: what follows the last colon, a number
// or not. It is a guess that costs a second reading when it is wrong.
func shape(key string) string {
	last := key[strings.LastIndexByte(key, ':')+1:]
	if last == "" || last[0] >= '0' && last[0] <= '9' {
		return "#"
	}
	return last
}

func (c *comparer) guess(key string) string {
	if kind := c.shapes[shape(key)]; kind != "" {
		return kind
	}
	return "hash"
}

// compareBatch compares keys with one pipeline on each side; the type is guessed, and
// asked for where that was wrong. It gives the keys that found no room.
func (c *comparer) compareBatch(
	ctx context.Context, w *pair, keys []string, note func(string, finding),
) (left []string, err error) {
	kinds := make([]string, len(keys))
	c.mu.Lock()
	for i, k := range keys {
		kinds[i] = c.guess(k)
	}
	c.mu.Unlock()
	left, wrong, err := c.readBoth(ctx, w, keys, kinds, note)
	if err != nil {
		return nil, err
	}
	if len(wrong) > 0 {
		if err := c.Source(ctx, len(wrong)); err != nil {
			return nil, err
		}
		known, err := kindsOf(ctx, c.sides[0], wrong)
		if err != nil {
			return nil, err
		}
		var plain []string
		kinds = kinds[:0]
		for _, k := range wrong {
			kind := known[k]
			if kind == "stream" {
				if err := c.large(ctx, k, note); err != nil {
					return nil, err
				}
				continue
			}
			if kind == "none" { // it went meanwhile: whatever the target has decides
				kind = "string"
			}
			if _, _, err := redisconn.TypedRead(kind, k); err != nil {
				return nil, migration.Errorf(migration.Blocked, "compare: %w", err)
			}
			c.mu.Lock()
			if len(c.shapes) < maxShapes {
				c.shapes[strings.Clone(shape(k))] = kind
			}
			c.mu.Unlock()
			plain, kinds = append(plain, k), append(kinds, kind)
		}
		more, wrong, err := c.readBoth(ctx, w, plain, kinds, note)
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
		left = append(left, wrong...) // of another type again: somebody writes
	}
	if len(left) == 1 && len(keys) == 1 {
		return nil, c.large(ctx, left[0], note)
	}
	return left, nil
}

// readBoth reads keys on both sides by commands of their supposed type and notes what
// it finds. left found no room, wrong are of another type on the source.
func (c *comparer) readBoth(
	ctx context.Context, w *pair, keys, kinds []string, note func(string, finding),
) (left, wrong []string, err error) {
	if len(keys) == 0 {
		return nil, nil, nil
	}
	if err := c.Source(ctx, 2*len(keys)); err != nil {
		return nil, nil, err
	}
	if err := c.Target(ctx, 2*len(keys)); err != nil {
		return nil, nil, err
	}
	var g errgroup.Group
	for side := range 2 {
		g.Go(func() error {
			if err := c.readSide(ctx, side, w.replies[side], keys, kinds); err != nil {
				return fmt.Errorf("%s: %w", [2]string{"source", "target"}[side], err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	var now [2]int64
	for side, b := range w.replies {
		if !c.absolute[side] {
			if now[side], err = serverTime(b.reply(2 * len(keys))); err != nil {
				return nil, nil, err
			}
		}
	}
	var sum int64
	for i, k := range keys {
		a, b := &w.replies[0].slots[2*i], &w.replies[1].slots[2*i]
		sum += max(a.size, b.size)
		if a.dropped || b.dropped || w.replies[0].slots[2*i+1].dropped ||
			w.replies[1].slots[2*i+1].dropped {
			left = append(left, k)
			continue
		}
		f, err := c.judge(w, i, kinds[i], now)
		if errors.Is(err, errWrongType) {
			wrong = append(wrong, k)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", k, err)
		}
		if c.see != nil && (f == equal || f == otherExpiry) {
			if w.parts[0], err = parse(w.replies[0].reply(2*i), w.parts[0][:0]); err != nil {
				return nil, nil, fmt.Errorf("key %q: %w", k, err)
			}
			c.see(k, kinds[i], w.parts[0])
		}
		note(k, f)
	}
	w.size.saw(sum, len(keys))
	c.compared(int64(len(keys)-len(left)-len(wrong)), sum)
	return left, wrong, nil
}

func (c *comparer) compared(keys, bytes int64) {
	if !c.uncounted {
		c.Keys.Add(keys)
		c.Bytes.Add(bytes)
	}
}

func (c *comparer) readSide(
	ctx context.Context, side int, b *batch, keys, kinds []string,
) error {
	b.reset(2*len(keys) + 1)
	pipe := c.sides[side].Pipeline()
	expiry := "pexpiretime"
	if !c.absolute[side] {
		expiry = "pttl"
		_ = pipe.Process(ctx, b.command(ctx, 2*len(keys), "time"))
	}
	for i, k := range keys {
		var cmd redis.Cmder
		var key any = k
		switch kinds[i] {
		case "hash":
			cmd = b.command(ctx, 2*i, "hgetall", key)
		default:
			args, _, err := redisconn.TypedRead(kinds[i], k)
			if err != nil {
				return err
			}
			cmd = b.command(ctx, 2*i, args...)
		}
		_ = pipe.Process(ctx, cmd)
		_ = pipe.Process(ctx, b.command(ctx, 2*i+1, expiry, key))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return redisconn.Explain(err)
	}
	return nil
}

var errWrongType = errors.New("of another type")

// judge compares the i-th key of a batch.
func (c *comparer) judge(w *pair, i int, kind string, now [2]int64) (finding, error) {
	var at [2]int64
	var raw [2][]byte
	var failed [2]string
	for side, b := range w.replies {
		raw[side] = b.reply(2 * i)
		var err error
		if at[side], err = integer(b.reply(2*i + 1)); err != nil {
			return "", err
		}
		if at[side] >= 0 && !c.absolute[side] {
			at[side] += now[side]
		}
		if len(raw[side]) == 0 {
			return "", errors.New("no answer")
		}
		if raw[side][0] == '-' {
			failed[side] = errorText(raw[side])
			if !strings.HasPrefix(failed[side], "WRONGTYPE") {
				return "", errors.New(failed[side])
			}
		}
	}
	switch {
	case at[0] == -2 && at[1] == -2:
		return goneFromBoth, nil
	case at[0] == -2:
		return c.absent(at[1], extra), nil
	case failed[0] != "":
		return "", errWrongType
	case at[1] == -2:
		return c.absent(at[0], missing), nil
	case failed[1] != "":
		return otherValue, nil
	}
	if !bytes.Equal(raw[0], raw[1]) {
		for side := range 2 {
			var err error
			if w.parts[side], err = parse(raw[side], w.parts[side][:0]); err != nil {
				return "", err
			}
		}
		if !sameParts(kind, w.parts[0], w.parts[1]) {
			return otherValue, nil
		}
	}
	if !c.sameExpiry(at[0], at[1]) {
		return otherExpiry, nil
	}
	return equal, nil
}

// absent is a key that is on one side only. When it is due by now, it may be there
// because that side has not looked at the clock yet.
func (c *comparer) absent(expireAt int64, f finding) finding {
	if expireAt >= 0 && expireAt <= time.Now().UnixMilli() {
		return goneFromBoth
	}
	return f
}

func (c *comparer) sameExpiry(a, b int64) bool {
	if a == b {
		return true
	}
	if a < 0 || b < 0 || c.absolute[0] && c.absolute[1] {
		return false
	}
	return max(a-b, b-a) <= relativeTolerance
}

// fewPairs is up to how many fields each is looked for among the other side's; with
// more, both sides are sorted.
const fewPairs = 16

// sameParts compares two values element by element, exactly.
func sameParts(kind string, a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	switch kind {
	case "hash":
		return sameUnordered(a, b, 2)
	case "set":
		return sameUnordered(a, b, 1)
	case "zset": // versions write scores in different ways
		for i := range a {
			if i%2 == 0 && !bytes.Equal(a[i], b[i]) || i%2 == 1 && !sameScore(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return slices.EqualFunc(a, b, bytes.Equal)
}

func sameScore(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err1 := strconv.ParseFloat(string(a), 64)
	y, err2 := strconv.ParseFloat(string(b), 64)
	return err1 == nil && err2 == nil && x == y
}

// sameUnordered compares groups of n elements without regard to the order of the
// groups. The first element of a group is there once.
func sameUnordered(a, b [][]byte, n int) bool {
	groups := len(a) / n
	if groups > fewPairs {
		a, b = sortedGroups(a, n), sortedGroups(b, n)
		return slices.EqualFunc(a, b, bytes.Equal)
	}
	for i := range groups {
		found := false
		for d := range groups { // most often near the same place
			j := i + d
			if j >= groups {
				j -= groups
			}
			if bytes.Equal(a[i*n], b[j*n]) {
				found = n == 1 || bytes.Equal(a[i*n+1], b[j*n+1])
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func sortedGroups(p [][]byte, n int) [][]byte {
	order := make([]int, len(p)/n)
	for i := range order {
		order[i] = i * n
	}
	slices.SortFunc(order, func(x, y int) int { return bytes.Compare(p[x], p[y]) })
	out := make([][]byte, 0, len(p))
	for _, i := range order {
		out = append(out, p[i:i+n]...)
	}
	return out
}

// large compares one key in chunks, or a stream.
func (c *comparer) large(ctx context.Context, key string, note func(string, finding)) error {
	f, err := c.judgeLarge(ctx, key)
	if err != nil {
		return fmt.Errorf("key %q, in chunks: %w", key, err)
	}
	c.compared(1, 0)
	note(key, f)
	return nil
}

func (c *comparer) judgeLarge(ctx context.Context, key string) (finding, error) {
	var kinds [2]string
	var at [2]int64
	for side, cl := range c.sides {
		if err := c.Source(ctx, 1); err != nil {
			return "", err
		}
		known, err := kindsOf(ctx, cl, []string{key})
		if err != nil {
			return "", err
		}
		kinds[side] = known[key]
		if at[side], err = expiryOf(ctx, cl, c.absolute[side], key); err != nil {
			return "", err
		}
	}
	switch {
	case kinds[0] == "none" && kinds[1] == "none":
		return goneFromBoth, nil
	case kinds[0] == "none":
		return c.absent(at[1], extra), nil
	case kinds[1] == "none":
		return c.absent(at[0], missing), nil
	case kinds[0] != kinds[1]:
		return otherValue, nil
	}
	var same bool
	var err error
	if kinds[0] == "stream" {
		same, err = c.sameStream(ctx, key)
	} else {
		same, err = c.sameLarge(ctx, kinds[0], key)
	}
	switch {
	case err != nil:
		return "", err
	case !same:
		return otherValue, nil
	case !c.sameExpiry(at[0], at[1]):
		return otherExpiry, nil
	}
	return equal, nil
}

func expiryOf(
	ctx context.Context, cl redis.UniversalClient, absolute bool, key string,
) (int64, error) {
	if absolute {
		at, err := cl.Do(ctx, "PEXPIRETIME", key).Int64()
		return at, redisconn.Explain(err)
	}
	now, err := cl.Time(ctx).Result()
	if err != nil {
		return 0, redisconn.Explain(err)
	}
	at, err := cl.Do(ctx, "PTTL", key).Int64()
	if at >= 0 {
		at += now.UnixMilli()
	}
	return at, redisconn.Explain(err)
}

var errDiffers = errors.New("differs")

// sameLarge compares lengths, then walks over the source's value and looks each chunk
// up on the target.
func (c *comparer) sameLarge(ctx context.Context, kind, key string) (bool, error) {
	length := map[string]string{
		"string": "strlen",
		"list":   "llen",
		"hash":   "hlen",
		"set":    "scard",
		"zset":   "zcard",
	}[kind]
	var n [2]int64
	for side, cl := range c.sides {
		var err error
		if n[side], err = cl.Do(ctx, length, key).Int64(); err != nil {
			return false, redisconn.Explain(err)
		}
	}
	if n[0] != n[1] {
		return false, nil
	}
	at := 0
	err := walk(ctx, c.sides[0], c.Pacer, kind, key, func(parts [][]byte) error {
		if err := c.Target(ctx, 1); err != nil {
			return err
		}
		same, err := c.sameChunk(ctx, kind, key, at, parts)
		if err == nil && !same {
			err = errDiffers
		}
		if err == nil && c.see != nil {
			c.see(key, kind, parts)
		}
		if at += len(parts); kind == "string" {
			at += len(parts[0]) - 1
		}
		return err
	})
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return err == nil, err
}

func (c *comparer) sameChunk(
	ctx context.Context, kind, key string, at int, parts [][]byte,
) (bool, error) {
	var args []any
	step := 1
	switch kind {
	case "string":
		args = []any{"getrange", key, at, at + len(parts[0]) - 1}
	case "list":
		args = []any{"lrange", key, at, at + len(parts) - 1}
	case "hash":
		args, step = []any{"hmget", key}, 2
	case "set":
		args = []any{"smismember", key}
	case "zset":
		args, step = []any{"zmscore", key}, 2
	}
	if len(args) == 2 {
		for i := 0; i < len(parts); i += step {
			args = append(args, parts[i])
		}
	}
	var raw bytes.Buffer
	pipe := c.sides[1].Pipeline()
	_ = pipe.Process(ctx, redis.NewRawWriteToCmd(ctx, &raw, args...))
	if _, err := pipe.Exec(ctx); err != nil {
		return false, redisconn.Explain(err)
	}
	c.compared(0, int64(raw.Len()))
	got, err := parse(raw.Bytes(), nil)
	if err != nil {
		return false, err
	}
	switch kind {
	case "string", "list":
		return slices.EqualFunc(parts, got, bytes.Equal), nil
	case "set":
		return len(got) == len(parts) && !slices.ContainsFunc(got, func(b []byte) bool {
			return string(b) != "1"
		}), nil
	}
	if len(got)*2 != len(parts) {
		return false, nil
	}
	for i, v := range got {
		want := parts[2*i+1]
		if v == nil || kind == "hash" && !bytes.Equal(v, want) ||
			kind == "zset" && !sameScore(v, want) {
			return false, nil
		}
	}
	return true, nil
}

// sameStream compares entries in chunks, then counters, groups, consumers and pending
// entries.
func (c *comparer) sameStream(ctx context.Context, key string) (bool, error) {
	var info [2]*streamInfo
	for side, cl := range c.sides {
		var err error
		info[side], err = readStreamInfo(ctx, cl, key)
		if errors.Is(err, errGone) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	if !info[0].equal(info[1]) {
		return false, nil
	}
	same, err := c.sameSequence(func(side int, each func(string) error) error {
		return eachEntry(ctx, c.sides[side], c.Pacer, key, func(id string, fields []any) error {
			return each(fmt.Sprintf("%q %q", id, fields))
		})
	})
	if err != nil || !same {
		return false, err
	}
	for _, g := range info[0].groups {
		same, err := c.sameSequence(func(side int, each func(string) error) error {
			return eachPending(ctx, c.sides[side], c.Pacer, key, g.name,
				func(id, consumer string, _, delivered int64) error {
					return each(fmt.Sprintf("%q %q %d", id, consumer, delivered))
				})
		})
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (s *streamInfo) equal(o *streamInfo) bool {
	for name, v := range s.counters {
		if other, known := o.counters[name]; known && other != v {
			return false
		}
	}
	return slices.EqualFunc(s.groups, o.groups, func(a, b streamGroup) bool {
		slices.Sort(a.consumers)
		slices.Sort(b.consumers)
		return a.name == b.name && a.last == b.last && (a.read == b.read || a.read == "" ||
			b.read == "") && a.pending == b.pending && slices.Equal(a.consumers, b.consumers)
	})
}

// sameSequence compares two sequences that are read side by side, by their sums, so
// that neither is held.
func (c *comparer) sameSequence(
	read func(side int, each func(string) error) error,
) (bool, error) {
	var sums [2]sequence
	for side := range sums {
		sums[side] = newSequence()
		if err := read(side, sums[side].add); err != nil {
			return false, err
		}
	}
	return sums[0].sum() == sums[1].sum(), nil
}
