package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Plan computes what a step would do now, without doing anything.
func (c *Control) Plan(
	ctx context.Context,
	mid, step string,
	p migration.Params,
) (migration.StepPlan, error) {
	view, err := c.view(ctx, mid)
	if err != nil {
		return migration.StepPlan{}, err
	}
	return c.plan(ctx, view, step, p)
}

func (c *Control) plan(
	ctx context.Context,
	v progress.View,
	step string,
	p migration.Params,
) (migration.StepPlan, error) {
	s, ok := c.steps[step]
	if _, inPlan := v.Migration.Plan.Step(step); !ok || !inPlan {
		return migration.StepPlan{}, migration.Errorf(
			migration.NotFound,
			"there is no step %q; the plan's steps are %s",
			step,
			strings.Join(v.StepIDs(), ", "),
		)
	}
	if s.ID != migration.StepCutover && p != (migration.Params{}) {
		return migration.StepPlan{}, migration.Errorf(
			migration.Invalid,
			"step %s takes no parameters",
			step,
		)
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	sp, err := s.PlanFor(ctx, v, p)
	if err != nil {
		return sp, err
	}
	sp.Gates = append(v.Needs(step), sp.Gates...)
	return sp, nil
}

// Start begins a step: planned, checked and, where the step touches production, waiting for
// approval. planHash, when given, must be that of the plan now. Conflict names who runs
// what; Blocked carries the gates that do not hold, and nothing is done.
func (c *Control) Start(
	ctx context.Context,
	a migration.Actor,
	mid, step string,
	p migration.Params,
	planHash string,
) (migration.Run, error) {
	run, err := c.start(ctx, a, mid, step, p, planHash)
	c.audit(ctx, a, "start", step+p.Suffix(), run.ID, err)
	return run, err
}

func (c *Control) start(
	ctx context.Context,
	a migration.Actor,
	mid, step string,
	p migration.Params,
	planHash string,
) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	v, err := c.view(ctx, mid)
	if err != nil {
		return migration.Run{}, err
	}
	// Who runs what comes before what is missing: the second of two clicks should hear of
	// the first.
	if v.Open != nil {
		return migration.Run{}, migration.Errorf(
			migration.Conflict,
			"%s already runs %q (run %s, %s): wait for it, or cancel it",
			v.Open.RequestedBy,
			v.Open.Step,
			v.Open.ID,
			v.Open.State,
		)
	}
	sp, err := c.plan(ctx, v, step, p)
	if err != nil {
		return migration.Run{}, err
	}
	if planHash != "" && planHash != sp.Hash {
		return migration.Run{}, migration.Errorf(
			migration.Conflict,
			"the plan has changed since it was shown: look at it again",
		)
	}
	if err := engine.Blocked(step, sp.Gates); err != nil {
		return migration.Run{}, err
	}
	return c.create(
		ctx,
		migration.Run{MigrationID: mid, Step: step, Params: p, Plan: sp, RequestedBy: a.Name},
	)
}

func (c *Control) create(ctx context.Context, run migration.Run) (migration.Run, error) {
	run.ID, run.CreatedAt, run.State = newToken()[:10], c.now(), migration.RunAwaitingApproval
	if run.Plan.Approval == migration.ApprovalNone || run.Rollback != "" {
		run.State = migration.RunQueued
	}
	if err := c.store.CreateRun(ctx, run); err != nil {
		return migration.Run{}, err
	}
	if run.State == migration.RunQueued {
		c.engine.Start(run.ID)
	}
	c.engine.Changed(run.ID)
	return c.store.Run(ctx, run.ID)
}

// Decision is an answer to a run that waits for approval.
type Decision struct {
	Approve     bool   `json:"approve"`
	Comment     string `json:"comment"`
	ConfirmName string `json:"confirm_name"` // the migration's name, for irreversible steps
	PlanHash    string `json:"plan_hash"`    // of the plan that was shown; empty: the run's
	// what the run waits with, see migration.Run.Waiting; empty: its start
	Action string `json:"action"`
}

// Decide approves or rejects a waiting run. An approval is for the exact plan that was
// shown, and its preconditions must still hold. Irreversible steps need somebody other than
// who asked, and the migration's name typed.
func (c *Control) Decide(
	ctx context.Context,
	a migration.Actor,
	runID string,
	d Decision,
) (migration.Run, error) {
	verb := "reject"
	if d.Approve {
		verb = "approve"
	}
	run, err := c.decide(ctx, a, runID, d)
	detail := d.Comment
	if d.Action != "" {
		detail = strings.TrimSuffix(d.Action+": "+d.Comment, ": ")
	}
	c.audit(ctx, a, verb, runID, detail, err)
	return run, err
}

func (c *Control) decide(
	ctx context.Context,
	a migration.Actor,
	runID string,
	d Decision,
) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	if run.State != migration.RunAwaitingApproval {
		return run, migration.Errorf(
			migration.Conflict,
			"run %s is %s: it does not wait for approval",
			run.ID,
			run.State,
		)
	}
	waitsWith, midway := run.Waiting()
	if d.Action != waitsWith.ID {
		with := "its start"
		if midway {
			with = fmt.Sprintf("%q (action %s)", waitsWith.Title, waitsWith.ID)
		}
		return run, migration.Errorf(
			migration.Conflict,
			"run %s waits for the approval of %s: look at it again",
			run.ID,
			with,
		)
	}
	change := store.RunChange{DecidedBy: a.Name, Comment: d.Comment}
	waiting := []migration.RunState{migration.RunAwaitingApproval}
	if !d.Approve {
		if strings.TrimSpace(d.Comment) == "" {
			return run, migration.Errorf(migration.Invalid, "say in a comment why it is rejected")
		}
		if midway {
			return c.answer(
				ctx,
				a,
				run,
				migration.Consent{Action: waitsWith.ID, By: a.Name, Comment: d.Comment},
			)
		}
		err := c.store.MoveRun(ctx, run.ID, waiting, migration.RunRejected, change, c.now())
		c.engine.Changed(run.ID)
		return c.reread(ctx, run.ID, err)
	}
	if d.PlanHash != "" && d.PlanHash != run.Plan.Hash {
		return run, migration.Errorf(
			migration.Conflict,
			"the approval is for another plan: look at the run again",
		)
	}
	v, err := c.view(ctx, run.MigrationID)
	if err != nil {
		return run, err
	}
	if run.Needs() == migration.ApprovalTwo {
		if a.Name == run.RequestedBy {
			return run, migration.Errorf(
				migration.Forbidden,
				"%s asked for this irreversible step, so somebody else must approve it",
				a.Name,
			)
		}
		if d.ConfirmName != v.Migration.Name {
			return run, migration.Errorf(
				migration.Invalid,
				"type the migration's name exactly to approve an irreversible step: %q was given, %q is needed",
				d.ConfirmName,
				v.Migration.Name,
			)
		}
	}
	if midway {
		if err := c.ready(ctx, run, waitsWith); err != nil {
			return run, err
		}
		return c.answer(
			ctx,
			a,
			run,
			migration.Consent{Action: waitsWith.ID, Approved: true, By: a.Name, Comment: d.Comment},
		)
	}
	fresh, err := c.plan(ctx, v, run.Step, run.Params)
	if err != nil {
		return run, err
	}
	if fresh.Hash != run.Plan.Hash {
		return run, migration.Errorf(
			migration.Conflict,
			"what the step would do has changed since it was asked for: reject it and start it again",
		)
	}
	if err := engine.Blocked(run.Step, fresh.Gates); err != nil {
		return run, err
	}
	if err := c.store.MoveRun(ctx, run.ID, waiting, migration.RunQueued, change, c.now()); err != nil {
		return run, err
	}
	c.engine.Start(run.ID)
	c.engine.Changed(run.ID)
	return c.store.Run(ctx, run.ID)
}

// answer lets a run that waits before an action go on: with it, or to take back what it did.
func (c *Control) answer(
	ctx context.Context,
	a migration.Actor,
	run migration.Run,
	consent migration.Consent,
) (migration.Run, error) {
	consent.At = c.now()
	cancelledBy := ""
	if !consent.Approved {
		cancelledBy = a.Name
	}
	err := c.store.AnswerRun(ctx, run.ID, len(run.Approvals), consent, cancelledBy)
	if err == nil {
		c.engine.Start(run.ID)
	}
	c.engine.Changed(run.ID)
	return c.reread(ctx, run.ID, err)
}

// ready refuses with the gates of the action that do not hold.
func (c *Control) ready(
	ctx context.Context,
	run migration.Run,
	waitsWith migration.ActionPlan,
) error {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	return engine.Blocked(waitsWith.Title, c.engine.Ready(ctx, run, waitsWith.ID))
}

func (c *Control) reread(ctx context.Context, id string, err error) (migration.Run, error) {
	run, readErr := c.store.Run(ctx, id)
	return run, errors.Join(err, readErr)
}

// Cancel stops an open run. What it has done is taken back, except where an action says
// that it cannot be.
func (c *Control) Cancel(
	ctx context.Context,
	a migration.Actor,
	runID string,
) (migration.Run, error) {
	run, err := c.cancel(ctx, a, runID)
	c.audit(ctx, a, "cancel", runID, run.Step, err)
	return run, err
}

func (c *Control) cancel(
	ctx context.Context,
	a migration.Actor,
	runID string,
) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	if run.Rollback != "" {
		return run, migration.Errorf(
			migration.Conflict,
			"run %s takes another back and is not interrupted half way",
			run.ID,
		)
	}
	if waitsWith, midway := run.Waiting(); midway {
		return c.answer(ctx, a, run, migration.Consent{Action: waitsWith.ID, By: a.Name})
	}
	if run.State == migration.RunAwaitingApproval {
		err = c.store.MoveRun(
			ctx,
			run.ID,
			[]migration.RunState{migration.RunAwaitingApproval},
			migration.RunCancelled,
			store.RunChange{CancelledBy: a.Name},
			c.now(),
		)
	} else if err = c.store.RequestCancel(ctx, run.ID, a.Name); err == nil {
		c.engine.Cancel(run.ID)
	}
	c.engine.Changed(run.ID)
	return c.reread(ctx, run.ID, err)
}

// RollbackPlan computes what taking a run back would do.
func (c *Control) RollbackPlan(ctx context.Context, runID string) (migration.StepPlan, error) {
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return migration.StepPlan{}, err
	}
	v, err := c.view(ctx, run.MigrationID)
	if err != nil {
		return migration.StepPlan{}, err
	}
	return c.rollbackPlan(ctx, v, run)
}

func (c *Control) rollbackPlan(
	ctx context.Context,
	v progress.View,
	run migration.Run,
) (migration.StepPlan, error) {
	s, ok := c.steps[run.Step]
	switch {
	case !ok:
		return migration.StepPlan{}, migration.Errorf(
			migration.NotFound,
			"this version knows no step %q",
			run.Step,
		)
	case run.State != migration.RunSucceeded || run.Rollback != "":
		return migration.StepPlan{}, migration.Errorf(
			migration.Conflict,
			"run %s is %s: only a run that succeeded can be taken back",
			run.ID,
			run.State,
		)
	case run.RolledBackBy != "":
		return migration.StepPlan{}, migration.Errorf(
			migration.Conflict,
			"run %s was taken back by run %s already",
			run.ID,
			run.RolledBackBy,
		)
	}
	if latest := v.LatestRun(run.Step); latest == nil || latest.ID != run.ID {
		return migration.StepPlan{}, migration.Errorf(
			migration.Conflict,
			"run %s is not the latest of %s: take back the latest first",
			run.ID,
			run.Step,
		)
	}
	if s.Reverse != nil {
		p, err := s.Reverse(run)
		if err != nil {
			return migration.StepPlan{}, err
		}
		return c.plan(ctx, v, run.Step, p)
	}
	for _, id := range v.Dependants(run.Step) {
		if v.Done(id) {
			return migration.StepPlan{}, migration.Errorf(
				migration.Blocked,
				"%s builds on %s: take it back first",
				id,
				run.Step,
			)
		}
	}
	if r := v.Routing; r.Stage != migration.StageOff {
		return migration.StepPlan{}, migration.Errorf(
			migration.Blocked,
			"the queue is at %s: move it back to off before taking back %s",
			r,
			run.Step,
		)
	}
	return s.RollbackPlan(run)
}

// Rollback takes a run that succeeded back, by a run of its own. It needs no approval: the
// way back must be quick.
func (c *Control) Rollback(
	ctx context.Context,
	a migration.Actor,
	runID string,
) (migration.Run, error) {
	run, err := c.rollback(ctx, a, runID)
	c.audit(ctx, a, "rollback", runID, run.Step, err)
	return run, err
}

func (c *Control) rollback(
	ctx context.Context,
	a migration.Actor,
	runID string,
) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	v, err := c.view(ctx, run.MigrationID)
	if err != nil {
		return run, err
	}
	sp, err := c.rollbackPlan(ctx, v, run)
	if err != nil {
		return run, err
	}
	if s := c.steps[run.Step]; s.Reverse != nil {
		return c.start(ctx, a, run.MigrationID, run.Step, sp.Params, sp.Hash)
	}
	return c.create(
		ctx,
		migration.Run{
			MigrationID: run.MigrationID,
			Step:        run.Step,
			Params:      run.Params,
			Plan:        sp,
			Rollback:    run.ID,
			RequestedBy: a.Name,
		},
	)
}

// Run gives one run with its actions.
func (c *Control) Run(ctx context.Context, id string) (migration.Run, error) {
	return c.store.Run(ctx, id)
}

// Runs lists a migration's runs of a step (empty: of all), newest first.
func (c *Control) Runs(ctx context.Context, mid, step string, limit int) ([]migration.Run, error) {
	return c.store.Runs(ctx, mid, step, limit)
}

// Log lists a run's log after a sequence number.
func (c *Control) Log(
	ctx context.Context,
	runID string,
	after int64,
	limit int,
) ([]migration.LogLine, error) {
	return c.store.Log(ctx, runID, after, limit)
}

// Pause holds a running run up at its next batch, where the action under way can be. What
// it has done stays as it is.
func (c *Control) Pause(
	ctx context.Context,
	a migration.Actor,
	runID string,
) (migration.Run, error) {
	return c.hold(ctx, a, "pause", runID, a.Name)
}

// Resume lets a paused run go on.
func (c *Control) Resume(
	ctx context.Context,
	a migration.Actor,
	runID string,
) (migration.Run, error) {
	return c.hold(ctx, a, "resume", runID, "")
}

func (c *Control) hold(
	ctx context.Context,
	a migration.Actor,
	verb, runID, who string,
) (migration.Run, error) {
	run, err := c.setPaused(ctx, a, runID, who)
	c.audit(ctx, a, verb, runID, run.Step, err)
	return run, err
}

func (c *Control) setPaused(
	ctx context.Context,
	a migration.Actor,
	runID, who string,
) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	if who != "" && !run.Pausable() {
		return run, migration.Errorf(
			migration.Conflict,
			"run %s cannot be paused now, because %s: wait for it, or cancel it",
			run.ID,
			notPausable(run),
		)
	}
	err = c.store.SetPaused(ctx, run.ID, who)
	c.engine.Changed(run.ID)
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
