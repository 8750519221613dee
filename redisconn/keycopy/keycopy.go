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
	// firstKeys is the size of the first pipelines, before it is known how large
	// the values are: the source holds all replies of a pipeline.
	firstKeys = 32
	// maxValue is the size up to which a value travels in one request. Managed
	// services refuse requests of more than 10 MB.
	maxValue = 8 << 20
	// maxHeavy is how many batches above batchBytes may exist at once.
	maxHeavy = 2
)

// Path is how keys travel. See the package documentation.
type Path string

const (
	// also the zero value: stream if the source allows it and can afford it,
	// otherwise scan
	Auto   Path = "auto"
	Stream Path = "stream"
	Scan   Path = "scan"
	Typed  Path = "typed"
)

// Options control a copy. The zero value copies at full speed into an empty target.
type Options struct {
	Path Path
	// Overwrite allows a target that holds keys: those of the same name are
	// replaced, others stay.
	Overwrite bool
	// EvictionOff says that somebody made sure that the target evicts nothing, for
	// services that do not report their maxmemory-policy.
	EvictionOff bool
	// TargetMemory is how many bytes the target may hold, for services that do not
	// report maxmemory. 0: what it reports.
	TargetMemory int64
	// Pace limits the load on both servers.
	Pace
	// Progress, if not nil, is called several times a second, by one goroutine, and
	// once at the end.
	Progress func(Progress)
}

// Pace limits the load on both servers: see package pace. A source closes a stream
// that the gate holds up for longer than its repl-timeout (60 s by default).
type Pace = pace.Pace

// Progress is how far a copy or a comparison has come.
type Progress = pace.Progress

// Report is what a copy did.
type Report struct {
	Plan
	Path  Path  `json:"path"` // that the keys took
	Keys  int64 `json:"keys"` // written; one that SCAN returned twice counts twice
	Typed int64 `json:"typed"`
	// of those written by type, the ones that travelled in chunks
	Large int64 `json:"large"`
	// deleted or expired between being found and being read
	Vanished int64 `json:"vanished"`
	Bytes    int64 `json:"bytes"`
	// function libraries in the snapshot, which are not copied; only the stream
	// reveals them
	Libraries      int     `json:"libraries"`
	Milliseconds   int64   `json:"milliseconds"`
	KeysPerSecond  float64 `json:"keys_per_second"`
	SourceCommands int64   `json:"source_commands"`
	TargetCommands int64   `json:"target_commands"`
}

// Copy copies every key of src's database to dst's. It refuses (kind Blocked, with
// every reason) before it changes anything; see Check. After any other error the
// target holds part of the keys, and the current one may be incomplete: run it
// again with Overwrite. The clients must not retry commands (redisconn.Open's do
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
	// buffers for values above batchBytes, passed around to spare the garbage
	// collector
	heavy    chan []byte
	oneLarge sync.Mutex
	mirror   bool // keys that are gone are deleted on the target, and the caller counts keys

	// the target does not accept payloads of the source's version, or RESTORE at
	// all
	refuses   atomic.Bool
	typed     atomic.Int64
	large     atomic.Int64
	vanished  atomic.Int64
	libraries int
}

// copy takes the planned path, and another one if that turns out to be unavailable.
func (c *copier) copy(ctx context.Context) (Path, error) {
	path := c.plan.Path
	if path == Stream {
		err := c.copyStream(ctx)
		var closed *streamError
		if err == nil || !errors.As(err, &closed) || c.o.Path == Stream {
			return path, err
		}
		// What was written so far is written again: values of another moment, but
		// whole ones.
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

// In copyScan one goroutine finds keys, some read them, others write what was read.
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

// scan passes every key that exists throughout to f, in lists of at most batchKeys.
// SCAN may return a key twice.
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

// readAll reads the keys of names as DUMP payloads, or has them copied by type.
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

// readKeys reads keys as DUMP payloads and hands the batches to pass, or copies
// them by type.
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
		// those did not fit into the batch: again, in smaller ones
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

// pass hands on a batch, if there is anything in it.
func (c *copier) pass(
	ctx context.Context, b *batch, to func(context.Context, *batch) error,
) error {
	if len(b.items)+len(b.gone) == 0 {
		b.free(c)
		return nil
	}
	return to(ctx, b)
}

// readBig reads one value with the room of a whole request, or has it copied in
// chunks if it needs more.
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

// dump reads keys in one pipeline. Payloads that do not fit into the batch are
// left, or big if they would not fit into an empty one. With heavy there is room
// for one of maxValue.
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

// gone records a key that is no longer on the source.
func (c *copier) gone(b *batch, key string) {
	c.vanished.Add(1)
	if c.mirror {
		b.gone = append(b.gone, key)
	}
}
