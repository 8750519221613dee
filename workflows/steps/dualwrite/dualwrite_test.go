package dualwrite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// enough is how many orders a validation compares here.
const enough = 3

type rig struct {
	*stepstest.Bench
	journal *ingestiontest.Journal
}

func open(t *testing.T, stage migration.Stage) *rig {
	t.Helper()
	r := prepare(t, stage)
	r.Watch(t)
	return r
}

// prepare opens one that reads nothing yet.
func prepare(t *testing.T, stage migration.Stage) *rig {
	t.Helper()
	journal := ingestiontest.NewJournal(t)
	src, dst := redistest.Start(t), redistest.Start(t)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Queues = []string{"orders"}
	cfg.Source.Standalone.URL = migration.Secret(src.URL())
	cfg.Ingestion.URL = journal.URL
	use := stepstest.Target(t, &cfg, dst)
	b := stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		return []engine.Step{Parts{
			Routing: b.Env.Routing, Journal: b.Env.Journal, MinOrders: enough,
		}.Step()}
	})
	use(b.Env)
	b.Route(t, migration.Routing{Stage: stage, Source: migration.SourceStandalone})
	return &rig{b, journal}
}

// order journals an order of the shadow stage: what the copy gave, "" where it did not run;
// copied says whether there is one.
func (r *rig) order(id string, copied bool, result string) {
	events := []map[string]any{
		{"type": "enqueued", "side": "source", "ok": true, "stage": "shadow"},
		{"type": "delivery", "status": 200},
		{"type": "executed", "side": "source", "mode": "authoritative", "outcome": "applied",
			"result": "r"},
	}
	if copied {
		events = append(events, map[string]any{"type": "enqueued", "side": "target", "ok": true,
			"shadow": true, "stage": "shadow"})
	}
	if result != "" {
		events = append(events, copyRan(result))
	}
	r.write(id, events...)
}

func copyRan(result string) map[string]any {
	return map[string]any{"type": "executed", "side": "target", "mode": "shadow",
		"outcome": "compared", "result": result}
}

// write journals events of an order.
func (r *rig) write(id string, events ...map[string]any) {
	r.journal.Set(func() {
		for _, e := range events {
			e["order"], e["at"] = id, r.Clock.Now().UnixMilli()
			e["seq"] = len(r.journal.Events) + 1
			r.journal.Events = append(r.journal.Events, e)
		}
	})
}

// progress waits until the run says something.
func (r *rig) progress(t *testing.T, id, says string) {
	t.Helper()
	redistest.Eventually(t, stepstest.Patience, func() error {
		run, err := r.Store.Run(t.Context(), id)
		if err == nil && !strings.Contains(run.Progress, says) {
			err = fmt.Errorf("%s: %s %s", run.State, run.Progress, run.Error)
		}
		return err
	})
}

func TestAValidationEndsWhenEveryOrderOfItsWindowWasCompared(t *testing.T) {
	t.Parallel()
	r := open(t, migration.StageShadow)
	run := r.Start(t, migration.StepDualWrite, migration.Params{})
	r.progress(t, run.ID, "0 of 3 orders compared")
	r.order("o1", true, "r")
	r.order("o2", true, "r")
	r.progress(t, run.ID, "2 of 3 orders compared")
	r.order("o3", true, "") // its copy has not run yet
	r.progress(t, run.ID, "2 of 3 orders compared")
	if r.View(t).Met(evidence.DualWrite) {
		t.Error("it is met before the last order was compared")
	}
	r.write("o3", copyRan("r"))
	r.Await(t, run.ID, migration.RunSucceeded)
	if !r.View(t).Met(evidence.DualWrite) {
		t.Error("it is not met")
	}
}

func TestAValidationFailsByWhatItFinds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule, says string
		make       func(r *rig)
	}{
		{"another result on the target", "1 result differs", func(r *rig) {
			r.order("o1", true, "another")
		}},
		{"an instance that is still at off", "1 of 1 order came in at a stage that makes no copies",
			func(r *rig) {
				r.write("o1", map[string]any{"type": "enqueued", "side": "source", "ok": true,
					"stage": "off"})
			}},
		{"an order that took effect twice", "1 processed twice", func(r *rig) {
			r.order("o1", true, "r")
			r.order("o1", true, "r")
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := open(t, migration.StageShadow)
			run := r.Start(t, migration.StepDualWrite, migration.Params{})
			r.progress(t, run.ID, "0 of 3")
			tc.make(r)
			if run = r.Await(t, run.ID, migration.RunFailed); !strings.Contains(run.Error, tc.says) {
				t.Errorf("%s", run.Error)
			}
			if r.View(t).Met(evidence.DualWrite) {
				t.Error("it is met")
			}
		})
	}
}

func TestAnOrderWithoutACopyKeepsAValidationFromEnding(t *testing.T) {
	t.Parallel()
	r := open(t, migration.StageShadow)
	run := r.Start(t, migration.StepDualWrite, migration.Params{})
	r.progress(t, run.ID, "0 of 3")
	r.order("o1", false, "")
	for i := range enough {
		r.order(fmt.Sprint("whole-", i), true, "r")
	}
	r.progress(t, run.ID, "3 of 3 orders compared")
	if now, err := r.Store.Run(t.Context(), run.ID); err != nil || !now.State.Open() {
		t.Errorf("it is %s (%s), %v", now.State, now.Error, err)
	}
	if r.View(t).Met(evidence.DualWrite) {
		t.Error("it is met although an order left no copy")
	}
}

func TestResultsAreComparedInTheShadowStageOnly(t *testing.T) {
	t.Parallel()
	for _, stage := range migration.Stages() {
		if stage == migration.StageShadow {
			continue
		}
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			r := open(t, migration.StageOff)
			routing := migration.Routing{Stage: stage, Source: migration.SourceStandalone}
			if stage == migration.StageLive {
				routing.Ramp = 10
			}
			r.Route(t, routing)
			run := r.Start(t, migration.StepDualWrite, migration.Params{})
			run = r.Await(t, run.ID, migration.RunFailed)
			if !strings.Contains(run.Error, "compared in the shadow stage") {
				t.Errorf("%s", run.Error)
			}
		})
	}
}

// A process that is killed goes on with the window that it began, and not with a new one.
func TestAValidationThatIsInterruptedKeepsItsWindow(t *testing.T) {
	t.Parallel()
	r := open(t, migration.StageShadow)
	run := r.Start(t, migration.StepDualWrite, migration.Params{})
	r.progress(t, run.ID, "0 of 3")
	r.order("o1", true, "another") // seen by the next process alone
	r.Stop()
	b := stepstest.Open(t, r.Config, func(b *stepstest.Bench) []engine.Step {
		return []engine.Step{Parts{
			Routing: b.Env.Routing, Journal: b.Env.Journal, MinOrders: enough,
		}.Step()}
	})
	b.Watch(t)
	b.Await(t, run.ID, migration.RunFailed)
}

// A process that goes on with a validation gives workers time to report before it says which
// build of the app the orders were compared of.
func TestAValidationThatEndsJustAfterAStartWaitsForTheWorkers(t *testing.T) {
	t.Parallel()
	r := prepare(t, migration.StageShadow)
	r.Follow(t)
	run := r.Start(t, migration.StepDualWrite, migration.Params{})
	r.progress(t, run.ID, "0 of 3")
	for i := range enough {
		r.order(fmt.Sprint("o", i), true, "r") // seen by the next process alone
	}
	r.Stop()
	b := stepstest.Open(t, r.Config, func(b *stepstest.Bench) []engine.Step {
		return []engine.Step{Parts{
			Routing: b.Env.Routing, Journal: b.Env.Journal, MinOrders: enough,
		}.Step()}
	})
	b.Follow(t)
	again := &rig{b, r.journal}
	again.progress(t, run.ID, "3 of 3 orders compared")
	b.Warm()
	b.Await(t, run.ID, migration.RunSucceeded)
	if !b.View(t).Met(evidence.DualWrite) {
		t.Error("it is not met")
	}
}

// A build that was deployed in the middle has compared a part of the orders at most.
func TestAValidationDoesNotCoverABuildThatCameInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule          string
		before, after string
		met           bool
	}{
		{"the same build all the time", "1.0", "1.0", true},
		{"another one in the middle", "1.0", "1.1", false},
		{"one that nobody had seen before", "", "1.0", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := open(t, migration.StageShadow)
			deploy := func(version string) {
				if version == "" {
					return
				}
				who := fleet.Who{Set: stepstest.Migration, Instance: version}
				if err := r.Fleet.Attest(fleet.Attestation{Service: "shop", Instance: version,
					Version: version}, who); err != nil {
					t.Fatal(err)
				}
			}
			deploy(tc.before)
			r.Clock.Advance(time.Second)
			run := r.Start(t, migration.StepDualWrite, migration.Params{})
			r.progress(t, run.ID, "0 of 3")
			r.Clock.Advance(time.Second)
			deploy(tc.after)
			for i := range enough {
				r.order(fmt.Sprint("o", i), true, "r")
			}
			r.Await(t, run.ID, migration.RunSucceeded)
			if met := r.View(t).Met(evidence.DualWrite); met != tc.met {
				t.Errorf("met: %t, want %t", met, tc.met)
			}
		})
	}
}
