package workflows

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

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
			"run %s is %s: it is not waiting for approval",
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
			"run %s is waiting for approval of %s: reload it",
			run.ID,
			with,
		)
	}
	change := store.RunChange{DecidedBy: a.Name, Comment: d.Comment}
	waiting := []migration.RunState{migration.RunAwaitingApproval}
	if !d.Approve {
		if strings.TrimSpace(d.Comment) == "" {
			return run, migration.Errorf(migration.Invalid, "say in a comment why you reject it")
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
			"the approval is for a different plan: reload the run",
		)
	}
	v, err := c.fresh(ctx, run.MigrationID)
	if err != nil {
		return run, err
	}
	if run.Needs() == migration.ApprovalTwo {
		if a.Name == run.RequestedBy {
			return run, migration.Errorf(
				migration.Forbidden,
				"%s requested this irreversible step, so another engineer must approve it",
				a.Name,
			)
		}
		if d.ConfirmName != v.Migration.Name {
			return run, migration.Errorf(
				migration.Invalid,
				"an irreversible step is approved with the migration's name: type %q exactly, "+
					"not %q",
				v.Migration.Name,
				d.ConfirmName,
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
			"the plan has changed since the run was requested: reject it and start it again",
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
