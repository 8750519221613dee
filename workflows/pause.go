package workflows

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// pauseEvery is how often an action looks whether its run is paused.
const pauseEvery = 300 * time.Millisecond

// gate gives what an action that copies much calls between its batches: it waits while somebody holds the run up. Whether that is so is read from
// the database, so that it holds over a restart and wherever it was asked for. Waiting does not count as the action's time.
func (c *Call) gate() func(context.Context) error {
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
			who, err := c.store.PausedBy(ctx, c.Run.ID)
			if err != nil && held == "" {
				break // a database that does not answer holds nothing up that was not held up before
			}
			if err == nil && who == "" {
				break
			}
			if err == nil && held == "" {
				held = who
				c.budget.stop()
				c.Log("paused by %s: nothing more travels until somebody lets it go on", who)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pauseEvery):
			}
		}
		if looked = c.engine.now(); held != "" && ctx.Err() == nil {
			c.budget.start()
			c.Log("goes on")
		}
		return context.Cause(ctx)
	}
}

// pace is what a move may ask of both servers, by the configuration, and holds it up while its run is paused.
func (c *Call) pace() pace.Pace {
	m := c.cfg.Move
	return pace.Pace{SourceRate: m.SourceRate, TargetRate: m.TargetRate, MaxLatency: m.MaxLatency, Gate: c.gate()}
}

// budget is how long an attempt may work; then it calls a function, once. While it is stopped no time passes.
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

// Pause holds a running run up at its next batch, where the action under way can be. What it has done stays as it is.
func (c *Control) Pause(ctx context.Context, a migration.Actor, runID string) (migration.Run, error) {
	return c.hold(ctx, a, "pause", runID, a.Name)
}

// Resume lets a paused run go on.
func (c *Control) Resume(ctx context.Context, a migration.Actor, runID string) (migration.Run, error) {
	return c.hold(ctx, a, "resume", runID, "")
}

func (c *Control) hold(ctx context.Context, a migration.Actor, verb, runID, who string) (migration.Run, error) {
	run, err := c.setPaused(ctx, a, runID, who)
	c.audit(ctx, a, verb, runID, run.Step, err)
	return run, err
}

func (c *Control) setPaused(ctx context.Context, a migration.Actor, runID, who string) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	if who != "" && !run.Pausable() {
		return run, migration.Errorf(migration.Conflict, "run %s cannot be paused now, because %s: wait for it, or cancel it", run.ID, notPausable(run))
	}
	err = c.store.SetPaused(ctx, run.ID, who)
	c.engine.changed(run.ID)
	return c.reread(ctx, run.ID, err)
}

func notPausable(run migration.Run) string {
	switch {
	case run.State != migration.RunRunning:
		return "it is " + string(run.State)
	case run.Rollback != "":
		return "it takes another run back"
	case run.CancelledBy != "":
		return "it is being cancelled"
	}
	for _, a := range run.Actions {
		if a.State == migration.ActionRunning {
			return fmt.Sprintf("%q is not an action that stands still without harm", a.Title)
		}
	}
	return "none of its actions is under way"
}
