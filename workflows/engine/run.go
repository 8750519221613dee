package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

// partID names the part of a run after that many answers. The first is named by the run
// alone, as when there were no others.
func partID(run string, answers int) string {
	if answers == 0 {
		return run
	}
	return fmt.Sprintf("%s:%d", run, answers)
}

func partOf(wid string) (run string, answers int) {
	run, n, _ := strings.Cut(wid, ":")
	answers, _ = strconv.Atoi(n) // "" is 0
	return run, answers
}

// approved gives the actions in the order of the plan that was approved, which may be that
// of an earlier version.
func approved(run migration.Run, known []Action) []Action {
	var out []Action
	for _, p := range run.Plan.Actions {
		i := slices.IndexFunc(known, func(a Action) bool { return a.ID == p.ID })
		if i < 0 {
			out = append(out, Action{ActionPlan: p, Do: func(context.Context, *Call) (any, error) {
				return nil, fmt.Errorf("this version has no action %q", p.ID)
			}})
			continue
		}
		a := known[i]
		a.ActionPlan = p
		out = append(out, a)
	}
	return out
}

// beginning is the action with which a part begins: the first, or the one that the last
// answer was about.
func beginning(actions []Action, answers int) int {
	for i, a := range actions {
		if a.Approval == "" {
			continue
		}
		if answers--; answers == 0 {
			return i
		}
	}
	return 0
}

// workflow is one part of a run from start to end. Everything in it that is not a DBOS step
// must be deterministic.
func (e *Engine) workflow(ctx dbos.Context, wid string) (string, error) {
	id, answers := partOf(wid)
	run, err := dbos.RunAsStep(ctx, func(ctx context.Context) (migration.Run, error) {
		var run migration.Run
		err := e.persist(ctx, func() (err error) {
			moved := e.store.MoveRun(
				ctx,
				id,
				[]migration.RunState{migration.RunQueued, migration.RunRunning},
				migration.RunRunning,
				store.RunChange{},
				e.now(),
			)
			if moved != nil && migration.KindOf(moved) != migration.Conflict {
				return moved
			}
			run, err = e.store.Run(ctx, id)
			return err
		})
		e.Changed(id)
		return run, err
	}, dbos.WithStepName("begin"))
	if err != nil {
		return "", err
	}
	step, ok := e.steps[run.Step]
	if !ok {
		return "", e.finish(
			ctx,
			id,
			migration.RunFailed,
			fmt.Sprintf("this version has no step %q", run.Step),
		)
	}
	actions := step.Actions(run.Params)
	if run.Rollback != "" {
		return e.rollback(ctx, run, actions)
	}
	actions = approved(run, actions)
	from := beginning(actions, answers)
	for i := from; i < len(actions); i++ {
		a := actions[i]
		if a.Approval != "" && (i > from || answers == 0) {
			held, err := e.hold(ctx, run.ID, answers, a)
			if err != nil || held {
				return "waiting", err
			}
			return e.giveUp(ctx, run, actions[:i], outcome{Cancelled: true})
		}
		out, err := e.perform(ctx, run, a, a.Do, "")
		if err != nil {
			return "", err
		}
		if out.Untouched {
			return e.giveUp(ctx, run, actions[:i], out)
		}
		if out.Failed != "" || out.Cancelled {
			return e.giveUp(ctx, run, actions[:i+1], out)
		}
	}
	return "succeeded", e.finish(ctx, id, migration.RunSucceeded, "")
}

// rollback takes a former run back, action by action in reverse.
func (e *Engine) rollback(ctx dbos.Context, run migration.Run, actions []Action) (string, error) {
	for i := len(actions) - 1; i >= 0; i-- {
		a := actions[i]
		if a.Undo == nil {
			continue
		}
		out, err := e.perform(ctx, run, a, undo(a), "")
		if err != nil {
			return "", err
		}
		if out.Failed != "" {
			return "failed", e.finish(ctx, run.ID, migration.RunFailed, out.Failed)
		}
	}
	return "succeeded", e.finish(ctx, run.ID, migration.RunSucceeded, "")
}

// giveUp undoes what a failed or cancelled run did, the interrupted action included, and
// says what could not be undone.
func (e *Engine) giveUp(
	ctx dbos.Context,
	run migration.Run,
	done []Action,
	why outcome,
) (string, error) {
	final, reason := migration.RunFailed, why.Failed
	if why.Cancelled {
		final, reason = migration.RunCancelled, "cancelled; completed actions have been undone"
		if n := len(run.Approvals); n > 0 && !run.Approvals[n-1].Approved &&
			run.Approvals[n-1].Comment != "" {
			reason = fmt.Sprintf(
				"rejected by %s: %s; completed actions have been undone",
				run.Approvals[n-1].By,
				run.Approvals[n-1].Comment,
			)
		}
	}
	if err := e.move(ctx, run.ID, migration.RunUndoing); err != nil {
		return "", err
	}
	for i := len(done) - 1; i >= 0; i-- {
		a := done[i]
		if a.Undo == nil {
			continue
		}
		out, err := e.perform(ctx, run, a, undo(a), "undo:")
		if err != nil {
			return "", err
		}
		if out.Failed != "" {
			reason += fmt.Sprintf("; undoing %q failed too: %s", a.Title, out.Failed)
		}
	}
	return string(final), e.finish(ctx, run.ID, final, reason)
}

// hold lets the run wait for the approval of an action. False: it is cancelled.
func (e *Engine) hold(ctx dbos.Context, id string, answers int, a Action) (bool, error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (held bool, err error) {
		err = e.persist(
			ctx,
			func() (err error) { held, err = e.store.HoldRun(ctx, id, answers); return err },
		)
		if err == nil && held {
			e.log(id, a.ID, "info", "waiting for approval of: "+a.Title)
			e.progress(id, "waiting for approval of: "+a.Title, nil)
		}
		e.Changed(id)
		return held, err
	}, dbos.WithStepName("hold:"+a.ID))
}

func (e *Engine) move(ctx dbos.Context, id string, to migration.RunState) error {
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		err := e.persist(ctx, func() error {
			err := e.store.MoveRun(
				ctx,
				id,
				[]migration.RunState{migration.RunRunning, to},
				to,
				store.RunChange{},
				e.now(),
			)
			if migration.KindOf(err) == migration.Conflict {
				return nil
			}
			return err
		})
		e.Changed(id)
		return true, err
	}, dbos.WithStepName("to:"+string(to)))
	return err
}

func (e *Engine) finish(ctx dbos.Context, id string, to migration.RunState, reason string) error {
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		err := e.persist(ctx, func() error {
			err := e.store.MoveRun(
				ctx,
				id,
				[]migration.RunState{
					migration.RunQueued,
					migration.RunRunning,
					migration.RunUndoing,
				},
				to,
				store.RunChange{Error: reason},
				e.now(),
			)
			if migration.KindOf(err) == migration.Conflict { // written before a kill
				return nil
			}
			if err == nil {
				e.audit(ctx, id, to, reason)
			}
			return err
		})
		if err == nil {
			e.log(id, "", "info", "run "+string(to))
		}
		e.Changed(id)
		return true, err
	}, dbos.WithStepName("finish"))
	return err
}

// audit notes how a run ended. The run itself is the record; a log that cannot be written
// does not keep it open.
func (e *Engine) audit(ctx context.Context, id string, to migration.RunState, reason string) {
	run, err := e.store.Run(ctx, id)
	if err == nil {
		detail := "run " + id
		if reason != "" {
			detail += ": " + reason
		}
		err = e.store.AppendAudit(
			ctx,
			migration.AuditEntry{
				At:      e.now(),
				Actor:   "switchyard",
				Action:  "finish",
				Subject: run.Step + run.Params.Suffix(),
				Detail:  detail,
				Result:  string(to),
			},
		)
	}
	if err != nil {
		e.log_.Error("audit log", "run", id, "err", err)
	}
	e.notify("audit")
}
