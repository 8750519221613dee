// Package workflows holds what Switchyard does: one file per step of the initiative, an engine that carries steps out durably, a monitor
// that keeps looking at what steps have shown, and Control, the one face that pages, API and CLI call. Steps record evidence; they never
// judge it.
package workflows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Step is one workflow: what it needs, what it would do, and how each of its actions is done and undone. Doing must be idempotent: an
// action that was under way when the process died is carried out again from its start.
type Step struct {
	ID       string
	Approval migration.Approval
	// Irreversible steps cannot be rolled back once they succeeded.
	Irreversible bool
	// Look plans without changing anything: what is known now, and what must hold.
	Look func(ctx context.Context, e *Estate, p migration.Params) (Outlook, error)
	// Actions are carried out in order. What they are may depend on the parameters alone, so that a resumed run has the same.
	Actions func(p migration.Params) []Action
	// Reverse gives the parameters of a forward run that takes a run back, for steps whose way back is a run of the same step.
	Reverse func(run migration.Run) (migration.Params, error)
}

// Outlook is what planning finds.
type Outlook struct {
	Summary    string
	Impact     string
	Gates      []migration.Gate
	Observed   []migration.Fact
	Settings   []migration.SettingChange
	ConfigVars []migration.ConfigVarChange
	// Approval, when given, replaces the step's: a move back needs none.
	Approval migration.Approval
}

// Action is one part of a step.
type Action struct {
	migration.ActionPlan
	Do func(ctx context.Context, c *Call) (output any, err error)
	// Undo takes back what Do did, also when Do stopped half way. Nil: there is nothing to take back.
	Undo func(ctx context.Context, c *Call) error
	// Ready tells what must hold for the action's own approval to be given. Nil: nothing but the person.
	Ready func(ctx context.Context, c *Call) []migration.Gate
	// Timeout bounds one attempt at Do or Undo. Zero: 2 minutes.
	Timeout time.Duration
}

// Call is what an action is given.
type Call struct {
	*Estate
	Run    migration.Run
	Action string
	engine *Engine
	budget *budget // of the attempt
}

// Log adds a line to the run's log.
func (c *Call) Log(format string, args ...any) {
	c.engine.log(c.Run.ID, c.Action, "info", fmt.Sprintf(format, args...))
}

// Warn adds a line that somebody should read.
func (c *Call) Warn(format string, args ...any) {
	c.engine.log(c.Run.ID, c.Action, "warn", fmt.Sprintf(format, args...))
}

// Progress shows how far the action is.
func (c *Call) Progress(format string, args ...any) {
	c.engine.progress(c.Run.ID, fmt.Sprintf(format, args...), nil)
}

// Measured shows how far the action is in figures, too.
func (c *Call) Measured(m migration.Measure, format string, args ...any) {
	c.engine.progress(c.Run.ID, fmt.Sprintf(format, args...), &m)
}

// Evidence records facts that the run observed.
func (c *Call) Evidence(ctx context.Context, check string, proof migration.Proof, source string, facts any) error {
	return c.engine.record(ctx, c.Run.MigrationID, c.Run.ID, check, proof, source, facts)
}

// Prove records facts and gives an error when they do not satisfy their check, so that a run whose result is bad does not succeed.
func (c *Call) Prove(ctx context.Context, check string, proof migration.Proof, source string, facts any) error {
	if err := c.Evidence(ctx, check, proof, source, facts); err != nil {
		return err
	}
	raw, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	rule, _ := evidence.Of(check)
	met, measured, err := rule.Judge(raw)
	if err == nil && !met {
		err = fmt.Errorf("%s (want: %s)", measured, rule.Limit)
	}
	return err
}

// Output reads what an earlier action of this run, or of the run that this one takes back, gave.
func (c *Call) Output(ctx context.Context, action string, v any) (bool, error) {
	for _, id := range []string{c.Run.ID, c.Run.Rollback} {
		if id == "" {
			continue
		}
		run, err := c.engine.store.Run(ctx, id)
		if err != nil {
			return false, err
		}
		for _, a := range run.Actions {
			if a.ID == action && a.Output != nil {
				return true, json.Unmarshal(a.Output, v)
			}
		}
	}
	return false, nil
}

// Remember keeps an output of the present action before it is done, for Undo after a kill in the middle.
func (c *Call) Remember(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.engine.store.SaveAction(ctx, c.Run.ID, c.Action, migration.ActionRunning, "", b, c.engine.now())
}

// plan gives what a step would do. The hash covers what is to be done and not what was seen, so that an approval stays valid while queues
// move on, and becomes void when the plan itself changes.
func (s Step) plan(ctx context.Context, e *Estate, p migration.Params) (migration.StepPlan, error) {
	out, err := s.Look(ctx, e, p)
	if err != nil {
		return migration.StepPlan{}, err
	}
	plan := migration.StepPlan{Step: s.ID, Params: p, Summary: out.Summary, Impact: out.Impact, Approval: s.Approval, Irreversible: s.Irreversible,
		Gates: out.Gates, Observed: out.Observed, Settings: out.Settings, ConfigVars: out.ConfigVars}
	if out.Approval != "" {
		plan.Approval = out.Approval
	}
	for _, a := range s.Actions(p) {
		plan.Actions = append(plan.Actions, a.ActionPlan)
	}
	parts := []any{plan.Step, plan.Params, plan.Summary, plan.Actions}
	if len(plan.Settings) > 0 {
		parts = append(parts, plan.Settings)
	}
	if len(plan.ConfigVars) > 0 {
		parts = append(parts, plan.ConfigVars)
	}
	plan.Hash, err = hash(parts...)
	return plan, err
}

// rollbackPlan gives what taking a run back would do: the undoable actions in reverse.
func (s Step) rollbackPlan(run migration.Run) (migration.StepPlan, error) {
	plan := migration.StepPlan{Step: s.ID, Params: run.Params, Approval: migration.ApprovalOne,
		Summary: fmt.Sprintf("Take back run %s of %s: %s", run.ID, run.Step, run.Plan.Summary)}
	if s.Irreversible {
		return plan, migration.Errorf(migration.Blocked, "%s is irreversible: what it did cannot be taken back", s.ID)
	}
	actions := s.Actions(run.Params)
	for i := len(actions) - 1; i >= 0; i-- {
		if a := actions[i]; a.Undo != nil {
			plan.Actions = append(plan.Actions, migration.ActionPlan{ID: a.ID, Title: "Take back: " + a.Title, Changes: a.ActionPlan.Undo})
		}
	}
	if len(plan.Actions) == 0 {
		return plan, migration.Errorf(migration.Blocked, "%s changed nothing, so there is nothing to take back", s.ID)
	}
	var err error
	plan.Hash, err = hash("rollback", run.ID, plan.Actions)
	return plan, err
}

func hash(parts ...any) (string, error) {
	b, err := json.Marshal(parts)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), nil
}

// errNotYet makes await go on looking.
var errNotYet = errors.New("not yet")

// await looks every interval until ready gives nil. ready returns an error wrapping errNotYet, saying what it waits for, to be asked again;
// any other error ends the wait. When the context ends first, what was waited for is the error.
func await(ctx context.Context, every time.Duration, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil || !errors.Is(err, errNotYet) {
			return err
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return fmt.Errorf("gave up waiting: %w", err)
		case <-time.After(every):
		}
	}
}

// notYet says what await waits for.
func notYet(format string, args ...any) error {
	return fmt.Errorf("%s (%w)", fmt.Sprintf(format, args...), errNotYet)
}
