package workflows

import (
	"context"
	"fmt"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// awaitWaiting waits until a run waits with an action.
func (b *bench) awaitWaiting(t *testing.T, id, action string) migration.Run {
	t.Helper()
	var r migration.Run
	redistest.Eventually(t, patience, func() (err error) {
		if r, err = b.Run(t.Context(), id); err != nil {
			return err
		}
		if a, ok := r.Waiting(); !ok || a.ID != action {
			return fmt.Errorf("run %s is %s (%s) and waits with %q", id, r.State, r.Error, a.ID)
		}
		return nil
	})
	return r
}

func (n *notes) needs(approval migration.Approval, id string, do func(context.Context, *engine.Call) error) engine.Action {
	a := n.act(id, do)
	a.Approval = approval
	return a
}

func TestARunWaitsBeforeEachActionThatNeedsAnApprovalOfItsOwnOverRestarts(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalOne, n.act("a", nil), n.needs(migration.ApprovalOne, "b", hangsOnce()), n.act("c", nil), n.needs(migration.ApprovalTwo, "d", nil))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	b := openBench(t, cfg, p, s)
	r := b.begin(t, "one")
	r = b.awaitWaiting(t, r.ID, "b")
	n.want(t, "do a")
	ok(t, b.close())

	b = openBench(t, cfg, p, s)
	b.awaitWaiting(t, r.ID, "b")
	o, err := b.Overview(t.Context(), mid)
	ok(t, err)
	if next := o.NextSteps[0]; next.Verb != "approve" || next.RunID != r.ID || next.Action != "b" || next.Title != "Approve: Step one: Action b" {
		t.Fatalf("next step %+v", next)
	}
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true})
	wantKind(t, err, migration.Conflict, `is waiting for approval of "Action b" (action b)`)
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true, Action: "d"})
	wantKind(t, err, migration.Conflict, "Action b")
	_, err = b.Decide(t.Context(), carol, r.ID, Decision{Approve: true, Action: "b"})
	wantKind(t, err, migration.Forbidden)
	_, err = b.Decide(t.Context(), ada, r.ID, Decision{Approve: true, Action: "b", PlanHash: "other"})
	wantKind(t, err, migration.Conflict, "a different plan")
	_, err = b.Decide(t.Context(), ada, r.ID, Decision{Approve: true, Action: "b", Comment: "go"})
	ok(t, err)
	n.await(t, "do b", 1)
	ok(t, b.close()) // in the action: it is done again, those before are not

	b = openBench(t, cfg, p, s)
	b.awaitWaiting(t, r.ID, "d")
	n.want(t, "do a", "do b", "do b", "do c")
	_, err = b.Decide(t.Context(), ada, r.ID, Decision{Approve: true, Action: "d", ConfirmName: name})
	wantKind(t, err, migration.Forbidden, "another engineer")
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true, Action: "d", ConfirmName: "other"})
	wantKind(t, err, migration.Invalid, "approved with the migration's name")
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true, Action: "d", ConfirmName: name})
	ok(t, err)
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true, Action: "d", ConfirmName: name})
	wantKind(t, err, migration.Conflict)
	r = b.awaitState(t, r.ID, migration.RunSucceeded)
	n.want(t, "do a", "do b", "do b", "do c", "do d")
	if len(r.Approvals) != 2 || r.Approvals[0].By != "ada" || r.Approvals[0].Comment != "go" || r.Approvals[1].Action != "d" || r.Approvals[1].By != "bob" {
		t.Fatalf("approvals %+v", r.Approvals)
	}
}

func TestARunThatIsNotApprovedMidwayTakesBackWhatItDidAndNothingElse(t *testing.T) {
	t.Parallel()
	for verb, end := range map[string]func(b *bench, id string) error{
		"rejected": func(b *bench, id string) error {
			if _, err := b.Decide(t.Context(), bob, id, Decision{Action: "b"}); migration.KindOf(err) != migration.Invalid {
				return fmt.Errorf("rejected without a comment: %w", err)
			}
			_, err := b.Decide(t.Context(), bob, id, Decision{Action: "b", Comment: "too early"})
			return err
		},
		"cancelled": func(b *bench, id string) error { _, err := b.Cancel(t.Context(), bob, id); return err },
	} {
		n := newNotes()
		s := step("one", migration.ApprovalNone, n.act("a", nil), n.needs(migration.ApprovalOne, "b", nil))
		b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
		r := b.begin(t, "one")
		b.awaitWaiting(t, r.ID, "b")
		ok(t, end(b, r.ID))
		r = b.awaitState(t, r.ID, migration.RunCancelled)
		n.want(t, "do a", "undo a")
		if r.CancelledBy != "bob" || states(r) != "a undone, b pending" || verb == "rejected" && r.Error != "rejected by bob: too early; completed actions have been undone" {
			t.Errorf("%s: by %q, %s, %q", verb, r.CancelledBy, states(r), r.Error)
		}
	}
}

func TestAnApprovalIsRefusedWithEverythingThatDoesNotHold(t *testing.T) {
	t.Parallel()
	n := newNotes()
	holds := false
	last := n.needs(migration.ApprovalOne, "b", nil)
	last.Ready = func(context.Context, *engine.Call) []migration.Gate {
		return []migration.Gate{{Title: "Fence", Measured: "lifted", Limit: "on", OK: holds}, {Title: "Backup", Measured: "gone", Limit: "there", OK: holds}, {Title: "Fine", OK: true}}
	}
	s := step("one", migration.ApprovalNone, n.act("a", nil), last)
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r := b.begin(t, "one")
	b.awaitWaiting(t, r.ID, "b")
	_, err := b.Decide(t.Context(), ada, r.ID, Decision{Approve: true, Action: "b"})
	wantKind(t, err, migration.Blocked, "2 of 3", "Fence: lifted", "Backup: gone")
	holds = true
	_, err = b.Decide(t.Context(), ada, r.ID, Decision{Approve: true, Action: "b"})
	ok(t, err)
	b.awaitState(t, r.ID, migration.RunSucceeded)
	n.want(t, "do a", "do b")
}

// What was approved is what is done, also where a later version would do more, or in another order.
func TestARunOfAnEarlierVersionDoesWhatItsPlanSays(t *testing.T) {
	t.Parallel()
	n := newNotes()
	before := step("one", migration.ApprovalNone, n.act("a", hangsOnce()), n.act("b", nil), n.act("c", nil))
	cfg, p := settings(t.TempDir()), planOf(false, before)
	b := openBench(t, cfg, p, before)
	r := b.begin(t, "one")
	n.await(t, "do a", 1)
	ok(t, b.close())
	after := step("one", migration.ApprovalNone, n.act("a", nil), n.needs(migration.ApprovalTwo, "c", nil), n.act("new", nil), n.act("b", nil))
	openBench(t, cfg, p, after).awaitState(t, r.ID, migration.RunSucceeded)
	n.want(t, "do a", "do a", "do b", "do c")
}

func TestAnApprovalThatOneReplicaTakesIsCarriedOutByTheLeader(t *testing.T) {
	t.Parallel()
	n, cfg := newNotes(), replicated(t)
	s := step("one", migration.ApprovalOne, n.act("a", nil), n.needs(migration.ApprovalTwo, "b", nil), n.needs(migration.ApprovalOne, "c", nil))
	p := planOf(false, s)
	first, second := openBench(t, cfg, p, s), openBench(t, cfg, p, s)
	r := first.begin(t, "one")
	for _, b := range []*bench{first, second} { // whichever leads, one of them does not
		action := map[*bench]string{first: "b", second: "c"}[b]
		b.awaitWaiting(t, r.ID, action)
		_, err := b.Decide(t.Context(), bob, r.ID, Decision{Approve: true, Action: action, ConfirmName: name})
		ok(t, err)
	}
	r = second.awaitState(t, r.ID, migration.RunSucceeded)
	n.want(t, "do a", "do b", "do c")
	if len(r.Approvals) != 2 || !r.Approvals[1].Approved {
		t.Fatalf("%+v", r.Approvals)
	}
}
