package engine

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
)

// running reports whether time passes.
func (b *budget) running() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timer != nil
}

func TestTheTimeOfAnActionRunsOnlyWhileItWorks(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	b := startBudget(time.Hour, func() { close(over) })
	b.stop()
	left := b.left
	b.stop()
	if b.left != left || left > time.Hour || left < 59*time.Minute {
		t.Fatalf("left %v, then %v", left, b.left)
	}
	b.left = time.Nanosecond
	b.start()
	<-over
}

func TestTheAnswersOfARunNameItsPart(t *testing.T) {
	t.Parallel()
	for answers, id := range []string{"ab12", "ab12:1", "ab12:2"} {
		run, n := partOf(id)
		if run != "ab12" || n != answers || partID(run, answers) != id {
			t.Errorf("%s: %s %d", id, run, n)
		}
	}
	actions := []Action{{}, {}, {}, {}}
	actions[1].Approval, actions[3].Approval = migration.ApprovalOne, migration.ApprovalTwo
	var got []int
	for answers := range 3 {
		got = append(got, beginning(actions, answers))
	}
	if !slices.Equal(got, []int{0, 1, 3}) {
		t.Errorf("begins at %v", got)
	}
}

func TestAPauseDoesNotCountAsTheActionsTime(t *testing.T) {
	t.Parallel()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "switchyard.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	now := time.Now()
	act := migration.ActionPlan{ID: "copy", Title: "Copy", Pausable: true}
	run := migration.Run{ID: "r1", MigrationID: "m", Step: "one", RequestedBy: "ada", CreatedAt: now, State: migration.RunQueued,
		Plan: migration.StepPlan{Step: "one", Actions: []migration.ActionPlan{act}}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(st.CreateMigration(t.Context(), migration.Migration{ID: "m", Name: "M", EventDate: now, CreatedBy: "test", CreatedAt: now,
		Plan: migration.Plan{Name: "P", Steps: []migration.PlanStep{{ID: "one"}}}}))
	must(st.CreateRun(t.Context(), run))
	must(st.MoveRun(t.Context(), "r1", []migration.RunState{migration.RunQueued}, migration.RunRunning, store.RunChange{}, now))
	must(st.SaveAction(t.Context(), "r1", "copy", migration.ActionRunning, "", nil, now))
	must(st.SetPaused(t.Context(), "r1", "bob"))

	e := New(st, nil, nil, slog.New(slog.DiscardHandler), time.Now, func(string) {})
	b := startBudget(time.Hour, func() {})
	gate := (&Call{Run: run, Action: "copy", engine: e, budget: b}).Gate()
	passed := make(chan error, 1)
	go func() { passed <- gate(t.Context()) }()
	redistest.Eventually(t, 20*time.Second, func() error {
		if b.running() {
			return errors.New("the pause counts as the action's time")
		}
		return nil
	})
	must(st.SetPaused(t.Context(), "r1", ""))
	must(<-passed)
	if !b.running() {
		t.Error("after the pause the time of the action does not run on")
	}
}
