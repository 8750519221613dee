package movequeues

import (
	"slices"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// A queue stands still while it is moved. However far a move gets that neither ends nor is taken
// back, it is written down, nobody lifts it by himself, and the step goes on with it.
func TestAMoveThatDiesHalfwayIsOwedUntilItEnds(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	bullmqtest.Major(6).Add(t, src, "mail", bullmqtest.Plain("mail", 5)...)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(src.URL())
	target := stepstest.Target(t, &cfg, dst)
	b := stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		first := partsOf(b).Step().Actions(migration.Params{})[0]
		first.Approval = migration.ApprovalOne
		return []engine.Step{stepstest.Step("one", first)}
	})
	target(b.Env)
	b.Prove(t, evidence.TargetPlan, holding)
	r := b.Await(t, b.Start(t, "one", migration.Params{}).ID, migration.RunAwaitingApproval)
	call := b.Call(t, r, "move-queues")
	do := b.Steps["one"].Actions(migration.Params{})[0].Do

	owed := func() []migration.Debt {
		t.Helper()
		all, err := b.Env.Debts.Owed(t.Context(), stepstest.Migration)
		ok(t, err)
		return all
	}
	stood := 0
	for n := 1; ; n += 7 {
		var killed redistest.Fault
		killed.Arm(n, redistest.Dead)
		_, err := do(redisconn.WithHook(t.Context(), &killed), call)
		if err == nil {
			break
		}
		census, err := bullmq.Census(t.Context(), src.Client(), bullmq.Queue{Prefix: "bull", Name: "mail"})
		ok(t, err)
		if !census.Paused {
			continue
		}
		stood++
		all := owed()
		i := slices.IndexFunc(all, func(d migration.Debt) bool {
			return d.Kind == migration.DebtMove && d.What == "bull:mail" && d.Server == src.Addr()
		})
		if i < 0 {
			t.Fatalf("after %d commands it stands still, and %+v is owed", n, all)
		}
		err = b.Env.Debts.Lift(t.Context(), all[i])
		if migration.KindOf(err) != migration.Conflict || err == nil || len(owed()) == 0 {
			t.Fatalf("after %d commands it is lifted: %v", n, err)
		}
	}
	if stood == 0 {
		t.Error("it never stood still")
	}
	if all := owed(); len(all) > 0 {
		t.Errorf("it is moved, and %+v is owed", all)
	}
	if n := pending(t, dst.Client(), "mail"); n != 5 {
		t.Errorf("%d jobs on the target, want 5", n)
	}
}
