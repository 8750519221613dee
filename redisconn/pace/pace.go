// Package pace limits work between two Redis servers to what they can bear, and
// reports its progress: commands per second on either side, a pause before each
// batch while the source answers slowly, a gate of the caller's that may hold up
// the work or end it, and the time left at the current pace. It knows nothing of
// what the work is.
package pace

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/switchyard-dev/switchyard/redisconn"
)

const (
	// defaultWorkers is how many connections read and how many write. Four are
	// within a tenth of the best result measured with more.
	defaultWorkers = 4
	// tellEvery is how often progress is reported.
	tellEvery = 250 * time.Millisecond
	// pingEvery is how often the source's latency is measured; pingWindow is how
	// many of the last answers count, pingRound after how many it is judged again.
	pingEvery  = 20 * time.Millisecond
	pingWindow = 100
	pingRound  = 25
	// The pause before each batch begins at firstPause, doubles with each round
	// that is too slow, up to maxPause, and shrinks by an eighth with each that is
	// not, down to nothing.
	firstPause = time.Millisecond
	maxPause   = time.Second
)

// Pace limits the load on both servers. The zero value sets no limits.
type Pace struct {
	SourceRate int // commands per second; 0: no limit
	TargetRate int // commands per second; 0: no limit
	// MaxLatency slows the work down while the p99 of our own PINGs on the source
	// exceeds it. 0: no limit.
	MaxLatency time.Duration
	// Workers is how many connections read, and how many write. 0: 4.
	Workers int
	// Gate, if not nil, is called before each batch, by several goroutines; it may
	// block (to pause) or return an error (to end the work).
	Gate func(context.Context) error
}

// Seconds returns how long so many keys take at least under the rate limits, with
// so many commands per key on each side.
func (p Pace) Seconds(keys int64, perTarget, perSource int) (seconds float64) {
	if p.TargetRate > 0 {
		seconds = float64(max(keys, 0)*int64(perTarget)) / float64(p.TargetRate)
	}
	if p.SourceRate > 0 {
		seconds = max(seconds, float64(max(keys, 0)*int64(perSource))/float64(p.SourceRate))
	}
	return seconds
}

// Progress is how far the work has come.
type Progress struct {
	Keys          int64   `json:"keys"`
	Total         int64   `json:"total"` // number of keys at the start
	Bytes         int64   `json:"bytes"` // of values, as transferred
	KeysPerSecond float64 `json:"keys_per_second"`
	// at that pace, or at the rate limits if they allow less; 0 if not known yet
	ETASeconds float64 `json:"eta_seconds"`
	// p99 of our own PINGs on the source; 0 without MaxLatency
	LatencyMS    float64 `json:"latency_ms"`
	BackingOffMS float64 `json:"backing_off_ms"` // the resulting pause before each batch
}

// Work describes what is paced.
type Work struct {
	Source redis.UniversalClient
	Batch  int // keys per pipeline at most
	// PerSource and PerTarget are how many commands a key takes there.
	PerSource, PerTarget int
	// Tell, if not nil, is called several times a second, by one goroutine, and
	// once at the end.
	Tell func(Progress)
}

// Counters are how much has been done. They may be read during the work.
type Counters struct {
	Keys, Bytes                    atomic.Int64
	SourceCommands, TargetCommands atomic.Int64
	// ns that Source, Target and Gate delayed goroutines, summed over them
	Waited atomic.Int64
}

// Pacer keeps the work at its pace. Its methods may be called by several
// goroutines, except PerKey, Start, End and Hurry.
type Pacer struct {
	Counters
	Total   atomic.Int64 // keys, for the time left
	Workers int          // as many connections may read, and as many write
	Batch   int          // keys per pipeline at most

	pace       Pace
	work       Work
	fromS, toT *rate.Limiter
	throttle   throttle
	hurry      atomic.Bool
	stop       context.CancelFunc
	background sync.WaitGroup
	smooth     float64 // keys/s
	lastKeys   int64
	lastAt     time.Time
}

// New makes a Pacer that enforces its rates, but measures and reports nothing until
// Start.
func New(pace Pace, work Work) *Pacer {
	p := &Pacer{
		pace:  pace,
		work:  work,
		Batch: work.Batch,
		fromS: limiter(pace.SourceRate),
		toT:   limiter(pace.TargetRate),
	}
	if p.Workers = pace.Workers; p.Workers <= 0 {
		p.Workers = defaultWorkers
	}
	// one finds keys, one measures
	if has, ok := work.Source.(interface{ Options() *redis.Options }); ok &&
		has.Options().PoolSize > 2 {
		p.Workers = min(p.Workers, has.Options().PoolSize-2)
	}
	p.PerKey(work.PerSource, work.PerTarget)
	return p
}

// PerKey sets how many commands a key takes on each side, for a caller that learns
// it after New. Not during the work.
func (p *Pacer) PerKey(source, target int) {
	p.work.PerSource, p.work.PerTarget, p.Batch = source, target, p.work.Batch
	p.limitBatch(p.pace.SourceRate, source)
	p.limitBatch(p.pace.TargetRate, target)
}

// limitBatch makes a batch no larger than a burst: a twentieth of a second's worth.
func (p *Pacer) limitBatch(rate, perKey int) {
	if rate > 0 {
		p.Batch = max(1, min(p.Batch, rate/max(1, perKey)/20))
	}
}

// Start starts measuring and reporting, until ctx or End ends it.
func (p *Pacer) Start(ctx context.Context) {
	p.lastAt, p.lastKeys = time.Now(), p.Keys.Load()
	ctx, p.stop = context.WithCancel(ctx)
	if p.pace.MaxLatency > 0 {
		p.throttle.limit = p.pace.MaxLatency
		p.background.Go(func() { p.measure(ctx, p.work.Source) })
	}
	if p.work.Tell != nil {
		p.background.Go(func() { p.tellAll(ctx) })
	}
}

// End stops both, after one last report.
func (p *Pacer) End() {
	p.stop()
	p.background.Wait()
	if p.work.Tell != nil {
		p.work.Tell(p.Progress(time.Now()))
	}
}

// Hurry lifts what protects a live source: from then on neither the gate, nor the
// source's latency, nor its rate delays anything. The target's rate still does,
// since a service enforces it anyway.
func (p *Pacer) Hurry() {
	p.hurry.Store(true)
	p.Batch = p.work.Batch
	p.limitBatch(p.pace.TargetRate, p.work.PerTarget)
}

func limiter(perSecond int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, perSecond/20))
}

// Source waits until n commands may go to the source: a batch.
func (p *Pacer) Source(ctx context.Context, n int) error {
	if err := p.Gate(ctx); err != nil {
		return err
	}
	p.SourceCommands.Add(int64(n))
	if p.hurry.Load() {
		return nil
	}
	defer p.waited(time.Now())
	return wait(ctx, p.fromS, n)
}

// Gate waits as the caller's gate and the source's latency demand.
func (p *Pacer) Gate(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if p.hurry.Load() {
		return nil
	}
	defer p.waited(time.Now())
	if p.pace.Gate != nil {
		if err := p.pace.Gate(ctx); err != nil {
			return err
		}
	}
	return pause(ctx, p.throttle.pause())
}

// Target waits until n commands may go to the target.
func (p *Pacer) Target(ctx context.Context, n int) error {
	p.TargetCommands.Add(int64(n))
	defer p.waited(time.Now())
	return wait(ctx, p.toT, n)
}

func (p *Pacer) waited(since time.Time) { p.Waited.Add(int64(time.Since(since))) }

func wait(ctx context.Context, l *rate.Limiter, n int) error {
	for l != nil && n > 0 {
		some := min(n, l.Burst())
		if err := l.WaitN(ctx, some); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		n -= some
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Pacer) measure(ctx context.Context, src redis.UniversalClient) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := time.Now()
		if err := redisconn.Ping(ctx, src); ctx.Err() == nil {
			took := time.Since(at)
			if err != nil { // no answer is as slow as it gets
				took = max(took, p.throttle.limit+1)
			}
			p.throttle.saw(took)
		}
	}
}

// throttle turns the source's latency into a pause before each batch.
type throttle struct {
	limit time.Duration

	mu     sync.Mutex
	last   []time.Duration // the window, oldest first
	rounds int
	p99    atomic.Int64 // ns
	delay  atomic.Int64 // ns
}

func (t *throttle) pause() time.Duration { return time.Duration(t.delay.Load()) }

// saw records one answer.
func (t *throttle) saw(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last = append(t.last, took); len(t.last) > pingWindow {
		t.last = t.last[1:]
	}
	if t.rounds++; t.rounds%pingRound != 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(t.last))
	p99 := sorted[int(math.Ceil(0.99*float64(len(sorted))))-1]
	t.p99.Store(int64(p99))
	d := t.pause()
	if p99 > t.limit {
		d = min(max(2*d, firstPause), maxPause)
		t.last = t.last[:0] // the next judgement is about the new pause
	} else if d -= d / 8; d < firstPause/8 {
		d = 0
	}
	t.delay.Store(int64(d))
}

func (p *Pacer) tellAll(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-tick.C:
			p.work.Tell(p.Progress(at))
		}
	}
}

// Progress returns how far the work has come. It is called by one goroutine at a
// time.
func (p *Pacer) Progress(at time.Time) Progress {
	keys, total := p.Keys.Load(), p.Total.Load()
	if d := at.Sub(p.lastAt).Seconds(); d >= tellEvery.Seconds()/2 {
		now := float64(keys-p.lastKeys) / d
		if p.smooth == 0 {
			p.smooth = now
		}
		p.smooth += (now - p.smooth) / 8
		p.lastKeys, p.lastAt = keys, at
	}
	return Progress{Keys: keys, Total: total, Bytes: p.Bytes.Load(), KeysPerSecond: p.smooth,
		ETASeconds:   p.eta(total-keys, p.smooth),
		LatencyMS:    float64(p.throttle.p99.Load()) / 1e6,
		BackingOffMS: float64(p.throttle.delay.Load()) / 1e6}
}

// eta returns how many seconds so many keys take at a pace in keys/s, unless the
// rate limits allow less. Pace 0: under the limits alone.
func (p *Pacer) eta(keys int64, pace float64) float64 {
	seconds := 0.0
	if pace > 0 {
		seconds = float64(max(keys, 0)) / pace
	}
	return max(seconds, p.pace.Seconds(keys, p.work.PerTarget, p.work.PerSource))
}
