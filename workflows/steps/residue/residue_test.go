package residue

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

const queue = "orders"

type rig struct {
	*stepstest.Bench
	journal  *ingestiontest.Journal
	worker   *stepstest.Worker
	src, dst *redistest.Server
}

var complete = migration.Routing{Stage: migration.StageComplete, Source: migration.SourceStandalone}

func open(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		journal: ingestiontest.NewJournal(t),
		src:     redistest.Start(t),
		dst:     redistest.Start(t),
	}
	cfg := stepstest.Settings(t.TempDir())
	cfg.Queues = []string{queue}
	cfg.Source.Standalone.URL = migration.Secret(r.src.URL())
	cfg.Ingestion.URL = r.journal.URL
	use := stepstest.Target(t, &cfg, r.dst)
	r.Bench = stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		e := b.Env
		return []engine.Step{Parts{Servers: e.Servers, Debts: e.Debts, Workers: e.Workers,
			Journal: e.Journal, Streams: e.Streams, Move: b.Config.Move}.Step()}
	})
	use(r.Env)
	r.Route(t, complete)
	r.worker = r.Worker(t, "web.1")
	r.journal.Order("before", r.Clock.Now(), true)
	r.Watch(t)
	return r
}

func (r *rig) census(t *testing.T, s *redistest.Server) bullmq.Counts {
	t.Helper()
	n, err := bullmq.Census(t.Context(), s.Client(), bullmq.Queue{Name: queue})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEachGateIsGreenAndRedByItself(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule, red string
		make      func(t *testing.T, r *rig)
	}{
		{"all hold", "", func(*testing.T, *rig) {}},
		{"cutover is not complete", "stage", func(t *testing.T, r *rig) {
			r.Route(t, migration.Routing{Stage: migration.StageRampDown, Source: complete.Source})
		}},
		{"a worker is behind", "workers", func(t *testing.T, r *rig) {
			r.worker.Behind(true)
			r.Route(t, migration.Routing{Stage: migration.StageRampDown, Source: complete.Source})
			r.Route(t, complete)
		}},
		{"an order took effect twice", "ledger", func(_ *testing.T, r *rig) {
			r.journal.Order("o1", r.Clock.Now(), true)
			r.journal.Order("o1", r.Clock.Now(), true)
		}},
		{"another app is connected", "connected", func(t *testing.T, r *rig) {
			if err := r.src.Foreign("shop").Ping(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}},
		{"the journal is not current", "ledger", func(_ *testing.T, r *rig) {
			r.journal.Set(func() { r.journal.Down = true })
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			tc.make(t, r)
			var want []string
			if tc.red != "" {
				want = []string{tc.red}
			}
			r.AwaitReds(t, migration.StepMoveResidue, want...)
		})
	}
}

func TestTheServersEventsMustBeFollowed(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.Clock.Advance(time.Hour) // nobody has read them since, as far as anybody knows
	p, err := r.Plan(t.Context(), migration.StepMoveResidue, migration.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if reds := stepstest.Reds(p.Gates); !slices.Contains(reds, "streams") {
		t.Errorf("red are %v", reds)
	}
}

func TestAfterTheSourceWasReleasedThereIsNothingToPlan(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.Route(t, migration.Routing{Stage: complete.Stage, Source: migration.SourceNone})
	_, err := r.Plan(t.Context(), migration.StepMoveResidue, migration.Params{})
	if migration.KindOf(err) != migration.NotFound {
		t.Errorf("%v", err)
	}
}

// Waiting, delayed and failed jobs are on the target afterwards, each once and in its state,
// with the stamp that lets the target's workers run it. A second run moves what came late.
func TestEveryJobThatIsLeftMovesOnceAndInItsState(t *testing.T) {
	t.Parallel()
	r := open(t)
	v6 := bullmqtest.Major(6)
	v6.Add(t, r.src, queue, bullmqtest.Plain("waiting", 5)...)
	v6.Add(t, r.src, queue, bullmqtest.Task{Name: "later", Data: map[string]any{"k": "later"},
		Opts: map[string]any{"jobId": "later", "delay": 3_600_000}})
	run := r.Await(t, r.Start(t, migration.StepMoveResidue, migration.Params{}).ID,
		migration.RunSucceeded)
	if n := r.census(t, r.src); n.Pending() != 0 || !n.Paused {
		t.Errorf("the source still has %+v", n)
	}
	if n := r.census(t, r.dst); n.Waiting != 5 || n.Delayed != 1 || n.Paused {
		t.Errorf("the target has %+v", n)
	}
	data := r.dst.Client().HGet(t.Context(), "bull:"+queue+":later", "data").Val()
	var stamped map[string]map[string]any
	_ = json.Unmarshal([]byte(data), &stamped) // fields that are no objects are left out
	if stamped[stampField][movedTo] != "target" {
		t.Errorf("the moved job has the data %s", data)
	}
	var facts evidence.ResidueFacts
	for _, a := range run.Actions {
		if a.ID == "verify" {
			if err := json.Unmarshal(a.Output, &facts); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(facts.Queues) == 0 || facts.Queues[0].Moved != 6 || facts.Queues[0].Pending != 0 {
		t.Errorf("%+v", facts)
	}
	if !r.View(t).Met(evidence.Residue) {
		t.Error("it is no evidence")
	}

	v6.Add(t, r.src, queue, bullmqtest.Task{Name: "late", Data: map[string]any{"k": "late"},
		Opts: map[string]any{"jobId": "late"}})
	r.Await(t, r.Start(t, migration.StepMoveResidue, migration.Params{}).ID,
		migration.RunSucceeded)
	if n := r.census(t, r.dst); n.Waiting != 6 || n.Delayed != 1 {
		t.Errorf("after the second run the target has %+v", n)
	}
}

// What is in another database goes with the server: the step does not end well before somebody
// has decided, in writing, that it may.
func TestWhatNobodyMovesHasToBeDecidedOn(t *testing.T) {
	t.Parallel()
	r := open(t)
	if err := r.src.Client().Do(t.Context(), "EVAL",
		"redis.call('SELECT', 1) return redis.call('SET', 'cart:1', '2 shirts')", 0).Err(); err != nil {
		t.Fatal(err)
	}
	start := func(want migration.RunState) migration.Run {
		return r.Await(t, r.Start(t, migration.StepMoveResidue, migration.Params{}).ID, want)
	}
	const member = "residue:source/db1/other keys"
	if run := start(migration.RunFailed); !strings.Contains(run.Error, "cart:1") {
		t.Errorf("%s", run.Error)
	}
	now := r.Clock.Now()
	if _, err := r.Store.AddWaiver(t.Context(), stepstest.Migration, migration.Waiver{
		Member: member, By: "ada", Why: "exported last week", At: now, Until: now.Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	start(migration.RunSucceeded)
	if !r.View(t).Met(evidence.Residue) {
		t.Error("it is not met although somebody decided")
	}
	r.Clock.Advance(time.Hour) // the decision expires
	if r.View(t).Met(evidence.Residue) {
		t.Error("it is met by a decision that has expired")
	}
}

// A job of the same id that carries something else is another order: nobody may guess.
func TestAJobThatTheTargetHoldsOtherwiseStopsTheMoveAndTheSourceGoesOn(t *testing.T) {
	t.Parallel()
	r := open(t)
	v6 := bullmqtest.Major(6)
	for _, s := range []*redistest.Server{r.src, r.dst} {
		v6.Add(t, s, queue, bullmqtest.Task{Name: "order",
			Data: map[string]any{"k": s.Addr()}, Opts: map[string]any{"jobId": "same"}})
	}
	run := r.Await(t, r.Start(t, migration.StepMoveResidue, migration.Params{}).ID,
		migration.RunFailed)
	if !strings.Contains(run.Error, "a different job with the same ID: [same]") {
		t.Errorf("%s", run.Error)
	}
	if n := r.census(t, r.src); n.Paused || n.Waiting != 1 {
		t.Errorf("the source has %+v, want it as before", n)
	}
	if r.View(t).Met(evidence.Residue) {
		t.Error("it is evidence")
	}
}

// Shadow copies that a killed worker has left in progress stood in the way for good: nobody
// works that queue any more.
func TestJobsOfAKilledWorkerDoNotStopTheMove(t *testing.T) {
	t.Parallel()
	r := open(t)
	ctx, shadow := t.Context(), "bull:"+queue+"-shadow:"
	for i := range 12 {
		id := fmt.Sprint("order_", i)
		r.src.Client().HSet(ctx, shadow+id, "name", "order", "data", "{}", "opts", "{}",
			"timestamp", "1795500000000")
		r.src.Client().LPush(ctx, shadow+"active", id)
	}
	r.src.Client().HSet(ctx, shadow+"meta", "version", "bullmq:6.7.0")
	p, err := r.Plan(ctx, migration.StepMoveResidue, migration.Params{})
	if err != nil || !slices.ContainsFunc(p.Observed, func(f migration.Fact) bool {
		return strings.Contains(f.Label, "killed worker") && strings.HasPrefix(f.Value, "12 jobs")
	}) {
		t.Errorf("the plan does not list them: %+v %v", p.Observed, err)
	}
	r.Await(t, r.Start(t, migration.StepMoveResidue, migration.Params{}).ID,
		migration.RunSucceeded)
	if n := r.src.Client().LLen(ctx, shadow+"wait").Val(); n != 12 {
		t.Errorf("%d wait again", n)
	}
	if owed, err := r.Store.Debts(ctx, stepstest.Migration); err != nil || len(owed) > 0 {
		t.Errorf("it still owes %v %v", owed, err)
	}
}
