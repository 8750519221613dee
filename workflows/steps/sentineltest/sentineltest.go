// Package sentineltest is the step that tests the automatic failover.
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
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers *environment.Servers
	Debts   *environment.Debts
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
			out.Gates = append(out.Gates,
				v.SourceIs(migration.SourceSentinel, "The queues are on Sentinel",
					"run the step Move to Sentinel"),
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
					Do:      s.plannedFailover,
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

// attempt is what a failover leaves behind: before it begins, who the master is, and when it
// was measured, the facts. A process that takes over finds out from it what has happened.
type attempt struct {
	evidence.FailoverFacts
	MasterRun string `json:"master_run,omitempty"` // run_id of OldMaster
}

func (a attempt) measured() bool { return a.NewMaster != "" }

// begin lifts what an earlier attempt left on the servers, and writes down who the master is.
// An attempt that was cut off is told by that: over says that its failover took place, so that
// it must not be carried out again.
func (s Parts) begin(
	ctx context.Context, c *engine.Call, kind string,
) (a attempt, over bool, err error) {
	known, err := c.Output(ctx, c.Action, &a)
	if err != nil || a.measured() {
		return a, a.measured(), err
	}
	if err := s.Debts.LiftEarlier(ctx, c,
		migration.DebtFence, migration.DebtClientPause); err != nil {
		return a, false, err
	}
	master, err := s.Servers.MasterNode(ctx)
	if err != nil {
		return a, false, err
	}
	defer environment.CloseNodes([]environment.Node{master})
	id, err := redisconn.RunID(ctx, master.Client)
	if err != nil {
		return a, false, redisconn.Explain(err)
	}
	if known {
		return a, id != a.MasterRun, nil
	}
	a.Kind, a.OldMaster, a.MasterRun = kind, master.Address, id
	return a, false, c.Remember(ctx, a)
}

func (s Parts) plannedFailover(ctx context.Context, c *engine.Call) (any, error) {
	a, over, err := s.begin(ctx, c, "planned")
	if err != nil {
		return nil, err
	}
	if over && !a.measured() {
		c.Warn("the failover away from %s took place before Switchyard was restarted: it was "+
			"not measured and is not repeated", a.OldMaster)
		return a, s.Servers.RecordReadiness(ctx, c)
	}
	if !over {
		if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Sentinels); err != nil {
			return nil, err
		}
		probe := startProbe(ctx, s)
		report, err := s.Servers.Cluster.PlannedFailover(
			ctx,
			c,
			func(s string) { c.Log("%s", s) },
		)
		firstAdd := probe.stop(ctx, report.StartedAt, err == nil)
		if err != nil {
			return nil, err
		}
		a.FailoverFacts = failoverFacts(report, firstAdd)
		if err := probe.followed(ctx, c, &a.FailoverFacts); err != nil {
			return nil, err
		}
		if err := c.Remember(ctx, a); err != nil {
			return nil, err
		}
	}
	c.Log(
		"planned failover %s -> %s: writes blocked for %s, BullMQ adds again after %s, %d "+
			"of %d acknowledged canary writes lost",
		a.OldMaster,
		a.NewMaster,
		a.BlockedMS.Text(ms),
		a.FirstAddMS.Text(ms),
		a.LostAcknowledged,
		a.Acknowledged,
	)
	if a.LostAcknowledged+a.LostAdds > 0 {
		return nil, fmt.Errorf(
			"%d acknowledged writes and %d acknowledged jobs were lost in a planned failover",
			a.LostAcknowledged,
			a.LostAdds,
		)
	}
	if late, err := a.Late(); err != nil || late != "" {
		return nil, errors.Join(err, named(late))
	}
	return a, s.Servers.RecordReadiness(ctx, c)
}

func (s Parts) automaticFailover(ctx context.Context, c *engine.Call) (any, error) {
	a, over, err := s.begin(ctx, c, "automatic")
	if err != nil {
		return nil, err
	}
	if over && !a.measured() {
		return nil, migration.Errorf(migration.Conflict, "the failover away from %s was cut off "+
			"when Switchyard was restarted: it took place, was not measured, and is not repeated "+
			"without being asked for. Run the step again", a.OldMaster)
	}
	if !over {
		if err := s.measureAutomatic(ctx, c, &a); err != nil {
			return nil, err
		}
	}
	c.Log(
		"automatic failover %s -> %s: detected after %d ms, elected after %d ms, writes after %s, "+
			"BullMQ adds after %s, %d of %d acknowledged writes lost",
		a.OldMaster,
		a.NewMaster,
		a.DetectMS,
		a.ElectionMS,
		a.FirstWriteMS.Text(ms),
		a.FirstAddMS.Text(ms),
		a.LostAcknowledged,
		a.Acknowledged,
	)
	return a, c.Prove(
		ctx,
		evidence.Failover,
		migration.Observed,
		"canary writer through Sentinel, and canary jobs through the app's BullMQ",
		a.FailoverFacts,
	)
}

// measureAutomatic fails over and keeps what was measured.
func (s Parts) measureAutomatic(ctx context.Context, c *engine.Call, a *attempt) error {
	if err := s.Servers.RecordReadiness(ctx, c); err != nil {
		return err
	}
	if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Sentinels); err != nil {
		return err
	}
	probe := startProbe(ctx, s)
	report, err := s.Servers.Cluster.AutomaticFailover(
		ctx,
		c,
		func(s string) { c.Log("%s", s) },
	)
	firstAdd := probe.stop(ctx, report.StartedAt, err == nil)
	a.FailoverFacts = failoverFacts(report, firstAdd)
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
					a.FailoverFacts,
				),
			)
		}
		return err
	}
	if err := probe.followed(ctx, c, &a.FailoverFacts); err != nil {
		return err
	}
	return c.Remember(ctx, *a)
}

func ms(n int64) string { return fmt.Sprintf("%d ms", n) }

// named makes an error of what is wrong; nil where nothing is.
func named(wrong string) error {
	if wrong == "" {
		return nil
	}
	return errors.New(wrong)
}

// seen is what a report measured; a report leaves 0 what it did not come to.
func seen(n int64) migration.Figure {
	if n <= 0 {
		return migration.Figure{}
	}
	return migration.Measured(n)
}

func failoverFacts(
	r sentinel.FailoverReport, firstAddMS migration.Figure,
) evidence.FailoverFacts {
	return evidence.FailoverFacts{
		Kind:             r.Kind,
		OldMaster:        r.OldMaster,
		NewMaster:        r.NewMaster,
		DetectMS:         r.DetectMS,
		ElectionMS:       r.ElectionMS,
		FirstWriteMS:     seen(r.FirstWriteMS),
		FirstAddMS:       firstAddMS,
		BlockedMS:        seen(r.BlockedMS),
		RecoveredMS:      seen(r.RecoveredMS),
		Acknowledged:     r.Acknowledged,
		LostAcknowledged: r.LostAcknowledged,
	}
}

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
