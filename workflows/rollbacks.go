package workflows

import (
	"context"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

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
			"this version has no step %q",
			run.Step,
		)
	case run.State != migration.RunSucceeded || run.Rollback != "":
		return migration.StepPlan{}, migration.Errorf(
			migration.Conflict,
			"run %s is %s: only a run that succeeded can be rolled back",
			run.ID,
			run.State,
		)
	case run.RolledBackBy != "":
		return migration.StepPlan{}, migration.Errorf(
			migration.Conflict,
			"run %s was already rolled back by run %s",
			run.ID,
			run.RolledBackBy,
		)
	}
	if latest := v.LatestRun(run.Step); latest == nil || latest.ID != run.ID {
		return migration.StepPlan{}, migration.Errorf(
			migration.Conflict,
			"run %s is not the latest of %s: roll back the latest first",
			run.ID,
			run.Step,
		)
	}
	if s.Reverse != nil {
		p, err := s.Reverse(run)
		if err != nil {
			return migration.StepPlan{}, err
		}
		if _, back := c.movedBack(run); back {
			return migration.StepPlan{}, migration.Errorf(
				migration.Conflict,
				"run %s moved back: to go forward again is a move of its own, with its "+
					"preconditions: %s",
				run.ID,
				migration.StartCommand(run.Step, p),
			)
		}
		return c.plan(ctx, v, run.Step, p)
	}
	for _, id := range v.Dependants(run.Step) {
		if v.Done(id) {
			return migration.StepPlan{}, migration.Errorf(
				migration.Blocked,
				"%s depends on %s: roll it back first",
				id,
				run.Step,
			)
		}
	}
	if r := v.Routing; r.Stage != migration.StageOff {
		return migration.StepPlan{}, migration.Errorf(
			migration.Blocked,
			"the queue is at %s: move it back to off before rolling back %s",
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
