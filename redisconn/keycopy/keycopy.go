package keycopy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

const (
	// batchKeys is how many keys travel in one pipeline; batchBytes how many bytes of
	// values at most.
	batchKeys  = 500
	batchBytes = 1 << 20
	// firstKeys is the size of the first pipelines, before it is known how large the
	// values are: the source holds all replies of a pipeline.
	firstKeys = 32
	// maxValue is up to where a value travels in one request. Managed services refuse
	// requests of more than 10 MB.
	maxValue = 8 << 20
	// maxHeavy is how many batches above batchBytes there may be at once.
	maxHeavy = 2
)

// Path is how keys travel. See the package.
type Path string

const (
	// the zero value too: stream where the source allows it and can afford it,
	// otherwise scan
	Auto   Path = "auto"
	Stream Path = "stream"
	Scan   Path = "scan"
	Typed  Path = "typed"
)

// Options says how to copy. The zero value copies at full speed into an empty target.
type Options struct {
	Path Path
	// Overwrite allows a target that holds keys: those of the same name are replaced,
	// others stay.
	Overwrite bool
	// EvictionOff says that somebody made sure that the target evicts nothing, for
	// services that do not tell their maxmemory-policy.
	EvictionOff bool
	// TargetMemory is what the target may hold, in bytes, for services that do not
	// report maxmemory. 0: what it reports.
	TargetMemory int64
	// Pace bounds what the copy asks of both servers.
	Pace
	// Progress, if not nil, is told several times a second, by one goroutine, and once
	// at the end.
	Progress func(Progress)
}

// Pace bounds what is asked of both servers: see package pace. A source cuts a stream
// that its gate holds for longer than its repl-timeout (60 s by default).
type Pace = pace.Pace

// Progress is how far a copy or a comparison is.
type Progress = pace.Progress

// Report is what a copy did.
type Report struct {
	Plan
	Path  Path  `json:"path"` // that the keys travelled
	Keys  int64 `json:"keys"` // written; one that SCAN gave twice counts twice
	Typed int64 `json:"typed"`
	// of those written by type, the ones that travelled in chunks
	Large int64 `json:"large"`
	// deleted or expired between being found and being read
	Vanished int64 `json:"vanished"`
	Bytes    int64 `json:"bytes"`
	// function libraries in the snapshot, which are not copied; only the stream shows
	// them
	Libraries      int     `json:"libraries"`
	Milliseconds   int64   `json:"milliseconds"`
	KeysPerSecond  float64 `json:"keys_per_second"`
	SourceCommands int64   `json:"source_commands"`
	TargetCommands int64   `json:"target_commands"`
}

// Copy copies every key of src's database to dst's. It refuses (kind Blocked, with
// every reason) before it changes anything; see Check. After any other error the target
// holds a part of the keys, and the one under way may be half there: run it again with
// Overwrite. The clients must not retry commands by themselves (redisconn.Open's do
// not).
//
// Not copied: other databases (Plan.OtherDatabases), function libraries, users and
// settings.
func Copy(ctx context.Context, src, dst redis.UniversalClient, o Options) (Report, error) {
	r, err := copyAll(ctx, src, dst, o)
	if err != nil {
		return r, fmt.Errorf("copy: %w", err)
	}
	return r, nil
}

func copyAll(ctx context.Context, src, dst redis.UniversalClient, o Options) (Report, error) {
	began := time.Now()
	plan, err := Check(ctx, src, dst, o)
	if err != nil {
		return Report{Plan: plan}, err
	}
	if len(plan.Refusals) > 0 {
		return Report{Plan: plan}, migration.Errorf(migration.Blocked,
			"nothing was changed: %s", strings.Join(plan.Refusals, "; "))
	}
	c := &copier{src: src, dst: dst, o: o, plan: plan, heavy: newHeavy()}
	c.absolute = redisconn.AbsoluteExpiry(ctx, src)
	perTarget, perSource := plan.Path.commands()
	c.Pacer = pace.New(o.Pace, pace.Work{
		Source:    src,
		Batch:     batchKeys,
		PerSource: perSource,
		PerTarget: perTarget,
		Tell:      o.Progress,
	})
	c.Total.Store(plan.Keys)
	c.Start(ctx)
	path, err := c.copy(ctx)
	c.End()
	elapsed := time.Since(began)
	return Report{Plan: c.plan, Path: path, Keys: c.Keys.Load(), Typed: c.typed.Load(),
		Large: c.large.Load(), Vanished: c.vanished.Load(), Bytes: c.Bytes.Load(),
		Libraries: c.libraries, Milliseconds: elapsed.Milliseconds(),
		KeysPerSecond:  float64(c.Keys.Load()) / elapsed.Seconds(),
		SourceCommands: c.SourceCommands.Load(), TargetCommands: c.TargetCommands.Load()}, err
}

type copier struct {
	*pace.Pacer
	src, dst redis.UniversalClient
	o        Options
	plan     Plan
	absolute bool // the source has PEXPIRETIME
	// buffers for values above batchBytes, handed round so that they are no garbage
	heavy    chan []byte
	oneLarge sync.Mutex
	mirror   bool // keys that are gone are deleted on the target, and who calls counts keys

	// the target takes no payload of the source's version, or no RESTORE at all
	refuses   atomic.Bool
	typed     atomic.Int64
	large     atomic.Int64
	vanished  atomic.Int64
	libraries int
}

// copy takes the planned path, and another one when that turns out not to be there.
func (c *copier) copy(ctx context.Context) (Path, error) {
	path := c.plan.Path
	if path == Stream {
		err := c.copyStream(ctx)
		var closed *streamError
		if err == nil || !errors.As(err, &closed) || c.o.Path == Stream {
			return path, err
		}
		// What was written so far is written again: another moment's values, but whole
		// ones.
		c.plan.Why = closed.Error()
		c.Keys.Store(0)
		c.Bytes.Store(0)
		c.heavy = newHeavy()
		path = Scan
	}
	if path == Scan {
		err := c.copyScan(ctx)
		if err == nil && c.refuses.Load() {
			path = Typed
		}
		return path, err
	}
	c.refuses.Store(true)
	return path, c.copyScan(ctx)
}

// copyScan: one goroutine finds keys, some read them, others write what was read.
func (c *copier) copyScan(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	names := make(chan []string, 2*c.Workers)
	read := make(chan *batch, c.Workers)
	g.Go(func() error {
		defer close(names)
		return scan(ctx, c.src, c.Pacer, func(keys []string) error {
			return send(ctx, names, keys)
		})
	})
	readers, inner := errgroup.WithContext(ctx)
	for range c.Workers {
		readers.Go(func() error { return c.readAll(inner, names, read) })
	}
	g.Go(func() error {
		defer close(read)
		return readers.Wait()
	})
	for range c.Workers {
		g.Go(func() error { return c.writeAll(ctx, read) })
	}
	return g.Wait()
}

// scan gives every key that is there all the while, in lists of at most batchKeys. SCAN
// may give a key twice.
func scan(
	ctx context.Context, c redis.UniversalClient, p *pace.Pacer,
	found func([]string) error,
) error {
	var cursor uint64
	for {
		if err := p.Source(ctx, 1); err != nil {
			return err
		}
		keys, next, err := c.Scan(ctx, cursor, "", batchKeys).Result()
		if err != nil {
			return fmt.Errorf("scan: %w", redisconn.Explain(err))
		}
		if len(keys) > 0 {
			if err := found(keys); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// readAll reads the keys of names as DUMP gives them, or lets them be copied by type.
func (c *copier) readAll(ctx context.Context, names <-chan []string, out chan<- *batch) error {
	size := newSizing(batchBytes)
	for keys := range names {
		if err := c.readKeys(ctx, keys, size, func(ctx context.Context, b *batch) error {
			return send(ctx, out, b)
		}); err != nil {
			return err
		}
	}
	return nil
}

// readKeys reads keys as DUMP gives them and hands the batches to pass, or copies them
// by type.
func (c *copier) readKeys(
	ctx context.Context, keys []string, size *sizing,
	pass func(context.Context, *batch) error,
) error {
	for len(keys) > 0 {
		if c.refuses.Load() {
			return c.copyTyped(ctx, keys)
		}
		n := size.keys(len(keys), c.Batch)
		b, err := c.dump(ctx, keys[:n], size, false)
		if err != nil {
			return err
		}
		if b.denied {
			b.free(c)
			c.refuses.Store(true)
			continue
		}
		big := b.big
		// they found no room in the batch: again, in smaller ones
		if keys = keys[n:]; len(b.left) > 0 {
			keys = append(b.left, keys...)
		}
		if err := c.pass(ctx, b, pass); err != nil {
			return err
		}
		for _, k := range big {
			if err := c.readBig(ctx, k, size, pass); err != nil {
				return err
			}
		}
	}
	return nil
}

// pass hands a batch on, if there is anything in it.
func (c *copier) pass(
	ctx context.Context, b *batch, to func(context.Context, *batch) error,
) error {
	if len(b.items)+len(b.gone) == 0 {
		b.free(c)
		return nil
	}
	return to(ctx, b)
}

// readBig reads one value with the room of a whole request, or lets it be copied in
// chunks when it needs more.
func (c *copier) readBig(
	ctx context.Context, key string, size *sizing,
	pass func(context.Context, *batch) error,
) error {
	if c.refuses.Load() {
		return c.copyTyped(ctx, []string{key})
	}
	b, err := c.dump(ctx, []string{key}, size, true)
	if err != nil {
		return err
	}
	if b.denied || len(b.left)+len(b.big) > 0 {
		b.free(c)
		return c.copyLarge(ctx, key)
	}
	return c.pass(ctx, b, pass)
}

// dump reads keys in one pipeline. Payloads that find no room in the batch are left, or
// big when they would find none in an empty one. With heavy there is room for one of
// maxValue.
func (c *copier) dump(
	ctx context.Context, keys []string, size *sizing, heavy bool,
) (*batch, error) {
	if err := c.Source(ctx, 2*len(keys)); err != nil {
		return nil, err
	}
	b := newBatch()
	if heavy {
		if err := b.makeHeavy(ctx, c); err != nil {
			return nil, err
		}
	}
	expiry := "pexpiretime"
	if !c.absolute {
		expiry = "pttl"
	}
	now := time.Now().UnixMilli()
	pipe := c.src.Pipeline()
	b.slots = growSlots(b.slots, 2*len(keys)+1)
	b.args = b.args[:0]
	if !c.absolute {
		_ = pipe.Process(ctx, b.command(ctx, 2*len(keys), "time"))
	}
	for i, k := range keys {
		var key any = k
		_ = pipe.Process(ctx, b.command(ctx, 2*i, "dump", key))
		_ = pipe.Process(ctx, b.command(ctx, 2*i+1, expiry, key))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		b.free(c)
		return nil, fmt.Errorf("read from the source: %w", redisconn.Explain(err))
	}
	if !c.absolute {
		var err error
		if now, err = serverTime(b.reply(2 * len(keys))); err != nil {
			b.free(c)
			return nil, err
		}
	}
	var sum int64
	for i, k := range keys {
		s := &b.slots[2*i]
		sum += s.size
		if s.dropped && s.size > batchBytes {
			b.big = append(b.big, k)
			continue
		}
		if s.dropped || b.slots[2*i+1].dropped {
			b.left = append(b.left, k)
			continue
		}
		at, to, kind := bulk(b.buf, s.from, s.to)
		switch kind {
		case replyNil:
			c.gone(b, k)
			continue
		case replyError:
			text := string(b.buf[s.from+1 : s.to-2])
			if isDenied(text) {
				b.denied = true
				return b, nil
			}
			b.free(c)
			return nil, fmt.Errorf("key %q: DUMP on the source: %s", k, text)
		}
		expireAt, err := integer(b.reply(2*i + 1))
		if err != nil {
			b.free(c)
			return nil, fmt.Errorf("key %q: expiry: %w", k, err)
		}
		if expireAt == -2 {
			c.gone(b, k)
			continue
		}
		if !c.absolute && expireAt >= 0 {
			expireAt += now
		}
		b.items = append(b.items, item{key: k, expireAt: max(expireAt, 0), from: at, to: to})
	}
	size.saw(sum, len(keys))
	return b, nil
}

// gone takes in a key that is not on the source any more.
func (c *copier) gone(b *batch, key string) {
	c.vanished.Add(1)
	if c.mirror {
		b.gone = append(b.gone, key)
	}
}

// writeAll restores batches.
func (c *copier) writeAll(ctx context.Context, in <-chan *batch) error {
	for b := range in {
		if err := c.writeBatch(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// writeBatch restores a batch and frees it; what the target refuses is copied by type.
func (c *copier) writeBatch(ctx context.Context, b *batch) error {
	refused, err := c.restore(ctx, b)
	b.free(c)
	if err != nil || len(refused) == 0 {
		return err
	}
	return c.copyTyped(ctx, refused)
}

// restore writes a batch in one pipeline and gives the keys whose payload the target
// refused.
func (c *copier) restore(ctx context.Context, b *batch) (refused []string, err error) {
	if err := c.Target(ctx, len(b.items)+len(b.gone)); err != nil {
		return nil, err
	}
	answers := newBatch()
	defer answers.free(c)
	answers.slots = growSlots(answers.slots, len(b.items)+len(b.gone))
	answers.args = answers.args[:0]
	pipe := c.dst.Pipeline()
	for i, it := range b.items {
		payload := b.buf[it.from:it.to:it.to]
		if it.expireAt == 0 {
			_ = pipe.Process(ctx,
				answers.command(ctx, i, "restore", it.key, zero, payload, "replace"))
		} else {
			_ = pipe.Process(ctx, answers.command(ctx, i, "restore", it.key, it.expireAt,
				payload, "replace", "absttl"))
		}
	}
	for i, k := range b.gone {
		_ = pipe.Process(ctx, answers.command(ctx, len(b.items)+i, "unlink", k))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("write to the target: %w", redisconn.Explain(err))
	}
	for i, k := range b.gone {
		if _, err := integer(answers.reply(len(b.items) + i)); err != nil {
			return nil, writeError(k, err.Error())
		}
	}
	var keys, bytes int64
	for i, it := range b.items {
		answer := answers.reply(i)
		if len(answer) > 0 && answer[0] == '+' {
			keys++
			bytes += int64(it.to - it.from)
			continue
		}
		text := errorText(answer)
		switch {
		case isDenied(text), strings.Contains(text, "payload version"):
			c.refuses.Store(true)
			refused = append(refused, it.key)
		case strings.Contains(text, "Bad data format"), strings.Contains(text, "request size"):
			refused = append(refused, it.key)
		default:
			return nil, writeError(it.key, text)
		}
	}
	c.wrote(keys, bytes)
	return refused, nil
}

// wrote counts. The caller of a mirror counts keys itself.
func (c *copier) wrote(keys, bytes int64) {
	if !c.mirror {
		c.Keys.Add(keys)
	}
	c.Bytes.Add(bytes)
}

var zero any = int64(0)

// writeError says what to do about an answer of the target.
func writeError(key, text string) error {
	switch {
	case strings.HasPrefix(text, "OOM"), strings.Contains(text, "capacity quota exceeded"):
		return migration.Errorf(migration.Blocked, "key %q: the target is full (%s): give it "+
			"more memory, then run this again (a copy: with overwrite)", key, text)
	case strings.HasPrefix(text, "READONLY"):
		return migration.Errorf(migration.Blocked,
			"key %q: the target is a replica (%s): name its master as the target", key, text)
	}
	return fmt.Errorf("key %q: write to the target: %s", key, text)
}

// isDenied reports whether a server does not have a command or does not let this user
// use it.
func isDenied(text string) bool {
	text = strings.ToLower(text)
	return strings.HasPrefix(text, "noperm") || strings.Contains(text, "unknown command") ||
		strings.Contains(text, "not supported") || strings.Contains(text, "not allowed by")
}
