package workflows

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

func TestOnlyAnEngineerLiftsOrDropsADebtAndNoneOfARunThatIsUnderWay(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	ctx := t.Context()
	run := migration.Run{ID: "dead", MigrationID: mid, Step: "one", RequestedBy: "ada",
		CreatedAt: b.now(), State: migration.RunQueued}
	ok(t, b.store.CreateRun(ctx, run))
	ok(t, b.store.Owe(ctx, migration.Debt{MigrationID: mid, Run: run.ID,
		Kind: migration.DebtFence, Server: "127.0.0.1:1", Before: "0", Set: "1000",
		Since: b.now()}))
	owed, err := b.Debts(ctx, mid)
	ok(t, err)
	if len(owed.Debts) != 1 || !owed.Debts[0].Open || len(owed.Unasked) == 0 {
		t.Fatalf("%+v", owed)
	}
	id := owed.Debts[0].ID
	change := func(a migration.Actor, in DebtChange) error {
		_, err := b.ChangeDebt(ctx, a, mid, id, in)
		return err
	}
	drop := DebtChange{Drop: true, Reason: "the server is gone"}
	wantKind(t, change(carol, DebtChange{}), migration.Forbidden)
	wantKind(t, change(ada, DebtChange{}), migration.Conflict, "under way")
	wantKind(t, change(ada, drop), migration.Conflict, "under way")
	ok(t, b.store.MoveRun(ctx, run.ID, []migration.RunState{migration.RunQueued},
		migration.RunFailed, store.RunChange{}, b.now()))
	wantKind(t, change(ada, DebtChange{}), migration.Unavailable)
	if owed, err = b.Debts(ctx, mid); err != nil || owed.Debts[0].Held == "" {
		t.Fatalf("it does not say why it stays: %+v %v", owed, err)
	}
	wantKind(t, change(ada, DebtChange{Drop: true}), migration.Invalid)
	ok(t, change(ada, drop))
	if owed, err = b.Debts(ctx, mid); err != nil || len(owed.Debts) != 0 {
		t.Errorf("%+v %v", owed, err)
	}
	wantKind(t, change(ada, drop), migration.NotFound)
}
