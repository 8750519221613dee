package engine

import (
	"context"
	"sync"
	"time"
)

// pauseEvery is how often an action looks whether its run is paused.
const pauseEvery = 300 * time.Millisecond

// Gate gives what an action that copies much calls between its batches: it waits while
// somebody holds the run up. Whether that is so is read from the database, so that it holds
// over a restart and wherever it was asked for. Waiting does not count as the action's
// time.
func (c *Call) Gate() func(context.Context) error {
	var mu sync.Mutex // several workers of one action come here
	var looked time.Time
	return func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if c.engine.now().Sub(looked) < pauseEvery {
			return context.Cause(ctx)
		}
		held := ""
		for ctx.Err() == nil {
			who, err := c.engine.store.PausedBy(ctx, c.Run.ID)
			if err != nil && held == "" {
				// a database that does not answer holds nothing up that was not held up
				// before
				break
			}
			if err == nil && who == "" {
				break
			}
			if err == nil && held == "" {
				held = who
				c.budget.stop()
				c.Log("paused by %s until somebody resumes it", who)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pauseEvery):
			}
		}
		if looked = c.engine.now(); held != "" && ctx.Err() == nil {
			c.budget.start()
			c.Log("resumed")
		}
		return context.Cause(ctx)
	}
}

// budget is how long an attempt may work; then it calls a function, once. While it is
// stopped no time passes.
type budget struct {
	mu      sync.Mutex
	left    time.Duration
	started time.Time
	timer   *time.Timer
	over    func()
}

func startBudget(limit time.Duration, over func()) *budget {
	b := &budget{left: limit, over: over}
	b.start()
	return b
}

func (b *budget) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started, b.timer = time.Now(), time.AfterFunc(b.left, b.over)
}

// stop stands still; it may be called more than once.
func (b *budget) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil && b.timer.Stop() {
		b.left -= time.Since(b.started)
	}
	b.timer = nil
}
