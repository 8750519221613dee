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
