package alarm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// step is one with a single action, which changes something or, with "", only reads.
func step(id string, approval migration.Approval, changes string, fails error) engine.Step {
	return engine.Step{ID: id, Approval: approval,
		Plan: func(context.Context, progress.View, migration.Params) (engine.PlanResult, error) {
			return engine.PlanResult{Summary: "do " + id, Impact: "none"}, nil
		},
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{{
				ActionPlan: migration.ActionPlan{
					ID:      "act",
					Title:   "Action of " + id,
					Changes: changes,
					Undo:    "puts it back",
				},
				Do:   func(context.Context, *engine.Call) (any, error) { return "output", fails },
				Undo: func(context.Context, *engine.Call) error { return nil },
			}}
		}}
}

// ask stores a run that is waiting for approval.
func (b *bench) ask(t *testing.T, step string) migration.Run {
	t.Helper()
	plan, err := b.Plan(t.Context(), step, migration.Params{})
	ok(t, err)
	run := migration.Run{
		ID:          fmt.Sprintf("asked-%d", time.Now().UnixNano()),
		MigrationID: mid,
		Step:        step,
		Plan:        plan,
		RequestedBy: "ada",
		CreatedAt:   b.Clock.Now(),
		State:       migration.RunAwaitingApproval,
	}
	ok(t, b.Store.CreateRun(t.Context(), run))
	return run
}

// move answers a run that is waiting for approval.
func (b *bench) move(t *testing.T, r migration.Run, to migration.RunState, c store.RunChange) {
	t.Helper()
	waiting := []migration.RunState{migration.RunAwaitingApproval}
	ok(t, b.Store.MoveRun(t.Context(), r.ID, waiting, to, c, b.Clock.Now()))
}

func TestRunsThatChangeSomethingAreToldAndSoIsWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	pager := newReceiver(t)
	changes := step("change", migration.ApprovalOne, "something", nil)
	reads := step("read", migration.ApprovalNone, "", nil)
	bad := step("bad", migration.ApprovalNone, "something", errors.New("it did not work"))
	cfg := stepstest.Settings(t.TempDir())
	cfg.PublicURL = "https://switchyard.example.com/"
	cfg.Notifications = []config.Notification{
		{Name: "pager", Type: "pagerduty", URL: migration.Secret(pager.URL), RoutingKey: "CANARY"},
	}
	b := openBench(t, cfg, changes, reads, bad)
	tell := func() { t.Helper(); ok(t, b.notifier.tellRuns(t.Context())); b.flush(t) }
	tell()
	r := b.ask(t, "change")
	tell()
	tell()
	wantTook(t, pager, "change Step change is waiting for approval")
	b.move(t, r, migration.RunQueued, store.RunChange{DecidedBy: "bob"})
	b.Engine.Start(r.ID)
	r = b.Await(t, r.ID, migration.RunSucceeded)
	tell()
	wantTook(t, pager, "change Step change started", "change Step change is done")
	read := b.Start(t, "read", migration.Params{})
	b.Await(t, read.ID, migration.RunSucceeded)
	tell()
	wantTook(t, pager)
	back := b.Rollback(t, r)
	b.Await(t, back.ID, migration.RunSucceeded)
	failing := b.Start(t, "bad", migration.Params{})
	failing = b.Await(t, failing.ID, migration.RunFailed)
	tell()
	wantTook(t, pager,
		"change Rollback of Step change started", "change Rollback of Step change is done",
		"change Step bad started", "change Step bad has failed")
	sent, err := b.Store.Notifications(t.Context(), mid, mid+"/run/"+failing.ID, 1)
	ok(t, err)
	text, page := string(sent[0].Event), "https://switchyard.example.com/m/orders/runs/"+failing.ID
	if !strings.Contains(text, page) || strings.Contains(text, "it did not work") {
		t.Errorf("%s", text)
	}
	// The next process tells nothing again, and nothing of before it was configured.
	b.Stop()
	b = openBench(t, cfg, changes, reads, bad)
	tell()
	wantTook(t, pager)
	// An approval that nobody could be told of is no news after a day.
	pager.answer(http.StatusForbidden, "")
	waiting := b.ask(t, "change")
	tell()
	b.Clock.Advance(newsFor)
	b.flush(t)
	shown, err := b.notifier.Notifications(t.Context(), mid)
	ok(t, err)
	if c := shown.Channels[0]; c.GivenUp != 1 || c.Waiting != 0 || !shown.Recent[0].GivenUp {
		t.Errorf("%+v %+v", c, shown.Recent[0])
	}
	b.move(t, waiting, migration.RunCancelled, store.RunChange{CancelledBy: "ada"})
}
