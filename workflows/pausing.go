package workflows

import (
	"context"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

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
