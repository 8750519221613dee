package environment_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// indebted is a bench whose source a run has fenced and then ended, without lifting it.
type indebted struct {
	*stepstest.Bench
	src *redistest.Server
	run migration.Run
}

func fencedBy(t *testing.T, peers ...string) *indebted {
	t.Helper()
	d := &indebted{src: redistest.Start(t, redistest.Config("repl-diskless-sync-delay 0"))}
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(d.src.URL())
	d.Bench = stepstest.Open(t, cfg, func(*stepstest.Bench) []engine.Step { return nil })
	d.Route(t, migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone})
	d.run = migration.Run{ID: "dead", MigrationID: stepstest.Migration,
		Step: migration.StepBreakerDrill, RequestedBy: "ada", CreatedAt: d.Clock.Now(),
		State: migration.RunQueued}
	if err := d.Store.CreateRun(t.Context(), d.run); err != nil {
		t.Fatal(err)
	}
	n := d.Env.Servers.Old(d.src.Addr())
	if err := d.Env.Debts.Fence(t.Context(), d.Call(t, d.run, "drill"), n,
		peers...); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *indebted) end(t *testing.T) {
	t.Helper()
	if err := d.Store.MoveRun(t.Context(), d.run.ID, []migration.RunState{migration.RunQueued},
		migration.RunFailed, store.RunChange{}, d.Clock.Now()); err != nil {
		t.Fatal(err)
	}
}

func (d *indebted) lift(t *testing.T) []migration.Debt {
	t.Helper()
	if err := d.Env.Debts.LiftUnheld(t.Context(), stepstest.Migration); err != nil {
		t.Fatal(err)
	}
	left, err := d.Store.Debts(t.Context(), stepstest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func required(t *testing.T, s *redistest.Server) string {
	t.Helper()
	got, err := redisconn.Config(t.Context(), s.Client(), "min-replicas-to-write")
	if err != nil {
		t.Fatal(err)
	}
	return got["min-replicas-to-write"]
}

func TestLiftingLooksFirst(t *testing.T) {
	t.Parallel()
	set := func(v string) func(*testing.T, *indebted) {
		return func(t *testing.T, d *indebted) {
			d.end(t)
			if err := d.src.Client().ConfigSet(t.Context(), "min-replicas-to-write",
				v).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		rule   string
		then   func(t *testing.T, d *indebted)
		stands string // min-replicas-to-write after that; "" is not looked at
		held   string // why the debt stays; "" it is struck out
	}{
		{"its run is under way", func(*testing.T, *indebted) {}, "1000", "its run is under way"},
		{"its run is over", func(t *testing.T, d *indebted) { d.end(t) }, "0", ""},
		{"it is off already", set("0"), "0", ""},
		{"somebody has set another value since", set("2"), "2", "somebody has set it since"},
		{"the server does not answer", func(t *testing.T, d *indebted) {
			d.end(t)
			d.src.Kill()
		}, "", "refused"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			d := fencedBy(t)
			if got := required(t, d.src); got != "1000" {
				t.Fatalf("it is not fenced: %s", got)
			}
			tc.then(t, d)
			left := d.lift(t)
			if tc.stands != "" && required(t, d.src) != tc.stands {
				t.Errorf("min-replicas-to-write is %s", required(t, d.src))
			}
			switch {
			case tc.held == "" && len(left) > 0:
				t.Errorf("it still owes %+v", left)
			case tc.held == "":
			case len(left) != 1:
				t.Errorf("it owes %+v", left)
			case left[0].Open != (left[0].Held == ""):
				t.Errorf("it does not say why it was not lifted: %+v", left[0])
			case !left[0].Open && !strings.Contains(left[0].Held, tc.held):
				t.Errorf("held because of %q", left[0].Held)
			}
		})
	}
}

// What a server that was replaced would accept is lost.
func TestAPrimaryThatWasReplacedStaysFencedUntilItIsAReplica(t *testing.T) {
	t.Parallel()
	next := redistest.Start(t)
	d := fencedBy(t, next.Addr())
	d.end(t)
	ctx := t.Context()
	follow := func(s, master *redistest.Server) {
		t.Helper()
		port := master.Addr()[strings.LastIndex(master.Addr(), ":")+1:]
		if err := s.Client().Do(ctx, "REPLICAOF", master.Host, port).Err(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, stepstest.Patience, func() error {
			f, err := redisconn.Inspect(ctx, s.Client())
			if err == nil && !f.MasterLinkUp {
				err = context.DeadlineExceeded
			}
			return err
		})
	}
	follow(next, d.src)
	if err := next.Client().Do(ctx, "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if left := d.lift(t); len(left) != 1 || !strings.Contains(left[0].Held, next.Addr()) ||
		required(t, d.src) != "1000" {
		t.Errorf("%+v, min-replicas-to-write %s", left, required(t, d.src))
	}
	follow(d.src, next)
	if left := d.lift(t); len(left) != 0 || required(t, d.src) != "0" {
		t.Errorf("%+v, min-replicas-to-write %s", left, required(t, d.src))
	}
}

func TestAFenceThatNobodyHasWrittenDownIsSeenOnTheServerItself(t *testing.T) {
	t.Parallel()
	d := fencedBy(t)
	look := func() environment.Looked {
		t.Helper()
		found, err := d.Env.Debts.Look(t.Context(), stepstest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for range 2 {
		if found := look(); len(found.Left) > 0 || len(found.Asked) != 1 {
			t.Errorf("of a run that is under way: %+v", found)
		}
	}
	if err := d.Store.Paid(t.Context(), stepstest.Migration, migration.DebtFence, d.src.Addr(),
		""); err != nil {
		t.Fatal(err)
	}
	if found := look(); len(found.Left) > 0 {
		t.Errorf("at the first look: %+v", found.Left)
	}
	found := look()
	if len(found.Left) != 1 || found.Left[0].Server != d.src.Addr() ||
		!strings.Contains(found.Left[0].Next, "CONFIG SET") {
		t.Errorf("%+v", found)
	}
	d.src.Kill()
	if found := look(); len(found.Left) > 0 || found.Unasked[d.src.Addr()] == "" {
		t.Errorf("of a server that does not answer: %+v", found)
	}
	d.src.Restart()
	redistest.Eventually(t, 2*time.Minute, func() error {
		return d.src.Client().Ping(t.Context()).Err()
	})
	look()
	if found := look(); len(found.Left) != 1 { // the setting is in the server's file
		t.Errorf("after a restart: %+v", found)
	}
}
