// Package cutover is the step that moves the queue by one stage.
package cutover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Views   *environment.Views
	Routing *environment.Routing
	Workers *environment.Workers
	Journal *environment.Journal
	Streams *environment.Streams
	Vitals  *environment.Vitals
	// Soak is how long the ledger is watched after a move forward.
	Soak time.Duration
}

// Step moves the queue by one stage, forward or back. A forward move is gated and watched
// for a while; a move back is always allowed.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepCutover,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, p migration.Params) (engine.PlanResult, error) {
			if p.To == "" {
				move, _, ok := v.NextMove()
				if !ok {
					return engine.PlanResult{}, migration.Errorf(
						migration.Invalid,
						"give the stage to move to (the queue is at %s)",
						v.Routing,
					)
				}
				return engine.PlanResult{}, migration.Errorf(
					migration.Invalid,
					"give the stage to move to (the queue is at %s, next is %s)",
					v.Routing,
					move,
				)
			}
			if err := v.Routing.Check(p.Move()); err != nil {
				return engine.PlanResult{}, err
			}
			limits, err := s.Vitals.Within(p.Limits)
			if err != nil {
				return engine.PlanResult{}, err
			}
			out := engine.PlanResult{
				Summary: fmt.Sprintf("Move the queue from %s to %s.", v.Routing, p.Move()),
				Impact:  impact[p.To],
			}
			if v.Routing.Forward(p.Move()) {
				out.Gates = s.forwardGates(ctx, v, p.Move(), limits)
				out.Guardrails = append([]migration.GuardrailRule{ordersRule(v.Routing)},
					s.Vitals.Rules(p.To, limits, v.Routing.String())...)
			} else if p.Limits != (migration.Limits{}) {
				return out, migration.Errorf(migration.Invalid, "a move back to %s is not taken "+
					"back by guardrails, so it has no limits: leave them out", p.Move())
			} else {
				out.Impact = "Moving back needs no approval and takes about 1 s. " + impact[p.To]
				out.Approval = migration.ApprovalNone
				out.Gates = []migration.Gate{v.SourceThere()}
			}
			return out, nil
		},
		Actions: func(p migration.Params) []engine.Action { return s.actions(p) },
		Result:  result,
		Reverse: func(run migration.Run) (migration.Params, error) {
			var former migration.Routing
			for _, a := range run.Actions {
				if a.ID == "set-flags" && a.Output != nil {
					if err := json.Unmarshal(a.Output, &former); err != nil {
						return migration.Params{}, err
					}
				}
			}
			if !former.Stage.Valid() {
				return migration.Params{}, migration.Errorf(
					migration.Conflict,
					"run %s did not record the stage before it",
					run.ID,
				)
			}
			return migration.Params{To: former.Stage, Ramp: former.Ramp}, nil
		},
	}
}

var impact = map[migration.Stage]string{
	migration.StageOff: "Orders only use the source.",
	migration.StageDualWrite: "Orders run on the source as before; the target also stores a " +
		"copy of each.",
	migration.StageShadow: "Orders run on the source as before; the target runs the copies " +
		"without side effects.",
	migration.StageLive: "The target is primary for the given share of orders; the other side " +
		"runs a copy without side effects.",
	migration.StageRampDown: "Every order runs on the target; the source stores a copy of each.",
	migration.StageComplete: "New orders only use the target. Jobs left on the source still run " +
		"there.",
}

func (s Parts) actions(p migration.Params) []engine.Action {
	title := "Set the stage flag to " + p.Move().String()
	return []engine.Action{
		{
			ActionPlan: migration.ActionPlan{
				ID:      "set-flags",
				Title:   title,
				Changes: "the routing flags; orders already assigned to a side stay there",
				Undo:    "sets the previous stage again",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				v, err := s.Views.Fresh(ctx, c.Run.MigrationID)
				if err != nil {
					return nil, err
				}
				former := v.Routing
				if known, err := c.Output(ctx, c.Action, &former); err != nil {
					return nil, err
				} else if !known {
					// The gates were checked when the run was approved; this is the last
					// look before production changes.
					if v.Routing.Forward(p.Move()) {
						if v, err = s.known(ctx, c.Run.MigrationID); err != nil {
							return nil, err
						}
						limits, err := s.Vitals.Within(p.Limits)
						if err != nil {
							return nil, err
						}
						if err := engine.Blocked(migration.StepCutover,
							v.Waive(s.forwardGates(ctx, v, p.Move(), limits))); err != nil {
							return nil, err
						}
					}
					if err := c.Remember(ctx, former); err != nil {
						return nil, err
					}
				}
				next := migration.Routing{Stage: p.To, Ramp: p.Ramp, Source: v.Routing.Source}
				revision, err := s.Routing.Set(
					ctx,
					c.Run.MigrationID,
					next,
					c.Run.RequestedBy,
					"cutover to "+p.Move().String(),
					c.Run.ID,
				)
				if err != nil {
					return nil, err
				}
				c.Log("flag revision %d says %s (was %s)", revision, next, former)
				return former, nil
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				var former migration.Routing
				if ok, err := c.Output(ctx, "set-flags", &former); err != nil || !ok {
					return err
				}
				// What fails while orders are taken away from a server is often that server:
				// only a person sends them there again.
				if !former.Forward(p.Move()) && c.Run.CancelledBy == "" {
					c.Warn("the queue stays at %s: forward again is not the way out of a move "+
						"back that failed", p.Move())
					return nil
				}
				now, err := s.Routing.Read(ctx, c.Run.MigrationID)
				if err != nil {
					return err
				}
				former.Source = now.Source
				revision, err := s.Routing.Set(
					ctx,
					c.Run.MigrationID,
					former,
					"switchyard",
					"cutover rolled back to "+former.String(),
					c.Run.ID,
				)
				if err != nil {
					return err
				}
				_, _, err = s.Workers.AwaitBack(ctx, c, revision)
				return err
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:    "await-workers",
				Title: "Wait until all workers have switched and in-flight jobs have finished",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				var former migration.Routing
				if _, err := c.Output(ctx, "set-flags", &former); err != nil {
					return nil, err
				}
				now, err := s.Routing.Read(ctx, c.Run.MigrationID)
				if err != nil {
					return nil, err
				}
				set, err := s.Routing.FlagTime(ctx, c.Run.MigrationID, now.Revision)
				if err != nil {
					return nil, err
				}
				if former.Forward(p.Move()) {
					w, err := s.watchOver(c, former)
					if err != nil {
						return nil, err
					}
					seen, err := s.Workers.Await(ctx, c, now.Revision, w.atOnce)
					return switched{seen.Workers,
						migration.Measured(seen.Since.Sub(set).Milliseconds())}, err
				}
				seen, all, err := s.Workers.AwaitBack(ctx, c, now.Revision)
				if err == nil && all {
					err = c.ByProduct(
						ctx,
						evidence.Rollback,
						migration.Observed,
						"flag change to acknowledgement by every live worker",
						evidence.RollbackFacts{
							From:       former.String(),
							To:         p.Move().String(),
							RollbackMS: seen.Since.Sub(set).Milliseconds(),
							Workers:    seen.Workers,
						},
					)
				}
				took := switched{Workers: seen.Workers}
				if all {
					took.MS = migration.Measured(seen.Since.Sub(set).Milliseconds())
				}
				return took, err
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:    "soak",
				Title: "Watch the order ledger for " + migration.Words(s.Soak),
			},
			// a small share of few orders takes a while to bring one to the target
			Timeout: s.Soak + max(s.Soak, 2*time.Minute),
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				var former migration.Routing
				if _, err := c.Output(ctx, "set-flags", &former); err != nil {
					return nil, err
				}
				if !former.Forward(p.Move()) {
					return nil, nil
				}
				return s.soak(ctx, c, former, p.Move().To.Index() >= migration.StageLive.Index())
			},
		},
	}
}

// known reads the view once workers had the time to be heard and both ledgers are read: a
// process that was killed and started again knows neither, which refuses nothing.
func (s Parts) known(ctx context.Context, mid string) (progress.View, error) {
	if err := errors.Join(
		s.Workers.AwaitWarm(ctx),
		s.Journal.AwaitRead(ctx),
		s.Streams.AwaitRead(ctx, mid),
	); err != nil {
		return progress.View{}, err
	}
	return s.Views.Fresh(ctx, mid)
}

// forwardGates are the preconditions of a move towards the target.
func (s Parts) forwardGates(
	ctx context.Context,
	v progress.View,
	m migration.StageMove,
	limits environment.Limits,
) []migration.Gate {
	gates := []migration.Gate{
		v.SourceThere(),
		v.TogetherGate(),
		s.Workers.Gate(ctx, v.Migration.ID, v.Routing.Revision, true),
		// the first copy claims nothing of orders that there were
		s.Journal.Gate(m.To != migration.StageDualWrite),
		s.Streams.Gate(ctx, v.Migration.ID),
	}
	if m.To == migration.StageComplete && v.Routing.Source != migration.SourceNone {
		gates = append(gates,
			s.Workers.Clients.Gate(ctx, v.Migration.ID, s.Workers.Clients.Source))
	}
	gates = append(gates, s.Vitals.Gates(ctx, v, limits)...)
	gates = append(gates, v.EvidenceGates(m.To)...)
	if m.To == migration.StageShadow {
		gates = append(gates, s.parityGate(v))
	}
	return gates
}

// copyWithin is how long after an order its copy may take; the app gives it a second.
const copyWithin = 3 * time.Second

// parityGate: since dualwrite began every order must have left its copy on the target, by
// whichever stage its instance was in. Orders of this very moment are not counted yet, nor
// those that came while the instances took the stage over.
func (s Parts) parityGate(v progress.View) migration.Gate {
	c := migration.Claim{
		ID:    "parity",
		Title: "Every order has a copy",
		Limit: "at least one order, none without a copy",
		Next:  "wait for orders; if copies are missing, check the target's errors in the journal",
	}
	orders, err := s.Journal.Read()
	if err != nil {
		c.Asked = migration.One("order", "all", migration.Unknown,
			migration.PlainError(err))
		c.Measured, c.Next = migration.PlainError(err),
			"make sure the ingestion app is running, then check again"
		return c.Gate()
	}
	window := func(from time.Time) ledger.Summary {
		return orders.Window(from.UnixMilli(), v.At.Add(-copyWithin).UnixMilli(), v.At,
			s.Journal.Deadline())
	}
	from := takenOver(v)
	sum := window(from)
	if sum.Cut > 0 { // orders of the stage before are in its first minute
		sum = window(from.Truncate(time.Minute).Add(time.Minute))
	}
	all := sum.ShadowExpected + sum.Alone
	c.Measured = fmt.Sprintf("%d of %d orders have a copy", sum.ShadowEnqueued, all)
	if sum.Alone > 0 {
		c.Measured += fmt.Sprintf("; %d came in at a stage that makes none: %s", sum.Alone,
			strings.Join(sum.AloneIDs, ", "))
	}
	verdict := migration.Truth(sum.ShadowEnqueued == all)
	if all == 0 || sum.Cut > 0 {
		verdict = migration.Unknown
	}
	c.Asked = migration.One("order", "all", verdict, c.Measured)
	return c.Gate()
}

// takenOver is from when on every instance was at the stage: a run that sets it ends after
// that.
func takenOver(v progress.View) time.Time {
	for _, r := range v.Runs {
		if r.Step == migration.StepCutover && r.State == migration.RunSucceeded &&
			r.FinishedAt != nil && r.FinishedAt.After(v.StageSince) {
			return *r.FinishedAt
		}
	}
	return v.StageSince
}
