// Package sentineltest is the step that tests the automatic failover.
package sentineltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers *environment.Servers
	App     environment.App
	Journal *environment.Journal
}

// Step fails over twice: once planned, to see that everything is set up, and once by making
// the master unresponsive, so that Sentinel has to notice by itself. Only the second counts
// for the criterion.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepSentinelTest,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: "Fail over twice: planned, then by freezing the primary so that " +
					"Sentinel has to detect it.",
				Impact: "Webhooks get 503 for about 1 s, then for the detection time plus a few " +
					"seconds (limit 30 s); the provider's retries deliver them again.",
			}
			if s.Servers.Cluster == nil {
				return out, environment.ErrNoSentinel()
			}
			at := migration.Gate{
				ID:       "source",
				Title:    "The queues are on Sentinel",
				OK:       v.Routing.Source == migration.SourceSentinel,
				Measured: string(v.Routing.Source),
				Limit:    "sentinel",
			}
			if !at.OK {
				at.Next = "run the step Move to Sentinel"
			}
			out.Gates = append(out.Gates, at,
				s.Servers.Clients.Gate(ctx, v.Migration.ID, s.Servers.Clients.Sentinels))
			facts, err := s.Servers.Readiness(ctx)
			if err != nil {
				return out, migration.Errorf(
					migration.Unavailable,
					"the Sentinel deployment cannot be read: %w",
					err,
				)
			}
			out.Gates = append(out.Gates, facts.Checks...)
			out.Observed = append(
				out.Observed,
				migration.Fact{Label: "Master", Value: facts.Master},
			)
			return out, nil
		},
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: migration.ActionPlan{
						ID:      "planned",
						Title:   "Planned failover",
						Changes: "another node becomes the primary",
						Undo:    "not needed: any node may be the primary",
					},
					Timeout: 3 * time.Minute,
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Sentinels); err != nil {
							return nil, err
						}
						probe := startProbe(ctx, s)
						report, err := s.Servers.Cluster.PlannedFailover(
							ctx,
							func(s string) { c.Log("%s", s) },
						)
						firstAdd := probe.stop(report.StartedAt)
						if err != nil {
							return nil, err
						}
						facts := failoverFacts(report, firstAdd)
						if err := probe.followed(ctx, c, s.App, &facts); err != nil {
							return nil, err
						}
						c.Log(
							"planned failover %s -> %s: writes blocked for %d ms, BullMQ adds "+
								"again after %d ms, %d of %d acknowledged canary writes lost",
							facts.OldMaster,
							facts.NewMaster,
							facts.BlockedMS,
							facts.FirstAddMS,
							facts.LostAcknowledged,
							facts.Acknowledged,
						)
						if facts.LostAcknowledged+facts.LostAdds > 0 {
							return nil, fmt.Errorf(
								"%d acknowledged writes and %d acknowledged jobs were lost in a "+
									"planned failover",
								facts.LostAcknowledged,
								facts.LostAdds,
							)
						}
						return facts, s.Servers.RecordReadiness(ctx, c)
					},
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:      "automatic",
						Title:   "Automatic failover: freeze the primary",
						Changes: "the primary stops responding until Sentinel has elected another",
						Undo:    "not needed: it recovers automatically, as a replica",
					},
					Timeout: 4 * time.Minute,
					Do:      s.automaticFailover,
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:    "ready-again",
						Title: "Wait until the deployment is ready again",
					},
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						return nil, s.Servers.RecordReadiness(ctx, c)
					},
				},
			}
		},
	}
}

func (s Parts) automaticFailover(ctx context.Context, c *engine.Call) (any, error) {
	if err := s.Servers.RecordReadiness(ctx, c); err != nil {
		return nil, err
	}
	if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Sentinels); err != nil {
		return nil, err
	}
	probe := startProbe(ctx, s)
	report, err := s.Servers.Cluster.AutomaticFailover(ctx, func(s string) { c.Log("%s", s) })
	firstAdd := probe.stop(report.StartedAt)
	facts := failoverFacts(report, firstAdd)
	if err != nil {
		// A master that went away and was not replaced is a result, and it ends a row of
		// good ones. A test that never began is none.
		if report.NewMaster == "" && len(report.Timeline) > 0 && ctx.Err() == nil {
			err = errors.Join(
				err,
				c.Prove(
					ctx,
					evidence.Failover,
					migration.Observed,
					"canary writer through Sentinel",
					facts,
				),
			)
		}
		return nil, err
	}
	if err := probe.followed(ctx, c, s.App, &facts); err != nil {
		return nil, err
	}
	c.Log(
		"automatic failover %s -> %s: detected after %d ms, elected after %d ms, writes after %d "+
			"ms, BullMQ adds after %d ms, %d of %d acknowledged writes lost",
		facts.OldMaster,
		facts.NewMaster,
		facts.DetectMS,
		facts.ElectionMS,
		facts.FirstWriteMS,
		facts.FirstAddMS,
		facts.LostAcknowledged,
		facts.Acknowledged,
	)
	return facts, c.Prove(
		ctx,
		evidence.Failover,
		migration.Observed,
		"canary writer through Sentinel, and canary jobs through the app's BullMQ",
		facts,
	)
}

func failoverFacts(r sentinel.FailoverReport, firstAddMS int64) evidence.FailoverFacts {
	return evidence.FailoverFacts{
		Kind:             r.Kind,
		OldMaster:        r.OldMaster,
		NewMaster:        r.NewMaster,
		DetectMS:         r.DetectMS,
		ElectionMS:       r.ElectionMS,
		FirstWriteMS:     r.FirstWriteMS,
		FirstAddMS:       firstAddMS,
		BlockedMS:        r.BlockedMS,
		RecoveredMS:      r.RecoveredMS,
		Acknowledged:     r.Acknowledged,
		LostAcknowledged: r.LostAcknowledged,
	}
}

// probe offers a canary job to the app several times a second and notes what became of it:
// what a webhook would have met.
type probe struct {
	from   int64 // the app's journal before the first one
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	seen   []probed
}

type probed struct {
	id             string
	sent, answered time.Time
	ok             bool
}

func startProbe(ctx context.Context, s Parts) *probe {
	ctx, cancel := context.WithCancel(ctx)
	p := &probe{from: s.Journal.Position(), cancel: cancel}
	p.done.Go(func() {
		for ctx.Err() == nil {
			sent := time.Now()
			id := environment.CanaryID()
			r, err := s.App.Canary(ctx, id)
			if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.seen = append(p.seen, probed{id, sent, time.Now(), err == nil && r.Status == 200})
			p.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	return p
}

// uninterrupted is the longest time between two accepted jobs that still counts as no interruption.
const uninterrupted = time.Second

// stop ends the probe and gives the milliseconds from start until the app took jobs again
// for good, after having refused one or left one waiting. An app that was never interrupted
// gives 0. One that took none to the end is past every limit.
func (p *probe) stop(start time.Time) int64 {
	p.cancel()
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.backAfter(start)
}

func (p *probe) backAfter(start time.Time) int64 {
	var back int64
	last, refused := start, false
	for _, s := range p.seen {
		switch {
		case s.answered.Before(start):
		case !s.ok:
			refused = true
		default:
			if refused || s.answered.Sub(last) > uninterrupted {
				back = s.answered.Sub(start).Milliseconds()
			}
			last, refused = s.answered, false
		}
	}
	if refused || last.Equal(start) {
		return evidence.FailoverLimitMS + 1
	}
	return back
}

// stalledLimit is how long a job may stay active without its lock until BullMQ runs it
// again: twice the default lock duration.
const stalledLimit = 60 * time.Second

// followed notes in facts what became of the jobs that the app accepted.
func (p *probe) followed(
	ctx context.Context,
	c *engine.Call,
	app environment.App,
	facts *evidence.FailoverFacts,
) error {
	known, err := p.outcomes(ctx, app, stalledLimit, facts)
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
	app environment.App,
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
	after, epoch, replaced, whole := p.from, "", false, false
	err = engine.Await(wait, environment.JournalEvery, func(ctx context.Context) error {
		for {
			whole = false
			page, err := app.Journal(ctx, after, environment.JournalPage)
			if err != nil {
				return engine.NotYet("the app's journal: %v", err)
			}
			if replaced = epoch != "" && page.Epoch != epoch; replaced {
				return nil
			}
			epoch = page.Epoch
			if len(page.Events) == 0 {
				whole = true
				break
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
			after = page.Next
		}
		for id, n := range runs {
			if n == 0 {
				return engine.NotYet("%s has not run", id)
			}
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil && !errors.Is(err, engine.ErrNotYet):
		return false, err
	case replaced || !whole:
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
