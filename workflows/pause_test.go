package workflows

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// batches is a pausable action of three batches. The test lets each go on.
func (n *notes) batches(id string, next <-chan struct{}) engine.Action {
	a := n.act(id, nil)
	a.Pausable = true
	a.Do = func(ctx context.Context, c *engine.Call) (any, error) {
		gate := c.Gate()
		for i := range 3 {
			if err := gate(ctx); err != nil {
				return nil, err
			}
			n.add("batch %d", i)
			select {
			case <-next:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return nil, nil //nolint:nilnil // it has no output
	}
	return a
}

// awaitLog waits until a run's log has a line count times.
func (b *bench) awaitLog(t *testing.T, id, line string, count int) {
	t.Helper()
	redistest.Eventually(t, patience, func() error {
		lines, err := b.Log(t.Context(), id, 0, 1000)
		if err != nil {
			return err
		}
		found := 0
		for _, l := range lines {
			if l.Message == line {
				found++
			}
		}
		if found < count {
			return fmt.Errorf("the log has %d times %q, want %d", found, line, count)
		}
		return nil
	})
}

const heldByBob = "paused by bob until somebody resumes it"

func TestAPausedRunStandsStillOverARestartUntilItIsLetGoOn(t *testing.T) {
	t.Parallel()
	n, next := newNotes(), make(chan struct{})
	s := step("one", migration.ApprovalNone, n.batches("copy", next), n.act("b", nil))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	r := first.begin(t, "one")
	n.await(t, "batch 0", 1)
	_, err := first.Pause(t.Context(), carol, r.ID)
	wantKind(t, err, migration.Forbidden)
	_, err = first.Resume(t.Context(), bob, r.ID)
	wantKind(t, err, migration.Conflict, "not paused")
	r, err = first.Pause(t.Context(), bob, r.ID)
	ok(t, err)
	if r.PausedBy != "bob" {
		t.Fatalf("paused by %q", r.PausedBy)
	}
	_, err = first.Pause(t.Context(), ada, r.ID)
	wantKind(t, err, migration.Conflict, "paused or not under way")
	first.time.advance(time.Second)
	next <- struct{}{}
	first.awaitLog(t, r.ID, heldByBob, 1)
	ok(t, first.close())

	second := openBench(t, cfg, p, s)
	second.awaitLog(t, r.ID, heldByBob, 2)
	n.want(t, "batch 0")
	r, err = second.Resume(t.Context(), ada, r.ID)
	ok(t, err)
	for i := range 3 {
		n.await(t, fmt.Sprint("batch ", i), 1)
		next <- struct{}{}
	}
	r = second.awaitState(t, r.ID, migration.RunSucceeded)
	if r.PausedBy != "" {
		t.Errorf("still paused by %q", r.PausedBy)
	}
	n.want(t, "batch 0", "batch 0", "batch 1", "batch 2", "do b")
}

func TestAPausedRunCanBeCancelled(t *testing.T) {
	t.Parallel()
	n, next := newNotes(), make(chan struct{})
	s := step("one", migration.ApprovalNone, n.batches("copy", next))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r := b.begin(t, "one")
	n.await(t, "batch 0", 1)
	_, err := b.Pause(t.Context(), bob, r.ID)
	ok(t, err)
	b.time.advance(time.Second)
	next <- struct{}{}
	b.awaitLog(t, r.ID, heldByBob, 1)
	_, err = b.Cancel(t.Context(), bob, r.ID)
	ok(t, err)
	r = b.awaitState(t, r.ID, migration.RunCancelled)
	n.want(t, "batch 0", "undo copy")
	if r.PausedBy != "" || r.Measure != nil {
		t.Errorf("paused by %q, measure %v", r.PausedBy, r.Measure)
	}
}

func TestOnlyAnActionThatCanStandStillIsPaused(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("b", hangs))
	waiting := step("two", migration.ApprovalOne, n.act("c", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s, waiting), s, waiting)
	r := b.begin(t, "one")
	n.await(t, "do b", 1)
	_, err := b.Pause(t.Context(), bob, r.ID)
	wantKind(t, err, migration.Conflict, `"Action b" cannot be paused safely`)
	_, err = b.Cancel(t.Context(), bob, r.ID)
	ok(t, err)
	b.awaitState(t, r.ID, migration.RunCancelled)
	r, err = b.Start(t.Context(), ada, mid, "two", migration.Params{}, "")
	ok(t, err)
	_, err = b.Pause(t.Context(), bob, r.ID)
	wantKind(t, err, migration.Conflict, "awaiting_approval")
}
