package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/switchyard-dev/switchyard/migration"
)

func undo(a Action) func(context.Context, *Call) (any, error) {
	return func(ctx context.Context, c *Call) (any, error) { return nil, a.Undo(ctx, c) }
}

// perform carries out one action as a DBOS step. prefix is "undo:" for taking back within a
// run that went wrong.
func (e *Engine) perform(
	ctx dbos.Context,
	run migration.Run,
	a Action,
	do func(context.Context, *Call) (any, error),
	prefix string,
) (outcome, error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (outcome, error) {
		undoing := prefix != "" || run.Rollback != ""
		out, err := e.attempt(ctx, run, a, do, undoing)
		e.Changed(run.ID)
		return out, err
	}, dbos.WithStepName(prefix+a.ID))
}

func (e *Engine) attempt(
	ctx context.Context,
	run migration.Run,
	a Action,
	do func(context.Context, *Call) (any, error),
	undoing bool,
) (outcome, error) {
	save := func(state migration.ActionState, detail string, output json.RawMessage) error {
		return e.persist(
			ctx,
			func() error { return e.store.SaveAction(ctx, run.ID, a.ID, state, detail, output, e.now()) },
		)
	}
	var current migration.Run
	if err := e.persist(ctx, func() (err error) { current, err = e.store.Run(ctx, run.ID); return err }); err != nil {
		return outcome{}, err
	}
	if out, known := recorded(current, a, undoing); known {
		return out, nil
	}
	// An undo is never interrupted: half of it would be worse than all of it.
	if current.CancelledBy != "" && !undoing {
		untouched := slices.ContainsFunc(
			current.Actions,
			func(was migration.RunAction) bool { return was.ID == a.ID && was.State == migration.ActionPending },
		)
		return outcome{Cancelled: true, Untouched: untouched}, nil
	}
	began := e.begin(ctx, current, a.ID)
	if err := save(migration.ActionRunning, "", nil); err != nil {
		return outcome{}, err
	}
	e.Changed(run.ID)
	title := a.Title
	if undoing {
		title = "rolling back: " + title
	}
	e.log(run.ID, a.ID, "info", title)

	timeout := a.Timeout
	if timeout == 0 {
		timeout = 2 * time.Minute
	}
	cancellable, cancel := context.WithCancelCause(ctx)
	budget := startBudget(timeout, func() { cancel(context.DeadlineExceeded) })
	if !undoing {
		e.watch(run.ID, cancel)
	}
	result, err := do(cancellable, &Call{
		Run: current, Action: a.ID, began: began, engine: e, budget: budget,
	})
	cancelled := errors.Is(context.Cause(cancellable), errCancelled)
	if errors.Is(context.Cause(cancellable), context.DeadlineExceeded) &&
		errors.Is(err, context.Canceled) {
		err = fmt.Errorf("timed out after %s", migration.Words(timeout))
	}
	e.watch(run.ID, nil)
	budget.stop()
	cancel(nil)

	if ctx.Err() != nil {
		// The process is going away. Nothing is written: the next one carries the action out again.
		return outcome{}, ctx.Err()
	}
	state := migration.ActionDone
	if undoing {
		state = migration.ActionUndone
	}
	var output json.RawMessage
	if err == nil && result != nil {
		if output, err = json.Marshal(result); err != nil {
			err = fmt.Errorf("output of %s: %w", a.ID, err)
		}
	}
	if err == nil {
		return outcome{}, save(state, "", output)
	}
	if cancelled && !undoing {
		e.log(run.ID, a.ID, "warn", "cancelled by "+e.cancelledBy(ctx, run.ID))
		return outcome{Cancelled: true}, save(migration.ActionFailed, cancelledDetail, nil)
	}
	e.log_.Error("action failed", "run", run.ID, "action", a.ID, "err", err)
	why := migration.PlainError(err)
	e.log(run.ID, a.ID, "error", why)
	return outcome{Failed: a.Title + ": " + why}, save(migration.ActionFailed, why, nil)
}

// begin gives when an action of a run began, which may have been in a process before this one.
// What evidence will be about is looked at now, as far as it can be, so that what was there is
// told from what comes while the action looks.
func (e *Engine) begin(ctx context.Context, run migration.Run, action string) time.Time {
	for _, a := range run.Actions {
		if a.ID == action && a.StartedAt != nil {
			return *a.StartedAt
		}
	}
	if _, err := e.witness.Subject(ctx, run.MigrationID, migration.Ours(), time.Time{}); err != nil {
		e.log_.Debug("cannot look", "run", run.ID, "err", err)
	}
	return e.now()
}

// cancelledDetail is the detail of an action that was interrupted by a person.
const cancelledDetail = "cancelled"

// recorded gives how an action ended by the run's own record. That one decides: DBOS writes a
// second one after it, and a process may die in between, with the effect there and written
// down. How an undo within a run failed is not told apart from how the action did, so such an
// undo is carried out again: it looks first.
func recorded(run migration.Run, a Action, undoing bool) (outcome, bool) {
	i := slices.IndexFunc(run.Actions, func(was migration.RunAction) bool { return was.ID == a.ID })
	if i < 0 {
		return outcome{}, false
	}
	was := run.Actions[i]
	switch {
	case undoing && was.State == migration.ActionUndone,
		!undoing && was.State == migration.ActionDone:
		return outcome{}, true
	case was.State != migration.ActionFailed || undoing && run.Rollback == "":
		return outcome{}, false
	case was.Detail == cancelledDetail && run.CancelledBy != "":
		return outcome{Cancelled: true}, true
	}
	return outcome{Failed: a.Title + ": " + was.Detail}, true
}

func (e *Engine) cancelledBy(ctx context.Context, id string) string {
	if run, err := e.store.Run(ctx, id); err == nil {
		return run.CancelledBy
	}
	return "somebody"
}

// watch keeps the function that cancels a run's action; nil forgets it.
func (e *Engine) watch(id string, cancel context.CancelCauseFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cancel == nil {
		delete(e.cancels, id)
		return
	}
	e.cancels[id] = cancel
}

// Cancel interrupts the action under way. Between actions the mark in the store does it.
func (e *Engine) Cancel(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cancel := e.cancels[id]; cancel != nil {
		cancel(errCancelled)
	}
}
