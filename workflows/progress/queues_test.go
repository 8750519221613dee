package progress_test

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// A stage is that of every routed queue, and a queue without flags is at off.
func TestAStageIsThatOfEveryRoutedQueue(t *testing.T) {
	t.Parallel()
	of := func(name string, s migration.Stage, ramp int) progress.QueueRouting {
		return progress.QueueRouting{Queue: name, Routing: migration.Routing{Stage: s, Ramp: ramp}}
	}
	for _, tc := range []struct {
		rule            string
		queues          []progress.QueueRouting
		stage, together bool
		says            string
	}{
		{"one queue", []progress.QueueRouting{of("orders", migration.StageComplete, 0)},
			true, true, "complete"},
		{"both are there", []progress.QueueRouting{of("orders", migration.StageComplete, 0),
			of("refunds", migration.StageComplete, 0)}, true, true, "2 of 2 routed queues"},
		{"the second has no flags", []progress.QueueRouting{of("orders", migration.StageComplete, 0),
			of("refunds", migration.StageOff, 0)}, false, false, "not: refunds (off)"},
		{"another share", []progress.QueueRouting{of("orders", migration.StageComplete, 0),
			of("refunds", migration.StageComplete, 50)}, true, false, "2 of 2 routed queues"},
		{"nobody has read each", nil, true, true, "complete"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			v := progress.View{Routing: migration.Routing{Stage: migration.StageComplete},
				Queues: tc.queues}
			g := v.StageGate("Cutover is complete", "complete", "finish it",
				migration.StageComplete)
			if g.OK != tc.stage || !strings.Contains(g.Measured, tc.says) {
				t.Errorf("%v, %s", g.OK, g.Measured)
			}
			if together := v.TogetherGate(); together.OK != tc.together {
				t.Errorf("together: %v, %s", together.OK, together.Measured)
			}
			if v.Basis().Complete != tc.stage {
				t.Errorf("complete: %v", v.Basis().Complete)
			}
		})
	}
}

// What the view alone tells to be missing is counted: a step with that is not ready.
func TestAStepThatMayBeStartedCountsWhatBlocksIt(t *testing.T) {
	t.Parallel()
	v := at(migration.StageShadow, 0)
	v.Migration.Plan.Steps = []migration.PlanStep{{ID: migration.StepAudit},
		{ID: migration.StepProvision}, {ID: migration.StepDecommission, Proves: []string{"off"}}}
	v.Checklist = migration.Checklist{
		{Criterion: migration.Criterion{ID: "off"}, Verdict: migration.Unmet},
		{Criterion: migration.Criterion{ID: "a"}, Verdict: migration.Met},
		{Criterion: migration.Criterion{ID: "b"}, Verdict: migration.Unmet},
	}
	done := run("a", migration.StepAudit, migration.RunSucceeded)
	done.FinishedAt = &v.At
	v.Runs = []migration.Run{done}
	for _, s := range v.Steps() {
		want := map[string]int{migration.StepProvision: 1, migration.StepDecommission: 1}
		if s.Blocking != want[s.PlanStep.ID] {
			t.Errorf("%s: %d block, %s", s.PlanStep.ID, s.Blocking, s.State)
		}
		if (s.DoneAt != nil) != (s.PlanStep.ID == migration.StepAudit) {
			t.Errorf("%s: done at %v", s.PlanStep.ID, s.DoneAt)
		}
	}
}
