package workflows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// view is everything that decides what may be done next, read at one time.
type view struct {
	migration migration.Migration
	routing   migration.Routing
	// stageSince is when the stage was last changed.
	stageSince time.Time
	latestEv   map[string]migration.Evidence
	checklist  migration.Checklist
	runs       []migration.Run // newest first
	open       *migration.Run
	ramp       []int
	at         time.Time
}

type viewKey struct{}

// withView lets a step's Look see what planning already read.
func withView(ctx context.Context, v view) context.Context {
	return context.WithValue(ctx, viewKey{}, v)
}

func viewFrom(ctx context.Context) view {
	v, _ := ctx.Value(viewKey{}).(view)
	return v
}

func (c *Control) view(ctx context.Context, mid string) (view, error) {
	return readView(ctx, c.estate, mid)
}

func readView(ctx context.Context, e *Estate, mid string) (view, error) {
	v := view{ramp: e.cfg.Migration.Ramp, at: e.now()}
	var err error
	if v.migration, err = e.store.Migration(ctx, mid); err != nil {
		return v, err
	}
	if v.routing, v.stageSince, err = e.routingSince(ctx, mid); err != nil {
		return v, err
	}
	if v.latestEv, err = e.store.LatestEvidence(ctx, mid); err != nil {
		return v, err
	}
	if v.runs, err = e.store.Runs(ctx, mid, "", 1000); err != nil {
		return v, err
	}
	if v.open, err = e.store.OpenRun(ctx, mid); err != nil {
		return v, err
	}
	history, err := e.history(ctx, v.migration)
	if err != nil {
		return v, err
	}
	v.checklist = migration.Evaluate(v.at, v.migration.Plan, v.latestEv, history)
	return v, nil
}

// finding is what the plan's criteria say of a check; false when none asks for it.
func (v view) finding(check string) (migration.Finding, bool) {
	for _, i := range v.checklist {
		for _, f := range i.Findings {
			if f.Check == check {
				return f, true
			}
		}
	}
	return migration.Finding{}, false
}

// history gives the observations of the checks that a plan wants several of in a row.
func (e *Estate) history(ctx context.Context, m migration.Migration) (map[string][]migration.Evidence, error) {
	history := map[string][]migration.Evidence{}
	for _, check := range m.Plan.Repeated() {
		// Twice the count: some may be inconclusive, or of one run. Longer rows are not counted further than that.
		rows, err := e.store.Evidence(ctx, m.ID, check, 2*migration.MaxMinCount)
		if err != nil {
			return nil, err
		}
		history[check] = rows
	}
	return history, nil
}

// Overview gives everything that the first page shows.
func (c *Control) Overview(ctx context.Context, mid string) (migration.Overview, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return migration.Overview{}, err
	}
	o := migration.Overview{Migration: v.migration, Plan: v.migration.Plan, Routing: v.routing, Checklist: v.checklist, Steps: v.steps(), NextSteps: v.nextSteps(),
		OpenRun: v.open, Workers: c.estate.workers.Workers(), Phase: v.phase(), At: v.at}
	if facts, ok := auditFactsOf(v.latestEv); ok && sourceExists(v.routing) {
		o.Alerts, o.AuditProblems = facts.Alerts(), facts.Problems()
	}
	// A ledger that is not current shows no figures rather than old ones.
	ledger, err := c.estate.ledger.read()
	if err != nil {
		o.OrdersError = err.Error()
		return o, nil
	}
	if o.Orders, err = c.estate.ledger.facts(c.cfg.Migration.OrderDeadline); err != nil {
		o.OrdersError = err.Error()
	}
	s := ledger.Window(v.stageSince.UnixMilli(), 0, v.at, c.cfg.Migration.OrderDeadline)
	o.Observed = migration.Share{Target: s.OnTarget, Orders: s.Orders}
	return o, nil
}

func (v view) stepIDs() []string {
	var ids []string
	for _, s := range v.migration.Plan.Steps {
		ids = append(ids, s.ID)
	}
	return ids
}

// latest is the newest forward run of a step that succeeded and was not taken back.
func (v view) latest(step string) *migration.Run {
	for i, r := range v.runs {
		if r.Step == step && r.Rollback == "" && r.State == migration.RunSucceeded && r.RolledBackBy == "" {
			return &v.runs[i]
		}
	}
	return nil
}

func (v view) dependants(step string) []string {
	var ids []string
	for _, s := range v.migration.Plan.Steps {
		if slices.Contains(s.Needs, step) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// met reports whether a check's latest evidence holds and is fresh, by the plan's own limits.
func (v view) met(check string) bool {
	for _, i := range v.checklist {
		for _, f := range i.Findings {
			if f.Check == check {
				return f.Verdict == migration.Met
			}
		}
	}
	e, ok := v.latestEv[check]
	if !ok {
		return false
	}
	c, _ := migration.CheckOf(check)
	held, _, err := c.Judge(e.Facts)
	return held && err == nil
}

// done reports whether a step need not be done (any more).
func (v view) done(step string) bool {
	switch step {
	case migration.StepFixPolicy:
		// Not a matter of having been run: the policy itself counts, and it may be set back behind our back.
		return v.latest(migration.StepAudit) != nil && v.met(migration.CheckPolicy)
	case migration.StepCutover:
		return v.routing.Stage == migration.StageComplete
	case migration.StepDualWrite:
		return v.met(migration.CheckDualWrite)
	case migration.StepMoveResidue:
		if gateRemoved(gateResidue) {
			return true
		}
	}
	// A run that proved something counts as long as the proof does.
	if check := proofOf[step]; check != "" && !v.met(check) {
		return false
	}
	return v.latest(step) != nil
}

// proofOf names the check that a step exists to satisfy.
var proofOf = map[string]string{migration.StepSentinelTest: migration.CheckFailover, migration.StepBreakerDrill: migration.CheckDrill, migration.StepWebhookRetry: migration.CheckRetries, migration.StepProvision: migration.CheckTargetPlan}

// needs gives one gate for each step that must be done before.
func (v view) needs(step string) []migration.Gate {
	s, _ := v.migration.Plan.Step(step)
	var gates []migration.Gate
	for _, id := range s.Needs {
		need, _ := v.migration.Plan.Step(id)
		g := migration.Gate{ID: "step:" + id, Title: need.Title, OK: v.done(id), Limit: "done", Measured: "done"}
		if !g.OK {
			g.Measured, g.Next = "not done", "run the step "+need.Title
		}
		gates = append(gates, g)
	}
	return gates
}

func (v view) steps() []migration.StepStatus {
	var out []migration.StepStatus
	for _, s := range v.migration.Plan.Steps {
		st := migration.StepStatus{PlanStep: s, State: migration.StepTodo}
		for i, r := range v.runs {
			if r.Step == s.ID {
				st.LastRun = &v.runs[i]
				break
			}
		}
		for _, m := range v.migration.Plan.Milestones {
			if m.Step == s.ID {
				due := v.migration.EventDate.Add(m.At)
				st.Due = &due
			}
		}
		failing := migration.Failing(v.needs(s.ID))
		switch {
		case v.open != nil && v.open.Step == s.ID:
			st.State = migration.StepActive
		case v.done(s.ID):
			st.State = migration.StepDone
			if s.ID == migration.StepFixPolicy && st.LastRun == nil {
				st.State, st.Why = migration.StepSkipped, "the policy is noeviction already"
			}
		case s.ID == migration.StepCutover && v.routing.Stage != migration.StageOff:
			st.State, st.Why = migration.StepActive, "at "+v.routing.String()
		case len(failing) > 0:
			st.State, st.Why = migration.StepBlocked, "needs "+failing[0].Title
		case st.LastRun != nil && (st.LastRun.State == migration.RunFailed || st.LastRun.State == migration.RunCancelled):
			st.State, st.Why = migration.StepFailed, st.LastRun.Error
		}
		out = append(out, st)
	}
	return out
}

// nextSteps lists what a person can do now, the recommended thing first.
func (v view) nextSteps() []migration.NextStep {
	if r := v.open; r != nil {
		s, _ := v.migration.Plan.Step(r.Step)
		if r.State == migration.RunAwaitingApproval {
			next := migration.NextStep{
				Verb: migration.VerbApprove, Step: r.Step, Params: r.Params, RunID: r.ID,
				Title: "Approve: " + s.Title + params(r.Params),
				Why:   "Look at what will happen, then approve or reject.",
			}
			if r.Needs() == migration.ApprovalTwo {
				next.ConfirmName = v.migration.Name
				next.Why = fmt.Sprintf("Irreversible: somebody other than %s must approve it.", r.RequestedBy)
			}
			if a, ok := r.Waiting(); ok {
				next.Action = a.ID
				next.Title += ": " + a.Title
			}
			return []migration.NextStep{next}
		}
		return []migration.NextStep{{Verb: "watch", Step: r.Step, Params: r.Params, RunID: r.ID, Title: "Watch: " + s.Title + params(r.Params), Why: "It is under way."}}
	}
	var out []migration.NextStep
	if f, ok := v.finding(migration.CheckScan); ok && f.Verdict != migration.Met && v.latestEv[migration.CheckDrill].Check != "" {
		out = append(out, migration.NextStep{Verb: "scan", Step: migration.StepBreakerDrill, Title: "Scan the app's source", Why: f.Measured + ". The drill has shown some queues; the source shows every place that makes one."})
	}
	for _, s := range v.steps() {
		switch s.State {
		case migration.StepDone, migration.StepSkipped, migration.StepBlocked:
			continue
		}
		if s.PlanStep.ID == migration.StepCutover {
			if move, why, ok := v.nextMove(); ok {
				out = append(out, migration.NextStep{Verb: "start", Step: migration.StepCutover, Params: migration.Params(move), Title: "Cut over: move to " + move.String(), Why: why})
			}
			continue
		}
		// The validation compares what the shadow stage runs, so it is offered there.
		if s.PlanStep.ID == migration.StepDualWrite && v.routing.Stage != migration.StageShadow {
			continue
		}
		out = append(out, migration.NextStep{Verb: "start", Step: s.PlanStep.ID, Title: s.PlanStep.Title, Why: s.PlanStep.Why})
	}
	return out
}

// nextMove gives the stage move that leads on, if any is due.
func (v view) nextMove() (migration.StageMove, string, bool) {
	switch r := v.routing; r.Stage {
	case migration.StageOff:
		return migration.StageMove{To: migration.StageDualWrite}, "Orders stay on the source; each leaves a waiting copy on the target.", true
	case migration.StageDualWrite:
		return migration.StageMove{To: migration.StageShadow}, "The target runs the copies with side effects off, and results are compared.", true
	case migration.StageShadow:
		if !v.met(migration.CheckRollback) {
			return migration.StageMove{To: migration.StageDualWrite}, "Rehearse the way back once before the target gets authority.", true
		}
		if !v.met(migration.CheckDualWrite) {
			return migration.StageMove{}, "", false // the validation is next
		}
		return migration.StageMove{To: migration.StageLive, Ramp: v.ramp[0]}, fmt.Sprintf("The target gets authority for %d %% of orders.", v.ramp[0]), true
	case migration.StageLive:
		for _, p := range v.ramp {
			if p > r.Ramp {
				return migration.StageMove{To: migration.StageLive, Ramp: p}, fmt.Sprintf("The target gets authority for %d %% of orders.", p), true
			}
		}
		return migration.StageMove{To: migration.StageRampDown}, "All orders run on the target; a copy waits on the source, so a rollback loses nothing.", true
	case migration.StageRampDown:
		return migration.StageMove{To: migration.StageComplete}, "Orders use the target alone; the source drains.", true
	}
	return migration.StageMove{}, "", false
}

func (v view) phase() string {
	switch {
	case v.checklist.MetCount() == len(v.checklist):
		return "Complete: every criterion is met"
	case v.latest(migration.StepDecommission) != nil:
		return "Decommissioned"
	case v.routing.Stage == migration.StageComplete:
		return "Cut over; the old Redis waits to be decommissioned"
	case v.routing.Stage != migration.StageOff:
		return "Cutting over: " + v.routing.String()
	case v.routing.Source == migration.SourceSentinel:
		return "On Sentinel"
	case v.latest(migration.StepAudit) != nil:
		return "On the single Redis, audited"
	}
	return "Not started: on the single Redis"
}
