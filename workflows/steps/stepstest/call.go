package stepstest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Call gives what an action of a run is given, for tests of what actions are made of. Nothing is
// carried out; what the run's actions left is read from the store as ever.
func (b *Bench) Call(t testing.TB, run migration.Run, action string) *engine.Call {
	t.Helper()
	var call *engine.Call
	asked := engine.Action{ActionPlan: migration.ActionPlan{ID: action}}
	asked.Ready = func(_ context.Context, c *engine.Call) []migration.Gate {
		call = c
		return nil
	}
	one := engine.Step{
		ID:      run.Step,
		Actions: func(migration.Params) []engine.Action { return []engine.Action{asked} },
	}
	idle := engine.New(
		b.Store,
		map[string]engine.Step{one.ID: one},
		b.Env.World,
		slog.New(slog.DiscardHandler),
		b.Clock.Now,
		func(string) {},
	)
	idle.Ready(t.Context(), run, action)
	return call
}

// Step is a step of the given actions, without gates and approvals.
func Step(id string, actions ...engine.Action) engine.Step {
	return engine.Step{
		ID:       id,
		Approval: migration.ApprovalNone,
		Plan: func(context.Context, progress.View, migration.Params) (engine.PlanResult, error) {
			return engine.PlanResult{Summary: "do " + id, Impact: "none"}, nil
		},
		Actions: func(migration.Params) []engine.Action { return actions },
	}
}

// Prove records an observation, as a step or the monitor does.
func (b *Bench) Prove(t testing.TB, check string, facts any) {
	t.Helper()
	if err := b.Engine.Record(t.Context(), Migration, "", check, migration.Observed, "test", facts); err != nil {
		t.Fatal(err)
	}
}
