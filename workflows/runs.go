package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	view, err := c.fresh(ctx, mid)
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
	sp.Gates = append(v.Needs(step, p), sp.Gates...)
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
	v, err := c.fresh(ctx, mid)
	if err != nil {
		return migration.Run{}, err
	}
	// Who runs what comes before what is missing: the second of two clicks should hear of
	// the first.
	if v.Open != nil {
		return migration.Run{}, migration.Errorf(
			migration.Conflict,
			"%s already has an open run of %q (run %s, %s): wait for it, or cancel it",
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
			"the plan has changed since it was shown: review it again",
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
			"run %s rolls another back and cannot be interrupted",
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

// Run gives one run with its actions.
func (c *Control) Run(ctx context.Context, id string) (migration.Run, error) {
	return c.store.Run(ctx, id)
}

// Runs lists a migration's runs of a step (empty: of all), newest first.
func (c *Control) Runs(ctx context.Context, mid, step string, limit int) ([]migration.Run, error) {
	runs, err := c.store.Runs(ctx, mid, step, limit)
	if err != nil {
		return nil, err
	}
	return runs, c.outcomes(ctx, runs)
}

// runStates are the states that runs can be asked for by.
var runStates = []string{
	"open", string(migration.RunAwaitingApproval), string(migration.RunQueued),
	string(migration.RunRunning), string(migration.RunUndoing), string(migration.RunSucceeded),
	string(migration.RunFailed), string(migration.RunCancelled), string(migration.RunRejected),
}

// FindRuns lists a migration's runs, newest first.
func (c *Control) FindRuns(
	ctx context.Context, mid string, f RunFilter,
) ([]migration.Run, error) {
	if err := c.known(ctx, mid); err != nil {
		return nil, err
	}
	if f.State != "" && !slices.Contains(runStates, f.State) {
		return nil, migration.Errorf(migration.Invalid,
			"there is no state %.40q of a run: give one of %s", f.State,
			strings.Join(runStates, ", "))
	}
	if f.Before != "" {
		if _, err := c.store.Run(ctx, f.Before); err != nil {
			return nil, err
		}
	}
	runs, err := c.store.FindRuns(ctx, mid, f)
	if err != nil {
		return nil, err
	}
	return runs, c.outcomes(ctx, runs)
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
		return "it rolls another run back"
	case run.CancelledBy != "":
		return "it is being cancelled"
	}
	for _, a := range run.Actions {
		if a.State == migration.ActionRunning {
			return fmt.Sprintf("%q cannot be paused safely", a.Title)
		}
	}
	return "none of its actions is in progress"
}
