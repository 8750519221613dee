package keycopy

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
	// tellEvery is how often progress is told.
	tellEvery = 250 * time.Millisecond
	// pingEvery is how often the source's latency is measured; pingWindow how many of the last answers count, pingRound after how many it is
	// judged anew.
	pingEvery  = 20 * time.Millisecond
	pingWindow = 100
	pingRound  = 25
	// The pause before each batch begins at firstPause, doubles with each round that is too slow, up to maxPause, and shrinks by an eighth with
	// each that is not, down to nothing.
	firstPause = time.Millisecond
	maxPause   = time.Second
)

// pacer holds the work to its pace and tells how far it is.
type pacer struct {
	counters
	pace       Pace
	workers    int
	batch      int // keys per pipeline at most
	total      int64
	perTarget  int // commands per key, for the ETA
	perSource  int
	fromS, toT *rate.Limiter
	throttle   throttle
	tell       func(Progress)
	stop       context.CancelFunc
	background sync.WaitGroup
	began      time.Time
	smooth     float64 // keys/s
	lastKeys   int64
	lastAt     time.Time
}

// run begins to measure and to tell. perTarget and perSource are how many commands a key takes there.
func (p *pacer) run(ctx context.Context, src redis.UniversalClient, pace Pace, total int64, tell func(Progress), perTarget, perSource int) {
	p.pace, p.total, p.tell, p.perTarget, p.perSource = pace, total, tell, perTarget, perSource
	if p.workers = pace.Workers; p.workers <= 0 {
		p.workers = defaultWorkers
	}
	if has, ok := src.(interface{ Options() *redis.Options }); ok && has.Options().PoolSize > 2 { // one finds keys, one measures
		p.workers = min(p.workers, has.Options().PoolSize-2)
	}
	p.batch = batchKeys
	p.fromS, p.toT = limiter(pace.SourceRate), limiter(pace.TargetRate)
	for _, r := range []int{pace.SourceRate / max(1, perSource), pace.TargetRate / max(1, perTarget)} {
		if r > 0 { // a batch is a burst: a twentieth of a second's worth
			p.batch = max(1, min(p.batch, r/20))
		}
	}
	p.began = time.Now()
	p.lastAt = p.began
	ctx, p.stop = context.WithCancel(ctx)
	if pace.MaxLatency > 0 {
		p.throttle.limit = pace.MaxLatency
		p.background.Go(func() { p.measure(ctx, src) })
	}
	if tell != nil {
		p.background.Go(func() { p.tellAll(ctx) })
	}
}

// end stops both, and tells the last time.
func (p *pacer) end() {
	p.stop()
	p.background.Wait()
	if p.tell != nil {
		p.tell(p.progress(time.Now()))
	}
}

func limiter(perSecond int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, perSecond/20))
}

// source waits until n commands may go to the source.
func (p *pacer) source(ctx context.Context, n int) error {
	if err := p.gate(ctx); err != nil {
		return err
	}
	p.sourceCommands.Add(int64(n))
	return wait(ctx, p.fromS, n)
}

// gate waits as the caller's gate and the source's latency want it.
func (p *pacer) gate(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if p.pace.Gate != nil {
		if err := p.pace.Gate(ctx); err != nil {
			return err
		}
	}
	return pause(ctx, p.throttle.pause())
}

// target waits until n commands may go to the target.
func (p *pacer) target(ctx context.Context, n int) error {
	p.targetCommands.Add(int64(n))
	return wait(ctx, p.toT, n)
}

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

func (p *pacer) measure(ctx context.Context, src redis.UniversalClient) {
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
			if err != nil { // no answer is the slowest there is
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

// saw takes in one answer.
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

func (p *pacer) tellAll(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-tick.C:
			p.tell(p.progress(at))
		}
	}
}

// progress is called by one goroutine at a time.
func (p *pacer) progress(at time.Time) Progress {
	keys := p.keys.Load()
	if d := at.Sub(p.lastAt).Seconds(); d >= tellEvery.Seconds()/2 {
		now := float64(keys-p.lastKeys) / d
		if p.smooth == 0 {
			p.smooth = now
		}
		p.smooth += (now - p.smooth) / 8
		p.lastKeys, p.lastAt = keys, at
	}
	return Progress{Keys: keys, Total: p.total, Bytes: p.bytes.Load(), KeysPerSecond: p.smooth, ETASeconds: p.eta(p.total-keys, p.smooth),
		LatencyMS: float64(p.throttle.p99.Load()) / 1e6, BackingOffMS: float64(p.throttle.delay.Load()) / 1e6}
}

// eta is how long so many keys take at a pace in keys/s, in seconds, unless the rate limits allow less. Pace 0: by the limits alone.
func (p *pacer) eta(keys int64, pace float64) float64 {
	seconds := 0.0
	if pace > 0 {
		seconds = float64(max(keys, 0)) / pace
	}
	return max(seconds, limitSeconds(p.pace, keys, p.perTarget, p.perSource))
}

// limitSeconds is how long so many keys take at least by the rate limits.
func limitSeconds(pace Pace, keys int64, perTarget, perSource int) (seconds float64) {
	if pace.TargetRate > 0 {
		seconds = float64(max(keys, 0)*int64(perTarget)) / float64(pace.TargetRate)
	}
	if pace.SourceRate > 0 {
		seconds = max(seconds, float64(max(keys, 0)*int64(perSource))/float64(pace.SourceRate))
	}
	return seconds
}
