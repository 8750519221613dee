package sentineltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// probe offers a canary job to the app several times a second and notes what became of it:
// what a webhook would have met.
type probe struct {
	queues []string
	heads  []environment.Head // the journal of each instance before the first one
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	seen   []probed
}

type probed struct {
	id, queue      string
	sent, answered time.Time
	ok             bool
}

func startProbe(ctx context.Context, s Parts) *probe {
	ctx, cancel := context.WithCancel(ctx)
	p := &probe{queues: s.App.Queues, heads: s.Journal.Heads(), cancel: cancel}
	for _, queue := range p.queues {
		p.done.Go(func() { p.offer(ctx, s.App, queue) })
	}
	return p
}

// offer offers canary jobs of one queue until the context ends.
func (p *probe) offer(ctx context.Context, app environment.App, queue string) {
	for ctx.Err() == nil {
		sent := time.Now()
		id := environment.CanaryID()
		r, err := app.Canary(ctx, id, queue)
		if ctx.Err() != nil && time.Since(sent) < uninterrupted {
			return
		}
		// what the app adds on the target says nothing of the source
		if err != nil || r.Side != "target" {
			p.mu.Lock()
			ok := err == nil && r.Status == 200
			p.seen = append(p.seen, probed{id, queue, sent, time.Now(), ok})
			p.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// uninterrupted is the longest time between two accepted jobs that still counts as no interruption.
const uninterrupted = time.Second

// stop ends the probe and gives the milliseconds from start until the app took jobs on the
// source again for good, after having refused one or left one waiting. An app that was never
// interrupted gives 0. wait has it go on until a job is accepted that was offered after this
// call, or the limit is over: then it is at least as long as the app was seen to refuse.
func (p *probe) stop(ctx context.Context, start time.Time, wait bool) migration.Figure {
	if asked := time.Now(); wait {
		left := time.Until(start.Add(evidence.FailoverLimitMS * time.Millisecond))
		bounded, cancel := context.WithTimeout(ctx, max(left, uninterrupted))
		_ = engine.Await(bounded, 50*time.Millisecond, func(context.Context) error {
			if !p.acceptedSince(asked) {
				return engine.NotYet("no job was accepted since")
			}
			return nil
		}) // what it came to is in what was seen
		cancel()
	}
	p.cancel()
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.backAfter(start)
}

func (p *probe) acceptedSince(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, queue := range p.queues {
		last := probed{}
		for _, s := range p.seen {
			if s.queue == queue {
				last = s
			}
		}
		if !last.ok || !last.sent.After(at) {
			return false
		}
	}
	return len(p.queues) > 0
}

// backAfter is of the queue whose jobs were taken again last.
func (p *probe) backAfter(start time.Time) migration.Figure {
	var all []migration.Figure
	for _, queue := range p.queues {
		all = append(all, p.backOn(queue, start))
	}
	return migration.Worst(all...)
}

func (p *probe) backOn(queue string, start time.Time) migration.Figure {
	var back int64
	last, end, refused := start, start, false
	for _, s := range p.seen {
		if s.queue != queue || s.answered.Before(start) {
			continue
		}
		end = s.answered
		if !s.ok {
			refused = true
			continue
		}
		if refused || s.answered.Sub(last) > uninterrupted {
			back = s.answered.Sub(start).Milliseconds()
		}
		last, refused = s.answered, false
	}
	switch {
	case end.Equal(start):
		return migration.Figure{}
	case refused:
		return migration.AtLeast(end.Sub(start).Milliseconds())
	}
	return migration.Measured(back)
}

// stalledLimit is how long a job may stay active without its lock until BullMQ runs it
// again: twice the default lock duration.
const stalledLimit = 60 * time.Second

// followed notes in facts what became of the jobs that the app accepted.
func (p *probe) followed(
	ctx context.Context,
	c *engine.Call,
	facts *evidence.FailoverFacts,
) error {
	known, err := p.outcomes(ctx, stalledLimit, facts)
	switch {
	case err != nil:
		return err
	case !known:
		c.Warn(
			"the app's journal was replaced or cannot be read: what became of the canary jobs " +
				"is unknown",
		)
	default:
		c.Log(
			"BullMQ accepted %s: %d never ran, %d ran again",
			migration.Count(facts.Adds, "canary job"),
			facts.LostAdds,
			facts.RunAgain,
		)
	}
	return nil
}

// outcomes waits until every job that the app accepted has run, at most for limit, and
// counts those that never did and the runs beyond the first. A journal that was replaced
// meanwhile, or that nobody answers for, tells nothing.
func (p *probe) outcomes(
	ctx context.Context,
	limit time.Duration,
	facts *evidence.FailoverFacts,
) (known bool, err error) {
	runs := map[string]int{}
	for _, s := range p.seen { // the probe has ended
		if s.ok {
			runs[s.id] = 0
		}
	}
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	journals := make([]reading, len(p.heads))
	for i, h := range p.heads {
		journals[i] = reading{Head: h}
	}
	err = engine.Await(wait, environment.JournalEvery, func(ctx context.Context) error {
		for i := range journals {
			if err := journals[i].read(ctx, runs); err != nil || journals[i].replaced {
				return err
			}
		}
		for id, n := range runs {
			if n == 0 {
				return engine.NotYet("%s has not run", id)
			}
		}
		return nil
	})
	unknown := func(r reading) bool { return r.replaced || !r.whole }
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil && !errors.Is(err, engine.ErrNotYet):
		return false, err
	case len(journals) == 0 || slices.ContainsFunc(journals, unknown):
		return false, nil
	}
	for _, n := range runs {
		facts.Adds++
		if n == 0 {
			facts.LostAdds++
		} else {
			facts.RunAgain += n - 1
		}
	}
	return true, nil
}

// reading is one instance's journal while it is read on.
type reading struct {
	environment.Head
	epoch           string
	replaced, whole bool // whole: its end was reached
}

// read counts in runs which jobs the instance has run since.
func (r *reading) read(ctx context.Context, runs map[string]int) error {
	for {
		r.whole = false
		page, err := r.Client.Journal(ctx, r.After, environment.JournalPage)
		if err != nil {
			return engine.NotYet("the app's journal: %v", err)
		}
		if r.replaced = r.epoch != "" && page.Epoch != r.epoch; r.replaced {
			return nil
		}
		r.epoch = page.Epoch
		if len(page.Events) == 0 {
			r.whole = true
			return nil
		}
		for _, raw := range page.Events {
			var e ledger.Event
			if err := json.Unmarshal(raw, &e); err != nil {
				return fmt.Errorf("journal event: %w", err)
			}
			if _, ours := runs[e.Order]; ours && e.Type == ledger.EventExecuted &&
				e.Mode == ledger.ModeAuthoritative {
				runs[e.Order]++
			}
		}
		r.After = page.Next
	}
}
