package workflows

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

func TestActionsRunInOrderAndTheirOutputsAreKept(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", nil), n.act("b", func(ctx context.Context, c *engine.Call) error {
		var before string
		if ok, err := c.Output(ctx, "a", &before); err != nil || !ok || before != "output of a" {
			return errors.New("the output of a is not there: " + before)
		}
		c.Log("saw %q", before)
		c.Progress("half way")
		return nil
	}), n.act("c", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r := b.awaitState(t, b.begin(t, "one").ID, migration.RunSucceeded)
	n.want(t, "do a", "do b", "do c")
	if states(r) != "a done, b done, c done" || r.StartedAt == nil || r.FinishedAt == nil || r.Progress != "half way" || r.Error != "" {
		t.Fatalf("%s: %+v", states(r), r)
	}
	log, err := b.Log(t.Context(), r.ID, 0, 100)
	ok(t, err)
	if !slices.ContainsFunc(log, func(l migration.LogLine) bool { return l.Action == "b" && l.Message == `saw "output of a"` }) {
		t.Fatalf("log %v", log)
	}
}

func TestAFailingActionUndoesWhatWasDoneInReverseItselfIncluded(t *testing.T) {
	t.Parallel()
	n := newNotes()
	readsOnly := n.act("look", nil)
	readsOnly.Undo = nil
	s := step("one", migration.ApprovalNone, n.act("a", nil), readsOnly, n.act("b", nil), n.act("c", fails), n.act("d", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r := b.awaitState(t, b.begin(t, "one").ID, migration.RunFailed)
	n.want(t, "do a", "do look", "do b", "do c", "undo c", "undo b", "undo a")
	if states(r) != "a undone, look done, b undone, c undone, d pending" || !strings.Contains(r.Error, "Action c: it did not work") {
		t.Fatalf("%s: %s", states(r), r.Error)
	}
}

func TestAnUndoThatFailsIsSaidAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	n := newNotes()
	stuck := n.act("b", nil)
	stuck.Undo = func(context.Context, *engine.Call) error { n.add("undo b"); return errors.New("it is stuck") }
	s := step("one", migration.ApprovalNone, n.act("a", nil), stuck, n.act("c", fails))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r := b.awaitState(t, b.begin(t, "one").ID, migration.RunFailed)
	n.want(t, "do a", "do b", "do c", "undo c", "undo b", "undo a")
	if !strings.Contains(r.Error, "it did not work") || !strings.Contains(r.Error, `undoing "Action b" failed too`) || !strings.Contains(r.Error, "it is stuck") {
		t.Fatalf("error %q", r.Error)
	}
}

func TestCancellingInterruptsTheActionAndUndoes(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", nil), n.act("b", hangs), n.act("c", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r := b.begin(t, "one")
	n.await(t, "do b", 1)
	_, err := b.Cancel(t.Context(), carol, r.ID)
	wantKind(t, err, migration.Forbidden)
	_, err = b.Cancel(t.Context(), bob, r.ID)
	ok(t, err)
	r = b.awaitState(t, r.ID, migration.RunCancelled)
	n.want(t, "do a", "do b", "undo b", "undo a")
	if r.CancelledBy != "bob" || states(r) != "a undone, b undone, c pending" {
		t.Fatalf("cancelled by %q: %s", r.CancelledBy, states(r))
	}
	_, err = b.Cancel(t.Context(), bob, r.ID)
	wantKind(t, err, migration.Conflict)
}

func TestAnUndoIsNotInterrupted(t *testing.T) {
	t.Parallel()
	n := newNotes()
	release := make(chan struct{})
	a := n.act("a", fails)
	a.Undo = func(ctx context.Context, _ *engine.Call) error {
		n.add("undo a")
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			n.add("interrupted")
			return ctx.Err()
		}
	}
	s := step("one", migration.ApprovalNone, a)
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r := b.begin(t, "one")
	n.await(t, "undo a", 1)
	if _, err := b.Cancel(t.Context(), bob, r.ID); err != nil {
		wantKind(t, err, migration.Conflict)
	}
	close(release)
	b.awaitState(t, r.ID, migration.RunFailed)
	n.want(t, "do a", "undo a")
}

func TestARunWaitingForApprovalIsCancelledWithoutDoingAnything(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalOne, n.act("a", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r, err := b.Start(t.Context(), ada, mid, "one", migration.Params{}, "")
	ok(t, err)
	r, err = b.Cancel(t.Context(), ada, r.ID)
	ok(t, err)
	if r.State != migration.RunCancelled {
		t.Fatalf("run is %s", r.State)
	}
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true})
	wantKind(t, err, migration.Conflict)
	n.want(t)
}

func TestAProcessKilledInAnActionDoesItAgainAndNotTheFinishedOnes(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", nil), n.act("b", hangsOnce()), n.act("c", nil))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	r := first.begin(t, "one")
	n.await(t, "do b", 1)
	ok(t, first.close())
	n.want(t, "do a", "do b")

	second := openBench(t, cfg, p, s)
	r = second.awaitState(t, r.ID, migration.RunSucceeded)
	n.want(t, "do a", "do b", "do b", "do c")
	if states(r) != "a done, b done, c done" {
		t.Fatal(states(r))
	}
}

func TestAProcessKilledSeveralTimesStillGetsThere(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", hangsOnce()), n.act("b", hangsOnce()), n.act("c", hangsOnce()))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	var id string
	for i, line := range []string{"do a", "do b", "do c"} {
		b := openBench(t, cfg, p, s)
		if i == 0 {
			id = b.begin(t, "one").ID
		}
		n.await(t, line, 1)
		ok(t, b.close())
	}
	openBench(t, cfg, p, s).awaitState(t, id, migration.RunSucceeded)
	n.want(t, "do a", "do a", "do b", "do b", "do c", "do c")
}

// The moment between an action's result in our tables and in DBOS': the action may be done again, but none is passed over.
func TestAProcessKilledRightAfterAnActionPassesNoneOver(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", nil), n.act("b", nil), n.act("c", nil))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	killed := make(chan struct{})
	var once sync.Once
	first.OnChange(func(topic string) {
		id, isRun := strings.CutPrefix(topic, "run:")
		if !isRun {
			return
		}
		if r, err := first.store.Run(context.Background(), id); err == nil && len(r.Actions) > 1 && r.Actions[1].State == migration.ActionDone {
			once.Do(func() { first.stop(); close(killed) })
		}
	})
	r := first.begin(t, "one")
	<-killed
	ok(t, first.close())

	openBench(t, cfg, p, s).awaitState(t, r.ID, migration.RunSucceeded)
	if got := slices.Compact(n.all()); !slices.Equal(got, []string{"do a", "do b", "do c"}) {
		t.Fatalf("what was done: %v", n.all())
	}
}

func TestAProcessKilledWhileUndoingGoesOnUndoing(t *testing.T) {
	t.Parallel()
	n := newNotes()
	b1 := n.act("b", nil)
	hang := hangsOnce()
	b1.Undo = func(ctx context.Context, c *engine.Call) error { n.add("undo b"); return hang(ctx, c) }
	s := step("one", migration.ApprovalNone, n.act("a", nil), b1, n.act("c", fails))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	r := first.begin(t, "one")
	n.await(t, "undo b", 1)
	ok(t, first.close())

	r = openBench(t, cfg, p, s).awaitState(t, r.ID, migration.RunFailed)
	n.want(t, "do a", "do b", "do c", "undo c", "undo b", "undo b", "undo a")
	if !strings.Contains(r.Error, "it did not work") {
		t.Fatalf("the reason was lost: %q", r.Error)
	}
}

func TestACancelThatWasAskedForBeforeAKillIsKept(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", nil), n.act("b", hangsOnce()), n.act("c", nil))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	r := first.begin(t, "one")
	n.await(t, "do b", 1)
	// The mark is in the store; the process dies before it acts on it.
	ok(t, first.store.RequestCancel(t.Context(), r.ID, "bob"))
	ok(t, first.close())

	openBench(t, cfg, p, s).awaitState(t, r.ID, migration.RunCancelled)
	n.want(t, "do a", "do b", "undo b", "undo a")
}

func TestARunWaitsForApprovalAcrossARestart(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalOne, n.act("a", nil))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	r, err := first.Start(t.Context(), ada, mid, "one", migration.Params{}, "")
	ok(t, err)
	ok(t, first.close())

	second := openBench(t, cfg, p, s)
	n.want(t)
	_, err = second.Decide(t.Context(), ada, r.ID, Decision{Approve: true})
	ok(t, err)
	second.awaitState(t, r.ID, migration.RunSucceeded)
	n.want(t, "do a")
}

func TestARunOfAStepThatThisVersionLacksFailsAndSaysSo(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", hangs))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	r := first.begin(t, "one")
	n.await(t, "do a", 1)
	ok(t, first.close())

	r = openBench(t, cfg, p).awaitState(t, r.ID, migration.RunFailed)
	if !strings.Contains(r.Error, `has no step "one"`) {
		t.Fatalf("error %q", r.Error)
	}
}

// A process that dies between the record of an action in the run and the one in the workflow
// engine's history: the run's decides, and nothing is done twice.
func TestAnActionThatIsRecordedIsNotCarriedOutAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule   string
		b      func(context.Context, *engine.Call) error
		killed string // action and state at which the process dies
		ends   migration.RunState
		did    []string
	}{
		{"done", nil, "b done", migration.RunSucceeded, []string{"do a", "do b", "do c"}},
		{
			"failed", fails, "b failed", migration.RunFailed,
			[]string{"do a", "do b", "undo b", "undo a"},
		},
		{
			"undone", fails, "b undone", migration.RunFailed,
			[]string{"do a", "do b", "undo b", "undo a"},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			n, cfg := newNotes(), settings(t.TempDir())
			s := step("one", migration.ApprovalNone,
				n.act("a", nil), n.act("b", tc.b), n.act("c", nil))
			first := openBench(t, cfg, planOf(false, s), s)
			died := make(chan struct{})
			die := sync.OnceFunc(func() { first.stop(); close(died) })
			first.OnChange(func(topic string) {
				id, isRun := strings.CutPrefix(topic, "run:")
				if !isRun {
					return
				}
				r, err := first.store.Run(context.Background(), id)
				if err == nil && strings.Contains(states(r), tc.killed) {
					die()
				}
			})
			r := first.begin(t, "one")
			<-died
			ok(t, first.close())
			second := openBench(t, cfg, planOf(false, s), s)
			r = second.awaitState(t, r.ID, tc.ends)
			n.want(t, tc.did...)
			if tc.ends == migration.RunFailed &&
				!strings.HasPrefix(r.Error, "Action b: it did not work") {
				t.Errorf("it failed with %q", r.Error)
			}
		})
	}
}
