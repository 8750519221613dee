package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Step is one workflow: what it needs, what it would do, and how each of its actions is
// done and undone. Doing must be idempotent: an action that was under way when the process
// died is carried out again from its start.
type Step struct {
	ID       string
	Approval migration.Approval
	// Irreversible steps cannot be rolled back once they succeeded.
	Irreversible bool
	// Plan plans without changing anything: what is known now, and what must hold. v is
	// what decides what may be done next, read at one time.
	Plan func(ctx context.Context, v progress.View, p migration.Params) (PlanResult, error)
	// Actions are carried out in order. What they are may depend on the parameters alone,
	// so that a resumed run has the same.
	Actions func(p migration.Params) []Action
	// Reverse gives the parameters of a forward run that takes a run back, for steps whose
	// way back is a run of the same step.
	Reverse func(run migration.Run) (migration.Params, error)
	// Result says what a run came to, from its own outputs. It reads nothing. Outputs may be
	// missing: of a run that failed, or of an earlier version.
	Result func(run migration.Run) migration.RunResult
}

// PlanResult is what planning finds.
type PlanResult struct {
	Summary    string
	Impact     string
	Gates      []migration.Gate
	Observed   []migration.Fact
	Settings   []migration.SettingChange
	ConfigVars []migration.ConfigVarChange
	// Guardrails take the run back by themselves.
	Guardrails []migration.GuardrailRule
	// Approval, when given, replaces the step's: a move back needs none.
	Approval migration.Approval
}

// Action is one part of a step.
type Action struct {
	migration.ActionPlan
	Do func(ctx context.Context, c *Call) (output any, err error)
	// Undo takes back what Do did, also when Do stopped half way. Nil: there is nothing to
	// take back.
	Undo func(ctx context.Context, c *Call) error
	// Ready tells what must hold for the action's own approval to be given. Nil: nothing
	// but the person.
	Ready func(ctx context.Context, c *Call) []migration.Gate
	// Timeout bounds one attempt at Do or Undo. Zero: 2 minutes.
	Timeout time.Duration
}

// PlanFor gives what a step would do. The hash covers what is to be done and not what was
// seen, so that an approval stays valid while queues move on, and becomes void when the
// plan itself changes.
func (s Step) PlanFor(
	ctx context.Context,
	v progress.View,
	p migration.Params,
) (migration.StepPlan, error) {
	out, err := s.Plan(ctx, v, p)
	if err != nil {
		return migration.StepPlan{}, err
	}
	plan := migration.StepPlan{
		Step:         s.ID,
		Params:       p,
		Summary:      out.Summary,
		Impact:       out.Impact,
		Approval:     s.Approval,
		Irreversible: s.Irreversible,
		Gates:        v.Waive(out.Gates),
		Observed:     out.Observed,
		Settings:     out.Settings,
		ConfigVars:   out.ConfigVars,
		Guardrails:   out.Guardrails,
	}
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
	if len(plan.Guardrails) > 0 {
		parts = append(parts, plan.Guardrails)
	}
	plan.Hash, err = hash(parts...)
	return plan, err
}

// RollbackPlan gives what taking a run back would do: the undoable actions in reverse.
func (s Step) RollbackPlan(run migration.Run) (migration.StepPlan, error) {
	plan := migration.StepPlan{Step: s.ID, Params: run.Params, Approval: migration.ApprovalOne,
		Summary: fmt.Sprintf("Roll back run %s of %s: %s", run.ID, run.Step, run.Plan.Summary)}
	if s.Irreversible {
		return plan, migration.Errorf(
			migration.Blocked,
			"%s is irreversible and cannot be rolled back",
			s.ID,
		)
	}
	actions := s.Actions(run.Params)
	for i := len(actions) - 1; i >= 0; i-- {
		if a := actions[i]; a.Undo != nil {
			plan.Actions = append(
				plan.Actions,
				migration.ActionPlan{
					ID:      a.ID,
					Title:   "Undo: " + a.Title,
					Changes: a.ActionPlan.Undo,
				},
			)
		}
	}
	if len(plan.Actions) == 0 {
		return plan, migration.Errorf(
			migration.Blocked,
			"nothing to roll back: %s only reads",
			s.ID,
		)
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

// Blocked gives nil when every gate holds, and else an error of the kind Blocked that
// carries those that do not.
func Blocked(step string, gates []migration.Gate) error {
	failing := migration.Failing(gates)
	if len(failing) == 0 {
		return nil
	}
	var list []string
	for _, g := range failing {
		list = append(list, fmt.Sprintf("%s: %s (required: %s)", g.Title, g.Measured, g.Limit))
	}
	err := migration.Errorf(
		migration.Blocked,
		"%s cannot start, %d of %d preconditions are not met: %s",
		step,
		len(failing),
		len(gates),
		strings.Join(list, "; "),
	)
	if e, ok := errors.AsType[*migration.Error](err); ok {
		e.Blockers = failing
	}
	return err
}
