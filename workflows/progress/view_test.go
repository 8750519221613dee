package progress_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/evidence/evidencetest"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/steps"
)

// walk is a view that is led along the whole way.
type walk struct {
	t *testing.T
	v progress.View
}

func startWalk(t *testing.T) *walk {
	t.Helper()
	p, err := plan.Read("", steps.IDs())
	ok(t, err)
	now := time.Date(2026, 8, 24, 12, 0, 0, 0, time.UTC)
	return &walk{t, progress.View{Migration: migration.Migration{ID: "orders", Name: "Orders of the shop", Plan: p, EventDate: now.AddDate(0, 0, 28)}, Ramp: []int{10, 50, 100}, At: now,
		Routing: migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone}, Latest: map[string]migration.Evidence{},
		World: migration.World(nil).Look(now, migration.Empty())}}
}

func (w *walk) shows(check, facts string, ago time.Duration) {
	w.v.Latest[check] = migration.Evidence{Check: check, Proof: migration.Observed, Facts: json.RawMessage(facts), ObservedAt: w.v.At.Add(-ago),
		Subject: migration.Empty()}
}

// did adds a run of a step that succeeded, with the evidence it gathers.
func (w *walk) did(step string, checks ...string) {
	w.v.Runs = append([]migration.Run{{ID: fmt.Sprint("run-", len(w.v.Runs)), Step: step, State: migration.RunSucceeded}}, w.v.Runs...)
	for _, c := range checks {
		w.shows(c, evidencetest.Holding[c], time.Minute)
	}
}

func (w *walk) at(stage migration.Stage, ramp int) {
	w.v.Routing.Stage, w.v.Routing.Ramp = stage, ramp
}

// first is what is recommended now, as "verb step to move"; empty when nothing is left.
func (w *walk) first() string {
	w.v.Checklist = evidence.Evaluate(w.v.Migration.Plan, w.v.Basis())
	next := w.v.NextSteps()
	if len(next) == 0 {
		return ""
	}
	if next[0].Title == "" || next[0].Why == "" {
		w.t.Errorf("%s %s lacks a title or a reason", next[0].Verb, next[0].Step)
	}
	return next[0].Verb + " " + next[0].Step + next[0].Params.Suffix()
}

func (w *walk) want(rule, want string) {
	w.t.Helper()
	if got := w.first(); got != want {
		w.t.Fatalf("%s: %q is recommended, want %q", rule, got, want)
	}
}

func TestTheRecommendedStepLeadsAlongTheWholeWay(t *testing.T) {
	t.Parallel()
	w := startWalk(t)
	w.want("the audit comes first", "start audit")
	w.did(migration.StepAudit)
	w.shows(evidence.Policy, `{"nodes":[{"node":"a:1","policy":"allkeys-lru"}]}`, time.Minute)
	w.want("a policy that evicts is fixed", "start fix-policy")
	w.shows(evidence.Policy, evidencetest.Holding[evidence.Policy], time.Minute)
	w.want("a policy that is right needs no fix", "start sentinel-move")
	w.did(migration.StepSentinelMove, evidence.Readiness)
	w.v.Routing.Source = migration.SourceSentinel
	w.want("a deployment is tested", "start sentinel-test")
	w.did(migration.StepSentinelTest, evidence.Failover)
	w.want("then the breaker", "start breaker-drill")
	w.did(migration.StepBreakerDrill, evidence.Scan, evidence.Drill, evidence.Attestation)
	w.want("then the retries", "start webhook-retry")
	w.did(migration.StepWebhookRetry, evidence.Retries)
	w.want("then the target", "start provision")
	w.did(migration.StepProvision, evidence.TargetPlan, evidence.TargetConn)
	w.want("cutover begins with copies", "start cutover to dual write")
	w.at(migration.StageDualWrite, 0)
	w.want("copies are run", "start cutover to shadow")
	w.at(migration.StageShadow, 0)
	w.want("the way back is rehearsed before live", "start cutover to dual write")
	w.at(migration.StageDualWrite, 0)
	w.shows(evidence.Rollback, evidencetest.Holding[evidence.Rollback], time.Minute)
	w.want("and forward again", "start cutover to shadow")
	w.at(migration.StageShadow, 0)
	w.want("both sides are compared", "start dual-write-validation")
	w.did(migration.StepDualWrite, evidence.DualWrite)
	w.want("live starts with the smallest share", "start cutover to live at 10 %")
	for _, s := range []struct {
		ramp int
		want string
	}{{5, "start cutover to live at 10 %"}, {10, "start cutover to live at 50 %"}, {50, "start cutover to live at 100 %"}, {60, "start cutover to live at 100 %"}, {100, "start cutover to ramp down"}} {
		w.at(migration.StageLive, s.ramp)
		w.want(fmt.Sprintf("at %d %%", s.ramp), s.want)
	}
	w.at(migration.StageRampDown, 0)
	w.want("the source is left", "start cutover to complete")
	w.at(migration.StageComplete, 0)
	w.want("the other queues go whole", "start move-queues")
	w.did(migration.StepMoveQueues)
	w.want("what is left is moved", "start move-residue")
	w.did(migration.StepMoveResidue, evidence.Residue)
	w.want("the old server goes last", "start decommission")
	w.did(migration.StepDecommission, evidence.Quiet, evidence.Fence, evidence.Ledger, evidence.Backup, evidence.Off)
	w.v.Routing.Source = migration.SourceNone
	w.want("nothing is left to do", "")
	if w.v.Phase() != "Complete: all criteria are met" || w.v.Checklist.MetCount() != 7 {
		t.Fatalf("%s, %d criteria met: %+v", w.v.Phase(), w.v.Checklist.MetCount(), w.v.Checklist)
	}
	// The servers are gone, so what was shown of them does not age any more; a year later it still holds but for what is watched on.
	w.v.At = w.v.At.AddDate(1, 0, 0)
	w.v.World = w.v.World.Look(w.v.At, migration.Empty()) // the monitor still looks
	for _, check := range []string{evidence.TargetPlan, evidence.TargetConn, evidence.Attestation, evidence.Ledger, evidence.Off} {
		w.shows(check, evidencetest.Holding[check], time.Minute)
	}
	w.want("a year later", "")
	if w.v.Checklist.MetCount() != 7 {
		t.Fatalf("a year later %d criteria are met: %+v", w.v.Checklist.MetCount(), w.v.Checklist)
	}
}

func TestTheRecommendedStepGoesBackToWhatNoLongerHolds(t *testing.T) {
	t.Parallel()
	ready := func(t *testing.T) *walk {
		w := startWalk(t)
		w.did(migration.StepAudit, evidence.Policy)
		w.did(migration.StepSentinelMove, evidence.Readiness)
		w.did(migration.StepSentinelTest, evidence.Failover)
		w.did(migration.StepBreakerDrill, evidence.Scan, evidence.Drill, evidence.Attestation)
		w.did(migration.StepWebhookRetry, evidence.Retries)
		w.did(migration.StepProvision, evidence.TargetPlan, evidence.TargetConn)
		return w
	}
	for rule, c := range map[string]struct {
		change func(w *walk)
		want   string
	}{
		"nothing changed":                  {func(*walk) {}, "start cutover to dual write"},
		"the policy was changed back":      {func(w *walk) { w.shows(evidence.Policy, `{"nodes":[{"node":"a:1"}]}`, 0) }, "start fix-policy"},
		"the failover test has become old": {func(w *walk) { w.shows(evidence.Failover, evidencetest.Holding[evidence.Failover], 721*time.Hour) }, "start sentinel-test"},
		"the scan has become old":          {func(w *walk) { w.shows(evidence.Scan, evidencetest.Holding[evidence.Scan], 721*time.Hour) }, "scan breaker-drill"},
		"the drill has become old":         {func(w *walk) { w.shows(evidence.Drill, evidencetest.Holding[evidence.Drill], 721*time.Hour) }, "start breaker-drill"},
		"the database was deleted":         {func(w *walk) { w.shows(evidence.TargetPlan, `{"state":"deleted"}`, 0) }, "start provision"},
		"a run was taken back":             {func(w *walk) { w.v.Runs[4].RolledBackBy = "run-9" }, "start sentinel-move"},
		"a run waits for approval": {func(w *walk) {
			w.v.Open = &migration.Run{ID: "r", Step: migration.StepProvision, State: migration.RunAwaitingApproval}
		}, "approve provision"},
		"a run is under way": {func(w *walk) {
			w.v.Open = &migration.Run{ID: "r", Step: migration.StepCutover, Params: migration.Params{To: migration.StageShadow}, State: migration.RunRunning}
		}, "watch cutover to shadow"},
		"a run is being undone": {func(w *walk) {
			w.v.Open = &migration.Run{ID: "r", Step: migration.StepCutover, State: migration.RunUndoing}
		}, "watch cutover"},
		"the validation is not offered too " +
			"soon": {func(w *walk) { w.at(migration.StageDualWrite, 0) }, "start cutover to shadow"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			w := ready(t)
			c.change(w)
			w.want(rule, c.want)
		})
	}
}

func TestAFailedStepIsShownAsFailedAndOfferedAgain(t *testing.T) {
	t.Parallel()
	w := startWalk(t)
	w.v.Runs = []migration.Run{{ID: "r1", Step: migration.StepAudit, State: migration.RunFailed, Error: "it broke"}}
	w.want("after a failure", "start audit")
	for _, s := range w.v.Steps() {
		if s.PlanStep.ID == migration.StepAudit && (s.State != migration.StepFailed || s.Why != "it broke" || s.LastRun == nil) {
			t.Fatalf("status %+v", s)
		}
		if s.PlanStep.ID == migration.StepFixPolicy && (s.State != migration.StepBlocked || s.Why != "Blocked by: Audit the source Redis") {
			t.Fatalf("status %+v", s)
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
