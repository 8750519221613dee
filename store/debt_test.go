package store

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestADebtKeepsWhatWasBeforeUntilItIsStruckOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		owed := func() []migration.Debt {
			t.Helper()
			all, err := s.Debts(ctx, mid)
			ok(t, err)
			return all
		}
		finish := func(id string) {
			t.Helper()
			ok(t, s.MoveRun(ctx, id, []migration.RunState{migration.RunQueued},
				migration.RunFailed, RunChange{}, noon))
		}
		one := run("one", migration.StepSentinelTest, "ada")
		one.State = migration.RunQueued
		ok(t, s.CreateRun(ctx, one))
		fence := migration.Debt{MigrationID: mid, Run: "one", Kind: migration.DebtFence,
			Server: "10.0.0.1:6379", ServerRun: "abc", Before: "1", Set: "1001",
			Peers: []string{"10.0.0.2:6379"}, Since: noon}
		ok(t, s.Owe(ctx, fence))
		first := owed()[0]
		if first.Before != "1" || !first.Open || first.Step != one.Step || len(first.Peers) != 1 {
			t.Errorf("%+v", first)
		}
		ok(t, s.HoldDebt(ctx, first, "it does not answer", noon.Add(time.Second)))
		finish("one")
		if d := owed()[0]; d.Open || d.Held != "it does not answer" || d.TriedAt == nil {
			t.Errorf("%+v", d)
		}
		two := run("two", migration.StepBreakerDrill, "ada")
		two.State = migration.RunQueued
		ok(t, s.CreateRun(ctx, two))
		again := fence
		again.Run, again.Before, again.Set, again.Since = "two", "1001", "2001",
			noon.Add(time.Hour)
		ok(t, s.Owe(ctx, again))
		ok(t, s.StrikeOut(ctx, first)) // as it was before run two took it over
		d := owed()
		if len(d) != 1 || d[0].Run != "two" || d[0].Before != "1" || d[0].Set != "2001" ||
			!d[0].Since.Equal(noon) || d[0].Held != "" {
			t.Fatalf("%+v", d)
		}
		other := fence
		other.Run, other.Server = "two", "10.0.0.3:6379"
		ok(t, s.Owe(ctx, other))
		ok(t, s.Paid(ctx, mid, migration.DebtFence, fence.Server, ""))
		if d := owed(); len(d) != 1 || d[0].Server != other.Server {
			t.Errorf("%+v", d)
		}
		ok(t, s.StrikeOut(ctx, owed()[0]))
		if d := owed(); len(d) != 0 {
			t.Errorf("%+v", d)
		}
	})
}
