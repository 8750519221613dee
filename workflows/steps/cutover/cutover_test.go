package cutover

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// criteria are those that a forward move asks for, and what only moves to live and beyond do,
// with a check that each requires.
var criteria = []string{
	"noeviction", "sentinel-failover", "target-provisioned", "circuit-breaker", "webhook-retry",
	"parallel-validated",
}

var requires = map[string]string{
	"noeviction": evidence.Policy, "sentinel-failover": evidence.Failover,
	"target-provisioned": evidence.TargetPlan, "circuit-breaker": evidence.Drill,
	"webhook-retry": evidence.Retries, "parallel-validated": evidence.DualWrite,
}

// rig is a bench with both servers, a journal, and a worker that follows the flags.
type rig struct {
	*stepstest.Bench
	parts    Parts
	journal  *ingestiontest.Journal
	worker   *stepstest.Worker
	src, dst *redistest.Server
}

func open(t *testing.T, soak time.Duration) *rig {
	t.Helper()
	return openOf(t, soak, "orders")
}

// openOf routes these queues.
func openOf(t *testing.T, soak time.Duration, queues ...string) *rig {
	t.Helper()
	r := &rig{
		journal: ingestiontest.NewJournal(t),
		src:     redistest.Start(t),
		dst:     redistest.Start(t),
	}
	cfg := stepstest.Settings(t.TempDir())
	cfg.Queues = queues
	cfg.Source.Standalone.URL = migration.Secret(r.src.URL())
	cfg.Ingestion.URL = r.journal.URL
	cfg.Migration.Guardrails.MaxSilence = time.Second
	use := stepstest.Target(t, &cfg, r.dst)
	r.Bench = stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		e := b.Env
		r.parts = Parts{Views: e.Views, Routing: e.Routing, Workers: e.Workers,
			Journal: e.Journal, Streams: e.Streams, Vitals: e.Vitals, Soak: soak}
		return []engine.Step{r.parts.Step()}
	})
	use(r.Env)
	r.Route(t, migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone})
	r.worker = r.Worker(t, "web.1")
	r.Watch(t)
	return r
}

// write journals events, and waits until they were read.
func (r *rig) write(t *testing.T, events ...map[string]any) {
	t.Helper()
	var position int64
	r.journal.Set(func() {
		for _, e := range events {
			e["seq"] = len(r.journal.Events) + 1
			if e["at"] == nil {
				e["at"] = r.Clock.Now().UnixMilli()
			}
			r.journal.Events = append(r.journal.Events, e)
		}
		position = int64(len(r.journal.Events))
	})
	r.Reading(t, r.Env.Journal, position)
}

// copied is an order that was put on the source, and left a copy on the target or not.
func copied(id string, at time.Time, copied bool) []map[string]any {
	ms := at.UnixMilli()
	out := []map[string]any{{"type": "enqueued", "at": ms, "order": id, "side": "source",
		"ok": true, "stage": "dualwrite", "authority": "source"}}
	if copied {
		out = append(out, map[string]any{"type": "enqueued", "at": ms, "order": id,
			"side": "target", "shadow": true, "ok": true, "stage": "dualwrite"})
	}
	return append(out,
		map[string]any{"type": "delivery", "at": ms, "order": id, "status": 200},
		map[string]any{"type": "executed", "at": ms, "order": id, "side": "source",
			"mode": "authoritative", "outcome": "applied", "result": "r"})
}

// met has every criterion met, and the rollback shown.
func met(v progress.View) progress.View {
	v.Checklist = nil
	for _, id := range criteria {
		v.Checklist = append(v.Checklist, migration.Item{
			Criterion: migration.Criterion{ID: id, Title: id,
				Requires: []migration.Requirement{{Check: requires[id]}}},
			Verdict: migration.Met,
		})
	}
	v.World = migration.World(nil).Look(v.At, migration.Empty())
	v.Latest = map[string]migration.Evidence{evidence.Rollback: {
		Check: evidence.Rollback, Proof: migration.Observed, ObservedAt: v.At,
		Subject: migration.Empty(),
		Facts:   json.RawMessage(`{"from":"dualwrite","to":"off","rollback_ms":10,"workers":1}`),
	}}
	return v
}

var (
	toDualWrite = migration.StageMove{To: migration.StageDualWrite}
	toShadow    = migration.StageMove{To: migration.StageShadow}
	toLive      = migration.StageMove{To: migration.StageLive, Ramp: 10}
)

func TestEachGateOfAMoveForwardIsGreenAndRedByItself(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		move migration.StageMove
		red  string // the gates that do not hold; empty: all hold
		// empty: there was no order yet
		empty bool
		make  func(t *testing.T, r *rig, v *progress.View)
	}{
		{rule: "no order was ever seen to go through", move: toLive, red: "ledger", empty: true},
		{rule: "most orders came in by an instance that is still at off", move: toShadow,
			red: "parity",
			make: func(t *testing.T, r *rig, v *progress.View) {
				v.StageSince = v.At.Add(-time.Minute)
				at := v.At.Add(-30 * time.Second)
				r.write(t, copied("o1", at, true)...)
				alone := copied("o2", at, false)
				alone[0]["stage"] = "off"
				r.write(t, alone...)
			}},
		{rule: "orders that came while the instances took the stage over", move: toShadow,
			make: func(t *testing.T, r *rig, v *progress.View) {
				v.StageSince = v.At.Add(-time.Minute)
				over := v.At.Add(-40 * time.Second)
				v.Runs = []migration.Run{{Step: migration.StepCutover,
					State: migration.RunSucceeded, FinishedAt: &over}}
				alone := copied("o1", v.At.Add(-50*time.Second), false)
				alone[0]["stage"] = "off"
				r.write(t, alone...)
				r.write(t, copied("o2", v.At.Add(-30*time.Second), true)...)
			}},
		{rule: "all hold for dual write", move: toDualWrite},
		{rule: "all hold for live", move: toLive},
		{rule: "the source was released", move: toDualWrite, red: "source",
			make: func(_ *testing.T, _ *rig, v *progress.View) {
				v.Routing.Source = migration.SourceNone
			}},
		{rule: "a worker is behind", move: toDualWrite, red: "workers",
			make: func(t *testing.T, r *rig, v *progress.View) {
				r.worker.Behind(true)
				r.Route(t, migration.Routing{Stage: migration.StageDualWrite,
					Source: migration.SourceStandalone})
				v.Routing.Revision = r.View(t).Routing.Revision
			}},
		{rule: "an order was lost", move: toDualWrite, red: "ledger",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				long := r.Clock.Now().Add(-2 * r.parts.Journal.Deadline()).UnixMilli()
				r.write(t, map[string]any{"type": "enqueued", "at": long, "order": "o1",
					"side": "source", "ok": true},
					map[string]any{"type": "delivery", "at": long, "order": "o1", "status": 200})
			}},
		{rule: "an order took effect twice", move: toDualWrite, red: "ledger",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				ran := map[string]any{"type": "executed", "order": "o1", "side": "source",
					"mode": "authoritative", "outcome": "applied", "result": "r"}
				again := map[string]any{"type": "executed", "order": "o1", "side": "target",
					"mode": "authoritative", "outcome": "applied", "result": "r"}
				r.write(t, ran, again)
			}},
		{rule: "the two sides had different results", move: toDualWrite, red: "ledger",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.write(t, append(copied("o1", r.Clock.Now(), true), map[string]any{
					"type": "executed", "order": "o1", "side": "target", "mode": "shadow",
					"outcome": "compared", "result": "another"})...)
			}},
		{rule: "the journal is not current", move: toDualWrite, red: "ledger guardrails",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.journal.Set(func() { r.journal.Down = true })
				redistest.Eventually(t, stepstest.Patience, func() error {
					if _, err := r.Env.Journal.Read(); err != nil {
						return nil //nolint:nilerr // that is awaited
					}
					return engine.NotYet("it is still current")
				})
			}},
		{rule: "no copies are expected yet", move: toShadow, red: "parity"},
		{rule: "every order left a copy", move: toShadow,
			make: func(t *testing.T, r *rig, v *progress.View) {
				v.StageSince = v.At.Add(-time.Minute)
				r.write(t, copied("o1", v.At.Add(-30*time.Second), true)...)
			}},
		{rule: "an order left no copy", move: toShadow, red: "parity",
			make: func(t *testing.T, r *rig, v *progress.View) {
				v.StageSince = v.At.Add(-time.Minute)
				r.write(t, copied("o1", v.At.Add(-30*time.Second), true)...)
				r.write(t, copied("o2", v.At.Add(-30*time.Second), false)...)
			}},
		{rule: "the target stands still", move: toDualWrite, red: "target-adds guardrails",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.dst.Freeze()
				t.Cleanup(r.dst.Thaw)
			}},
		{rule: "the source stands still", move: toDualWrite, red: "guardrails",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.src.Freeze()
				t.Cleanup(r.src.Thaw)
			}},
		{rule: "the target takes no writes", move: toDualWrite, red: "target-adds guardrails",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				err := r.dst.Client().ConfigSet(t.Context(), "maxmemory", "1").Err()
				if err != nil {
					t.Fatal(err)
				}
			}},
		{rule: "nobody has added there yet", move: toLive, red: "target-adds", make: atShadow},
		{rule: "the app added there just now", move: toLive,
			make: func(t *testing.T, r *rig, v *progress.View) {
				atShadow(t, r, v)
				r.write(t, copied("o1", r.Clock.Now(), true)...)
			}},
		{rule: "the app's last add there is long ago", move: toLive, red: "target-adds",
			make: func(t *testing.T, r *rig, v *progress.View) {
				atShadow(t, r, v)
				r.write(t, copied("o1", r.Clock.Now().Add(-time.Hour), true)...)
			}},
		{rule: "it is dated in the future", move: toLive, red: "target-adds",
			make: func(t *testing.T, r *rig, v *progress.View) {
				atShadow(t, r, v)
				r.write(t, copied("o1", r.Clock.Now().Add(time.Hour), true)...)
			}},
		{rule: "the app's last add there failed", move: toLive, red: "target-adds",
			make: func(t *testing.T, r *rig, v *progress.View) {
				atShadow(t, r, v)
				r.write(t, copied("o1", r.Clock.Now(), true)...)
				r.write(t, failed("o2", "target", 1)...)
			}},
		{rule: "many webhooks were refused", move: toDualWrite, red: "guardrails",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.write(t, refused(r.parts.Vitals.Limits.MaxRefused+1)...)
			}},
		{rule: "a few webhooks were refused", move: toDualWrite,
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.write(t, refused(r.parts.Vitals.Limits.MaxRefused)...)
			}},
		{rule: "many adds failed", move: toDualWrite, red: "guardrails",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.write(t, failed("o2", "source", r.parts.Vitals.Limits.MaxRefused+1)...)
			}},
		{rule: "an order has waited long on the app's disk", move: toDualWrite, red: "guardrails",
			make: func(t *testing.T, r *rig, _ *progress.View) {
				r.journal.Set(func() {
					r.journal.Intake = map[string]any{"backlog": 1,
						"oldestAt": r.Clock.Now().Add(-time.Hour).UnixMilli()}
				})
				redistest.Eventually(t, stepstest.Patience, func() error {
					if p, err := r.Env.Journal.Pulse(0); err != nil || p.Waiting.Orders == 0 {
						return engine.NotYet("%+v, %v", p, err)
					}
					return nil
				})
			}},
		{rule: "a second routed queue has no flags yet", move: toLive, red: "together",
			make: func(_ *testing.T, _ *rig, v *progress.View) {
				v.Queues = append(v.Queues, progress.QueueRouting{Queue: "refunds",
					Routing: migration.Routing{Stage: migration.StageDualWrite}})
			}},
		{rule: "a second routed queue has another share", move: toLive, red: "together",
			make: func(_ *testing.T, _ *rig, v *progress.View) {
				at := v.Routing
				at.Ramp++
				v.Queues = append(v.Queues, progress.QueueRouting{Queue: "refunds", Routing: at})
			}},
		{rule: "the way back was never tried", move: toLive, red: "check:" + evidence.Rollback,
			make: func(_ *testing.T, _ *rig, v *progress.View) { v.Latest = nil }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := open(t, 0)
			if tc.move != toDualWrite && !tc.empty {
				r.write(t, copied("before", r.Clock.Now().Add(-2*time.Minute), tc.move == toShadow)...)
			}
			v := met(r.View(t))
			if tc.make != nil {
				tc.make(t, r, &v)
			}
			gates := r.parts.forwardGates(t.Context(), v, tc.move, r.parts.Vitals.Limits)
			want := strings.Fields(tc.red)
			if got := stepstest.Reds(gates); !slices.Equal(got, want) {
				t.Errorf("red are %v, want %v: %+v", got, want, migration.Failing(gates))
			}
			for _, g := range migration.Failing(gates) {
				if g.Next == "" || g.Measured == "" || g.Limit == "" {
					t.Errorf("it does not say what was measured and what to do: %+v", g)
				}
			}
		})
	}
}

// atShadow has the queue stand where the app adds copies on the target.
func atShadow(_ *testing.T, _ *rig, v *progress.View) {
	v.Routing.Stage = migration.StageShadow
	for i := range v.Queues {
		v.Queues[i].Routing.Stage = migration.StageShadow
	}
}

// refused are webhooks that were answered with 503.
func refused(n int) []map[string]any {
	var out []map[string]any
	for range n {
		out = append(out, map[string]any{"type": "delivery", "order": "refused", "status": 503})
	}
	return out
}

// failed are adds of an order to a side that failed.
func failed(order, side string, n int) []map[string]any {
	var out []map[string]any
	for range n {
		out = append(out, map[string]any{"type": "enqueued", "order": order, "side": side,
			"ok": false, "error": "no answer", "stage": "shadow"})
	}
	return out
}

func TestAnAppMustAddToEachRoutedQueueOnTheTarget(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		adds func(now time.Time) []map[string]any
		want string // of each queue: verdict
	}{
		{"both just now", func(now time.Time) []map[string]any {
			return append(of("orders", copied("o1", now, true)),
				of("refunds", copied("o2", now, true))...)
		}, "met met"},
		{"the second never", func(now time.Time) []map[string]any {
			return of("orders", copied("o1", now, true))
		}, "met unknown"},
		{"the first never", func(now time.Time) []map[string]any {
			return of("refunds", copied("o1", now, true))
		}, "unknown met"},
		{"the second fails while the first goes on", func(now time.Time) []map[string]any {
			return append(of("refunds", append(copied("o1", now, true),
				failed("o2", "target", 1)...)), of("orders", copied("o3", now, true))...)
		}, "met unmet"},
		{"an app that does not tell the queue, of two", func(now time.Time) []map[string]any {
			return copied("o1", now, true)
		}, "unknown unknown"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := openOf(t, 0, "orders", "refunds")
			r.write(t, tc.adds(r.Clock.Now())...)
			v := r.View(t)
			atShadow(t, r, &v)
			for _, g := range r.parts.Vitals.Gates(t.Context(), v, r.parts.Vitals.Limits) {
				if g.ID != "target-adds" {
					continue
				}
				var got []string
				for _, m := range g.Asked.Members {
					got = append(got, cmp.Or(string(m.Verdict), string(migration.Unknown)))
				}
				if strings.Join(got, " ") != tc.want || g.OK != (tc.want == "met met") {
					t.Errorf("%v, %+v", got, g)
				}
			}
		})
	}
}

// of says of which queue events are.
func of(queue string, events []map[string]any) []map[string]any {
	for _, e := range events {
		e["queue"] = queue
	}
	return events
}

func TestTheServersEventsMustBeFollowed(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	v := met(r.View(t))
	r.Clock.Advance(time.Hour) // nobody has read them since, as far as anybody knows
	gates := r.parts.forwardGates(t.Context(), v, toDualWrite, r.parts.Vitals.Limits)
	if got := stepstest.Reds(gates); !slices.Contains(got, "streams") {
		t.Errorf("red are %v", got)
	}
}

func TestEachCriterionIsAGateUntilItIsMet(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	r.write(t, copied("before", r.Clock.Now(), true)...)
	for _, id := range criteria {
		for _, verdict := range []migration.Verdict{migration.Unmet, migration.Unknown} {
			for _, move := range []migration.StageMove{toDualWrite, toLive} {
				v := met(r.View(t))
				for i := range v.Checklist {
					if v.Checklist[i].Criterion.ID == id {
						v.Checklist[i].Verdict, v.Checklist[i].Why = verdict, "no evidence"
					}
				}
				want := []string{"criterion:" + id}
				if id == "parallel-validated" && move == toDualWrite {
					want = []string{} // only the target's authority needs it
				}
				got := stepstest.Reds(r.parts.forwardGates(t.Context(), v, move, r.parts.Vitals.Limits))
				if !slices.Equal(got, want) {
					t.Errorf("%s %s, to %s: red are %v, want %v", id, verdict, move, got, want)
				}
			}
		}
	}
}

// A plan calls its criteria as it likes; which of them a stage waits for is said by the checks.
func TestACriterionIsAGateByItsChecksWhateverThePlanCallsIt(t *testing.T) {
	t.Parallel()
	for _, to := range []migration.Stage{migration.StageDualWrite, migration.StageLive} {
		for _, check := range evidence.All() {
			v := progress.View{Checklist: migration.Checklist{{
				Criterion: migration.Criterion{ID: "ours", Title: "Ours",
					Requires: []migration.Requirement{{Check: check.ID}}},
				Verdict: migration.Unknown,
			}}}
			red := slices.Contains(stepstest.Reds(v.EvidenceGates(to)), "criterion:ours")
			if want := check.Precedes(to); red != want {
				t.Errorf("%s, to %s: red %t, want %t", check.ID, to, red, want)
			}
		}
	}
	// What a plan leaves out is asked for all the same before the target has the authority.
	var always []string
	for _, check := range evidence.All() {
		if check.Always && check.Precedes(migration.StageLive) {
			always = append(always, "check:"+check.ID)
		}
	}
	if got := stepstest.Reds(progress.View{}.EvidenceGates(migration.StageLive)); len(always) < 2 ||
		!slices.Equal(got, always) {
		t.Errorf("red are %v, want %v, among them dual write and rollback", got, always)
	}
}

func TestAMoveForwardIsShownWithItsGatesAndAMoveBackNeedsNoApproval(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	forward, err := r.Plan(t.Context(), migration.StepCutover, migration.ParamsOf(toDualWrite))
	if err != nil || forward.Approval != migration.ApprovalOne || len(forward.Gates) < 4 {
		t.Errorf("%+v, %v", forward, err)
	}
	r.Route(t, migration.Routing{Stage: migration.StageDualWrite,
		Source: migration.SourceStandalone})
	r.worker.Behind(true) // what holds a move forward up
	back, err := r.Plan(t.Context(), migration.StepCutover,
		migration.Params{To: migration.StageOff})
	if err != nil || back.Approval != migration.ApprovalNone ||
		len(migration.Failing(back.Gates)) > 0 {
		t.Errorf("%+v, %v", back, err)
	}
	for _, p := range []migration.Params{{}, {To: migration.StageLive, Ramp: 10},
		{To: migration.StageDualWrite}, {To: "elsewhere"}} {
		if _, err := r.Plan(t.Context(), migration.StepCutover, p); err == nil {
			t.Errorf("%+v can be planned", p)
		}
	}
}

func TestThePlanOfAMoveIsAnotherWhereTheQueueStandsElsewhere(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	before, err := r.Plan(t.Context(), migration.StepCutover, migration.ParamsOf(toDualWrite))
	if err != nil {
		t.Fatal(err)
	}
	r.Route(t, migration.Routing{Stage: migration.StageShadow, Source: migration.SourceStandalone})
	after, err := r.Plan(t.Context(), migration.StepCutover, migration.ParamsOf(toDualWrite))
	if err != nil || after.Hash == before.Hash {
		t.Errorf("%v, still %s", err, after.Hash)
	}
}

// The gates were green when the run was approved. What has turned red since stops it before
// the flags change.
func TestTheLastLookBeforeTheFlagsChangeIsTheRuns(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	laggard := r.Worker(t, "web.2")
	laggard.Behind(true)
	r.Route(t, migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone})
	r.Route(t, migration.Routing{Stage: migration.StageDualWrite,
		Source: migration.SourceStandalone}) // which it does not take over
	r.Route(t, migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone})
	before := r.View(t).Routing
	run := r.Start(t, migration.StepCutover, migration.ParamsOf(toDualWrite))
	run = r.Await(t, run.ID, migration.RunFailed)
	if !strings.Contains(run.Error, "Workers are on the latest flags") {
		t.Errorf("%s", run.Error)
	}
	if now := r.View(t).Routing; now != before {
		t.Errorf("the flags say %+v, they said %+v", now, before)
	}
}

func TestAMoveAndItsWayBackAreMeasuredAndTheWayBackIsEvidence(t *testing.T) {
	t.Parallel()
	r := open(t, 50*time.Millisecond)
	run := r.Await(t, r.Start(t, migration.StepCutover, migration.ParamsOf(toDualWrite)).ID,
		migration.RunSucceeded)
	if now := r.View(t).Routing; now.Stage != migration.StageDualWrite {
		t.Fatalf("the flags say %s", now)
	}
	if r.View(t).Met(evidence.Rollback) {
		t.Error("a move forward counts as a rollback")
	}
	r.Await(t, r.Rollback(t, run).ID, migration.RunSucceeded)
	if now := r.View(t).Routing; now.Stage != migration.StageOff {
		t.Errorf("the flags say %s", now)
	}
	if !r.View(t).Met(evidence.Rollback) {
		t.Error("the way back is no evidence")
	}
}

func TestWhatGoesWrongWhileANewStageIsWatchedTakesItBack(t *testing.T) {
	t.Parallel()
	ran := func(side string) map[string]any {
		return map[string]any{"type": "executed", "order": "o1", "side": side,
			"mode": "authoritative", "outcome": "applied", "result": "r"}
	}
	for _, tc := range []struct {
		rule, says string
		make       func(t *testing.T, r *rig)
	}{
		{"an order took effect twice", "1 processed twice", func(t *testing.T, r *rig) {
			r.write(t, ran("source"), ran("target"))
		}},
		{"the target stands still", "an add on the target took at least",
			func(t *testing.T, r *rig) {
				r.dst.Freeze()
				t.Cleanup(r.dst.Thaw)
			}},
		{"webhooks are refused", "1000 webhooks were refused", func(t *testing.T, r *rig) {
			r.write(t, refused(1000)...)
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := open(t, time.Hour)
			run := r.Start(t, migration.StepCutover, migration.ParamsOf(toDualWrite))
			redistest.Eventually(t, stepstest.Patience, func() error {
				now, err := r.Store.Run(t.Context(), run.ID)
				if err == nil && !strings.Contains(now.Progress, "watching for another") {
					err = engine.NotYet("%s: %s", now.State, now.Progress)
				}
				return err
			})
			tc.make(t, r)
			run = r.Await(t, run.ID, migration.RunFailed)
			if !strings.Contains(run.Error, tc.says) {
				t.Errorf("%s", run.Error)
			}
			if now := r.View(t).Routing; now.Stage != migration.StageOff {
				t.Errorf("the flags still say %s", now)
			}
		})
	}
}

// The first worker to follow the flags already sends orders, while others are waited for.
func TestWhatGoesWrongWhileWorkersSwitchTakesTheStageBackAtOnce(t *testing.T) {
	t.Parallel()
	r := open(t, time.Hour)
	r.worker.Behind(true)
	run := r.Start(t, migration.StepCutover, migration.ParamsOf(toDualWrite))
	redistest.Eventually(t, stepstest.Patience, func() error {
		now, err := r.Store.Run(t.Context(), run.ID)
		if seen, _ := migration.OutputOf[watched](now, "await-workers"); err == nil &&
			!migration.Watched(seen.Guardrails) {
			err = engine.NotYet("%s: %s", now.State, now.Progress)
		}
		return err
	})
	r.write(t, map[string]any{"type": "executed", "order": "o1", "side": "source",
		"mode": "authoritative", "outcome": "applied", "result": "r"},
		map[string]any{"type": "executed", "order": "o1", "side": "target",
			"mode": "authoritative", "outcome": "applied", "result": "r"})
	redistest.Eventually(t, stepstest.Patience, func() error {
		if now := r.View(t).Routing; now.Stage != migration.StageOff {
			return engine.NotYet("the flags say %s", now)
		}
		return nil
	})
	r.worker.Behind(false)
	run = r.Await(t, run.ID, migration.RunFailed)
	if !strings.Contains(run.Error, "1 processed twice") {
		t.Errorf("%s", run.Error)
	}
	if told := result(run); slices.ContainsFunc(told.Figures, func(f migration.ResultFigure) bool {
		return strings.HasPrefix(f.Label, "Workers")
	}) {
		t.Errorf("workers that were never seen to switch are told of: %+v", told.Figures)
	}
}

// A small share may bring the target no order for long, and one that came may stand there.
func TestATargetThatIsPrimaryIsShownByAnOrderThatItProcessed(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	live := migration.Params{To: migration.StageLive, Ramp: 10}
	former := migration.Routing{Stage: migration.StageShadow, Source: migration.SourceStandalone}
	r.Route(t, migration.Routing{Stage: live.To, Ramp: live.Ramp, Source: former.Source})
	run := migration.Run{ID: "live", MigrationID: stepstest.Migration, Step: migration.StepCutover,
		Params: live, State: migration.RunRunning, CreatedAt: r.Clock.Now()}
	if err := r.Store.CreateRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	call := r.Call(t, run, "soak")
	began := r.Clock.Now()
	on := func(side string, done bool) func(*testing.T) {
		return func(t *testing.T) {
			id := side + "-1"
			at := r.Clock.Now()
			events := []map[string]any{
				{"type": "enqueued", "at": at.UnixMilli(), "order": id, "side": side, "ok": true,
					"stage": "live", "authority": side},
				{"type": "delivery", "at": at.UnixMilli(), "order": id, "status": 200},
			}
			if done {
				events = []map[string]any{{"type": "executed", "at": at.UnixMilli(), "order": id,
					"side": side, "mode": "authoritative", "outcome": "applied", "result": "r"}}
			}
			r.write(t, events...)
		}
	}
	for _, tc := range []struct {
		rule, waits string
		make        func(*testing.T)
	}{
		{"none came", "no order came", func(*testing.T) {}},
		{"one came on the source", "1 order came, none with the target as primary", func(t *testing.T) {
			on("source", false)(t)
			on("source", true)(t)
		}},
		{"one came on the target and was not processed",
			"1 order came with the target as primary, none was processed there", on("target", false)},
		{"it was processed", "", on("target", true)},
	} {
		tc.make(t)
		w, err := r.parts.watchOver(call, former)
		if err != nil {
			t.Fatal(err)
		}
		w.began = began
		why := ""
		redistest.Eventually(t, stepstest.Patience, func() error { // of all that is looked at
			if _, err := w.look(t.Context()); err != nil {
				return err
			}
			why = w.unshown()
			return nil
		})
		if why != tc.waits {
			t.Errorf("%s: %q", tc.rule, why)
		}
	}
}

// What may have come to harm is not calm, and takes nothing back: a person decides on it.
func TestWhatTheServersEventsLeaveOpenIsNotWatchedAsCalm(t *testing.T) {
	t.Parallel()
	r := open(t, time.Hour)
	run := r.Start(t, migration.StepCutover, migration.ParamsOf(toDualWrite))
	says := func(text string) {
		t.Helper()
		redistest.Eventually(t, stepstest.Patience, func() error {
			now, err := r.Store.Run(t.Context(), run.ID)
			if err == nil && !strings.Contains(now.Progress, text) {
				err = engine.NotYet("%s: %s %s", now.State, now.Progress, now.Error)
			}
			return err
		})
	}
	says("watching for another")
	rows, err := environment.LedgerState(ledger.Checkpoint{Exceptions: []ledger.Exception{{
		Queue: "orders", Job: "42", Verdict: ledger.Stray, At: r.Clock.Now().UnixMilli()}}})
	if err == nil {
		err = r.Store.SaveLedger(t.Context(), stepstest.Migration, rows, 0, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	says("watching begins again after this: the queues' events show 1")
}

// A worker that hangs on the target does not acknowledge the flags in time. That must not send
// orders there again.
func TestAMoveBackThatFailsIsNotTakenForwardAgain(t *testing.T) {
	t.Parallel()
	for rule, by := range map[string]string{
		"it failed by itself": "",
		"a person cancels it": "ada",
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			r := open(t, 0)
			source := migration.SourceStandalone
			r.Route(t, migration.Routing{Stage: migration.StageDualWrite, Source: source})
			r.worker.Behind(true)
			back := migration.Params{To: migration.StageOff}
			run := r.Start(t, migration.StepCutover, back)
			redistest.Eventually(t, stepstest.Patience, func() error {
				if now := r.View(t).Routing; now.Stage != migration.StageOff {
					return engine.NotYet("the flags say %s", now)
				}
				return nil
			})
			run, err := r.Store.Run(t.Context(), run.ID)
			if err != nil {
				t.Fatal(err)
			}
			run.CancelledBy = by
			r.worker.Behind(false)
			undo := r.parts.actions(back)[0].Undo
			if err := undo(t.Context(), r.Call(t, run, "set-flags")); err != nil {
				t.Fatal(err)
			}
			want := migration.StageOff
			if by != "" {
				want = migration.StageDualWrite
			}
			if now := r.View(t).Routing; now.Stage != want {
				t.Errorf("the flags say %s, want %s", now, want)
			}
		})
	}
}

// A process that was killed knows neither its workers nor the ledgers for some seconds. That
// refuses nothing that was approved.
func TestAnApprovedMoveWaitsForWhatAProcessThatHasJustStartedDoesNotKnow(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	p := migration.Params{To: migration.StageDualWrite}
	plan, err := r.Plan(t.Context(), migration.StepCutover, p)
	if err == nil {
		err = r.Store.CreateRun(t.Context(), migration.Run{ID: "approved",
			MigrationID: stepstest.Migration, Step: migration.StepCutover, Params: p, Plan: plan,
			RequestedBy: "ada", CreatedAt: r.Clock.Now(), State: migration.RunQueued})
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Stop()
	cold := stepstest.Open(t, r.Config, func(b *stepstest.Bench) []engine.Step {
		e := b.Env
		b.Worker(t, "web.1") // before the run goes on
		return []engine.Step{Parts{Views: e.Views, Routing: e.Routing, Workers: e.Workers,
			Journal: e.Journal, Streams: e.Streams, Vitals: e.Vitals}.Step()}
	})
	redistest.Eventually(t, stepstest.Patience, func() error { // it is at its first action
		run, err := cold.Store.Run(t.Context(), "approved")
		if err == nil && run.Actions[0].State == migration.ActionPending {
			err = errors.New("not yet")
		}
		return err
	})
	cold.Watch(t)
	cold.Await(t, "approved", migration.RunSucceeded)
}
