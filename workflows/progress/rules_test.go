package progress_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/evidence/evidencetest"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

var noon = time.Date(2026, 8, 24, 12, 0, 0, 0, time.UTC)

// at is a view of a queue at a stage, on the single server.
func at(stage migration.Stage, ramp int) progress.View {
	return progress.View{At: noon, Ramp: []int{10, 100}, Latest: map[string]migration.Evidence{},
		World: migration.World(nil).Look(noon, migration.Empty()),
		Routing: migration.Routing{Stage: stage, Ramp: ramp,
			Source: migration.SourceStandalone}}
}

func move(to migration.Stage, ramp int) migration.Params {
	return migration.ParamsOf(migration.StageMove{To: to, Ramp: ramp})
}

func run(id, step string, state migration.RunState) migration.Run {
	return migration.Run{ID: id, Step: step, State: state}
}

func TestARunThatWasTakenBackOrDidNotEndWellProvesNothing(t *testing.T) {
	t.Parallel()
	back := run("back", "audit", migration.RunSucceeded)
	back.RolledBackBy = "other"
	v := at(migration.StageOff, 0)
	v.Runs = []migration.Run{back, run("failed", "audit", migration.RunFailed),
		run("cancelled", "audit", migration.RunCancelled), run("good", "audit",
			migration.RunSucceeded), run("under way", "audit", migration.RunRunning)}
	b := v.Basis()
	for id, undone := range map[string]bool{"back": true, "failed": true, "cancelled": true,
		"good": false, "under way": false} {
		if b.Undone[id] != undone {
			t.Errorf("%s: %v", id, b.Undone[id])
		}
	}
	for _, s := range migration.Stages() {
		if got := at(s, 0).Basis().Complete; got != (s == migration.StageComplete) {
			t.Errorf("%s is complete: %v", s, got)
		}
	}
}

func TestACheckIsJudgedByWhateverCriterionAsksForIt(t *testing.T) {
	t.Parallel()
	v := at(migration.StageOff, 0)
	v.Checklist = migration.Checklist{
		{Findings: []migration.Finding{{Check: "a", Measured: "1"}, {Check: "b", Measured: "2"}}},
		{Findings: []migration.Finding{{Check: "c", Measured: "3"}}},
	}
	for check, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
		if f, ok := v.Required(check); !ok || f.Measured != want || v.Finding(check).Measured != want {
			t.Errorf("%s: %v %+v", check, ok, f)
		}
	}
	if _, ok := v.Required(evidence.Policy); ok || v.Met(evidence.Policy) {
		t.Error("nobody asks for it, and nothing shows it")
	}
}

func TestEveryGateIsWaivedByItsOwnMembers(t *testing.T) {
	t.Parallel()
	v := at(migration.StageOff, 0)
	var gates []migration.Gate
	for _, key := range []string{"a", "b", "c"} {
		gates = append(gates, migration.Claim{ID: key, Asked: migration.Coverage{
			Members: []migration.Member{{Key: "worker:" + key, Name: key}}}}.Gate())
	}
	v.Waivers = []migration.Waiver{{Member: "worker:a", At: noon, Until: noon.Add(time.Hour)},
		{Member: "worker:c", At: noon, Until: noon.Add(time.Hour)}}
	var open []string
	for _, g := range migration.Failing(v.Waive(gates)) {
		open = append(open, g.ID)
	}
	if !slices.Equal(open, []string{"b"}) {
		t.Errorf("open: %q", open)
	}
}

func TestTheLatestRunIsTheNewestForwardOneThatStands(t *testing.T) {
	t.Parallel()
	way := run("a rollback", "audit", migration.RunSucceeded)
	way.Rollback = "x"
	back := run("taken back", "audit", migration.RunSucceeded)
	back.RolledBackBy = "x"
	v := at(migration.StageOff, 0)
	v.Runs = []migration.Run{run("another", "provision", migration.RunSucceeded), way, back,
		run("failed", "audit", migration.RunFailed), run("new", "audit", migration.RunSucceeded),
		run("old", "audit", migration.RunSucceeded)}
	if r := v.LatestRun("audit"); r == nil || r.ID != "new" {
		t.Errorf("%+v", r)
	}
	if r := v.LatestRun("cutover"); r != nil {
		t.Errorf("%+v", r)
	}
}

// A guardrail takes back what has just been done, and nothing else.
func TestWhatSettlesIsTheForwardMoveThatHasJustEnded(t *testing.T) {
	t.Parallel()
	ended := func(r migration.Run, ago time.Duration) migration.Run {
		at := noon.Add(-ago)
		r.FinishedAt = &at
		return r
	}
	cut := func(state migration.RunState, p migration.Params) migration.Run {
		return migration.Run{Step: migration.StepCutover, State: state, Params: p}
	}
	ten := ended(cut(migration.RunSucceeded, move(migration.StageLive, 10)), time.Minute)
	from := func(p migration.Params, err error) func(migration.Run) (migration.Params, error) {
		return func(migration.Run) (migration.Params, error) { return p, err }
	}
	shadow := from(move(migration.StageShadow, 0), nil)
	other := ended(run("p", migration.StepProvision, migration.RunSucceeded), 0)
	for _, tc := range []struct {
		rule   string
		runs   []migration.Run
		former func(migration.Run) (migration.Params, error)
		want   bool
	}{
		{"it has just ended", []migration.Run{ten}, shadow, true},
		{"it ended as long ago as may be", []migration.Run{ended(ten, time.Hour)}, shadow, true},
		{"it ended long ago", []migration.Run{ended(ten, time.Hour+1)}, shadow, false},
		{"the share was raised", []migration.Run{ten}, from(move(migration.StageLive, 5), nil), true},
		{"the share was lowered", []migration.Run{ten}, from(move(migration.StageLive, 50), nil),
			false},
		{"it came from ahead", []migration.Run{ten}, from(move(migration.StageRampDown, 0), nil),
			false},
		{"nobody knows where it came from", []migration.Run{ten},
			from(move(migration.StageShadow, 0), errors.New("gone")), false},
		{"it failed", []migration.Run{ended(cut(migration.RunFailed, ten.Params), 0)}, shadow, false},
		{"it is under way", []migration.Run{cut(migration.RunSucceeded, ten.Params)}, shadow, false},
		{"it moved elsewhere", []migration.Run{ended(cut(migration.RunSucceeded,
			move(migration.StageLive, 100)), 0)}, shadow, false},
		{"another step came after it", []migration.Run{other, ten}, shadow, true},
		{"one that was rejected came after it",
			[]migration.Run{cut(migration.RunRejected, ten.Params), ten}, shadow, true},
		{"a failed one came after it",
			[]migration.Run{ended(cut(migration.RunFailed, ten.Params), 0), ten}, shadow, false},
		{"an older one does not count",
			[]migration.Run{ended(ten, 2*time.Hour), ten}, shadow, false},
		{"only another step ran", []migration.Run{other, other}, shadow, false},
		{"nothing ran", nil, shadow, false},
	} {
		v := at(migration.StageLive, 10)
		v.Runs = tc.runs
		if r, got := v.Settling(time.Hour, tc.former); got != tc.want ||
			got && r.Step != migration.StepCutover {
			t.Errorf("%s: %v, %+v", tc.rule, got, r)
		}
	}
}

func TestWhoDependsOnAStepIsWhoNeedsIt(t *testing.T) {
	t.Parallel()
	v := at(migration.StageOff, 0)
	v.Migration.Plan.Steps = []migration.PlanStep{{ID: "b", Needs: []string{"a"}}, {ID: "a"},
		{ID: "c", Needs: []string{"b", "a"}}, {ID: "d", Needs: []string{"b"}}}
	if got := v.Dependants("a"); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("a: %q", got)
	}
	if got := v.Dependants("d"); got != nil {
		t.Errorf("d: %q", got)
	}
	if got := v.StepIDs(); !slices.Equal(got, []string{"b", "a", "c", "d"}) {
		t.Errorf("steps %q", got)
	}
}

func TestTheCutoverIsDoneAtCompleteAndThePolicyOnlyAfterAnAudit(t *testing.T) {
	t.Parallel()
	for _, s := range migration.Stages() {
		v := at(s, 0)
		v.Runs = []migration.Run{run("r", migration.StepCutover, migration.RunSucceeded)}
		if got := v.Done(migration.StepCutover); got != (s == migration.StageComplete) {
			t.Errorf("%s: done %v", s, got)
		}
	}
	v := at(migration.StageOff, 0)
	v.Checklist = migration.Checklist{{Findings: []migration.Finding{
		{Check: evidence.Policy, Verdict: migration.Met}}}}
	if v.Done(migration.StepFixPolicy) {
		t.Error("the policy is fixed before anybody audited")
	}
	v.Runs = []migration.Run{run("r", migration.StepAudit, migration.RunSucceeded)}
	if !v.Done(migration.StepFixPolicy) {
		t.Error("the policy is not fixed")
	}
	if v.Done(migration.StepMoveResidue) {
		t.Error("what is left was moved by nobody")
	}
}

func TestAMoveIsBackWhereItLeadsTowardsTheSource(t *testing.T) {
	t.Parallel()
	v := at(migration.StageLive, 50)
	for _, tc := range []struct {
		step string
		p    migration.Params
		want bool
	}{
		{migration.StepCutover, move(migration.StageShadow, 0), true},
		{migration.StepCutover, move(migration.StageLive, 10), true},
		{migration.StepCutover, move(migration.StageLive, 100), false},
		{migration.StepCutover, move(migration.StageOff, 0), false}, // no such move
		{migration.StepProvision, move(migration.StageShadow, 0), false},
	} {
		if got := v.Back(tc.step, tc.p); got != tc.want {
			t.Errorf("%s to %+v: %v", tc.step, tc.p, got)
		}
	}
	if m, ok := v.WayBack(); !ok || m.To != migration.StageShadow {
		t.Errorf("the way back leads to %s, %v", m, ok)
	}
	v.Routing.Source = migration.SourceNone
	if m, ok := v.WayBack(); ok || m != (migration.StageMove{}) {
		t.Errorf("a source that was released is a way back to %s", m)
	}
	if _, ok := at(migration.StageOff, 0).WayBack(); ok {
		t.Error("there is a way back from off")
	}
}

func TestAStepNeedsWhatIsNotDoneAndAMoveBackNothing(t *testing.T) {
	t.Parallel()
	v := at(migration.StageDualWrite, 0)
	v.Migration.Plan.Steps = []migration.PlanStep{
		{ID: migration.StepAudit, Title: "Audit"},
		{ID: migration.StepProvision, Title: "Provision"},
		{ID: migration.StepBreakerDrill, Title: "Drill"},
		{ID: migration.StepSentinelMove, Title: "Sentinel"},
		{ID: migration.StepDualWrite, Title: "Validate"},
		{ID: migration.StepCutover, Needs: []string{migration.StepAudit, migration.StepProvision,
			migration.StepBreakerDrill, migration.StepSentinelMove, migration.StepDualWrite}},
	}
	v.Runs = []migration.Run{run("a", migration.StepAudit, migration.RunSucceeded),
		run("d", migration.StepBreakerDrill, migration.RunSucceeded),
		run("p", migration.StepProvision, migration.RunSucceeded),
		run("v", migration.StepDualWrite, migration.RunSucceeded)}
	drill, _ := evidence.Of(evidence.Drill)
	v.Latest[evidence.TargetPlan] = migration.Evidence{ObservedAt: noon,
		Facts: json.RawMessage(`{"name":"orders","state":"deleted"}`)}
	var got []string
	for _, g := range v.Needs(migration.StepCutover, move(migration.StageShadow, 0)) {
		got = append(got, fmt.Sprint(g.ID, " ", g.OK, " ", g.Measured, " | ", g.Next))
	}
	want := []string{"step:audit true done | ",
		"step:provision false orders: plan is not Fixed 1 GB (), TLS is off, state is deleted | " +
			"Switchyard looks again by itself; correct what it names",
		"step:breaker-drill false Breaker drill: no evidence yet | " + drill.Next,
		"step:sentinel-move false not done | run the step Sentinel",
		"step:dual-write-validation false not done | run the step Validate"}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if back := v.Needs(migration.StepCutover, move(migration.StageOff, 0)); back != nil {
		t.Errorf("a move back needs %+v", back)
	}
	v.Runs = nil // what was never run says so, whatever it would show
	if g := v.Needs(migration.StepCutover, move(migration.StageShadow, 0))[2]; g.Measured !=
		"not done" || g.Next != "run the step Drill" {
		t.Errorf("%+v", g)
	}
}

func TestAStepStandsWhereItsLastRunAndItsNeedsLeaveIt(t *testing.T) {
	t.Parallel()
	failed := run("new", migration.StepAudit, migration.RunFailed)
	failed.Error = "it broke"
	cancelled := failed
	cancelled.State = migration.RunCancelled
	succeeded := run("old", migration.StepAudit, migration.RunSucceeded)
	open := run("open", migration.StepAudit, migration.RunRunning)
	for _, tc := range []struct {
		rule  string
		runs  []migration.Run
		open  *migration.Run
		stage migration.Stage
		want  map[string]string // by step: state, last run, why
	}{
		{"nothing was run", nil, nil, migration.StageOff, map[string]string{
			migration.StepAudit: "todo", migration.StepFixPolicy: "blocked Blocked by: Audit",
			migration.StepCutover: "blocked Blocked by: Audit"}},
		{"it failed", []migration.Run{failed}, nil, migration.StageOff, map[string]string{
			migration.StepAudit: "failed new it broke"}},
		{"it was cancelled", []migration.Run{cancelled}, nil, migration.StageOff,
			map[string]string{migration.StepAudit: "failed new it broke"}},
		{"another step failed", []migration.Run{run("x", "provision", migration.RunFailed)}, nil,
			migration.StageOff, map[string]string{migration.StepAudit: "todo"}},
		{"it was rejected", []migration.Run{run("x", migration.StepAudit,
			migration.RunRejected)}, nil, migration.StageOff,
			map[string]string{migration.StepAudit: "todo x"}},
		{"it failed after it was done", []migration.Run{failed, succeeded}, nil,
			migration.StageOff, map[string]string{migration.StepAudit: "done new"}},
		{"another step was run since", []migration.Run{run("x", "provision",
			migration.RunFailed), succeeded}, nil, migration.StageOff,
			map[string]string{migration.StepAudit: "done old"}},
		{"it is under way", []migration.Run{open, succeeded}, &open, migration.StageOff,
			map[string]string{migration.StepAudit: "active open",
				migration.StepFixPolicy: "skipped the policy is already noeviction",
				migration.StepCutover:   "todo"}},
		{"the policy was fixed", []migration.Run{run("f", migration.StepFixPolicy,
			migration.RunSucceeded), succeeded}, nil, migration.StageOff,
			map[string]string{migration.StepFixPolicy: "done f"}},
		{"the cutover is under way", nil, nil, migration.StageShadow, map[string]string{
			migration.StepCutover: "active Stage: shadow", migration.StepAudit: "todo"}},
		{"the cutover is complete, whoever did it", nil, nil, migration.StageComplete,
			map[string]string{migration.StepCutover: "done"}},
	} {
		v := at(tc.stage, 0)
		v.Migration.EventDate = noon
		v.Migration.Plan = migration.Plan{
			Steps: []migration.PlanStep{{ID: migration.StepAudit, Title: "Audit"},
				{ID: migration.StepFixPolicy, Title: "Fix", Needs: []string{migration.StepAudit}},
				{ID: migration.StepCutover, Needs: []string{migration.StepAudit}}},
			Milestones: []migration.Milestone{{Step: migration.StepAudit, At: -time.Hour},
				{Step: migration.StepCutover, At: time.Hour}},
		}
		v.Checklist = migration.Checklist{{Findings: []migration.Finding{
			{Check: evidence.Policy, Verdict: migration.Met}}}}
		v.Runs, v.Open = tc.runs, tc.open
		for _, s := range v.Steps() {
			got := string(s.State)
			if s.LastRun != nil {
				got += " " + s.LastRun.ID
			}
			if got = strings.TrimSpace(got + " " + s.Why); tc.want[s.PlanStep.ID] != "" &&
				got != tc.want[s.PlanStep.ID] {
				t.Errorf("%s: %s is %q, want %q", tc.rule, s.PlanStep.ID, got,
					tc.want[s.PlanStep.ID])
			}
			due := map[string]time.Duration{migration.StepAudit: -time.Hour,
				migration.StepCutover: time.Hour}[s.PlanStep.ID]
			if (s.Due == nil) != (due == 0) || s.Due != nil && !s.Due.Equal(noon.Add(due)) {
				t.Errorf("%s is due at %v", s.PlanStep.ID, s.Due)
			}
		}
	}
}

// nexts are the next steps in short.
func nexts(v progress.View) (out []string) {
	for _, n := range v.NextSteps() {
		out = append(out, n.Verb+" "+n.Step+n.Params.Suffix())
	}
	return out
}

func TestWhatIsOpenIsAllThatCanBeDoneNext(t *testing.T) {
	t.Parallel()
	v := at(migration.StageOff, 0)
	v.Migration.Name = "Orders"
	v.Migration.Plan.Steps = []migration.PlanStep{{ID: "x", Title: "The step"}}
	r := run("r", "x", migration.RunAwaitingApproval)
	r.RequestedBy = "ada"
	v.Open = &r
	if n := v.NextSteps(); len(n) != 1 || n[0].Verb != migration.VerbApprove ||
		n[0].Title != "Approve: The step" || n[0].ConfirmName != "" || n[0].Action != "" ||
		n[0].Why != "Review the plan, then approve or reject." {
		t.Errorf("%+v", n)
	}
	r.StartedAt = &noon
	r.Plan.Actions = []migration.ActionPlan{{ID: "off", Title: "Power off",
		Approval: migration.ApprovalTwo}}
	if n := v.NextSteps(); len(n) != 1 || n[0].Title != "Approve: The step: Power off" ||
		n[0].ConfirmName != "Orders" || n[0].Action != "off" ||
		n[0].Why != "Irreversible: an engineer other than ada must approve it." {
		t.Errorf("%+v", n)
	}
}

func TestOnlyWhatIsPossibleAtAStageIsOffered(t *testing.T) {
	t.Parallel()
	for stage, want := range map[migration.Stage][]string{
		migration.StageOff: {"start sentinel-move", "start provision", "start breaker-drill",
			"start webhook-retry", "start audit"},
		migration.StageDualWrite: {"start breaker-drill", "start webhook-retry", "start audit",
			"start cutover to off"},
		migration.StageShadow: {"start breaker-drill", "start webhook-retry",
			"start dual-write-validation", "start audit", "start cutover to dual write"},
		migration.StageLive:     {"start audit", "start cutover to shadow"},
		migration.StageRampDown: {"start audit", "start cutover to live at 100 %"},
		migration.StageComplete: {"start audit", "start cutover to ramp down"},
	} {
		v := at(stage, 0)
		for _, id := range []string{migration.StepSentinelMove, migration.StepProvision,
			migration.StepBreakerDrill, migration.StepWebhookRetry, migration.StepDualWrite,
			migration.StepAudit} {
			v.Migration.Plan.Steps = append(v.Migration.Plan.Steps, migration.PlanStep{ID: id})
		}
		if got := nexts(v); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", stage, got, want)
		}
	}
}

func TestTheWayBackIsOfferedOnceAndOnlyWhereThereIsASource(t *testing.T) {
	t.Parallel()
	v := at(migration.StageShadow, 0)
	v.Migration.Plan.Steps = []migration.PlanStep{{ID: migration.StepCutover}}
	if got := nexts(v); !slices.Equal(got, []string{"start cutover to dual write"}) {
		t.Errorf("the rehearsal of the way back: %q", got)
	}
	v.Routing.Source = migration.SourceNone
	if got := nexts(v); got != nil {
		t.Errorf("the source was released: %q", got)
	}
	v = at(migration.StageLive, 10)
	v.Migration.Plan.Steps = []migration.PlanStep{{ID: migration.StepCutover}}
	if got := nexts(v); !slices.Equal(got, []string{"start cutover to live at 100 %",
		"start cutover to shadow"}) {
		t.Errorf("live at 10 %%: %q", got)
	}
}

func TestAScanIsAskedForOnceAPlanWantsItAndADrillWasMade(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule            string
		wanted, drilled bool
		verdict         migration.Verdict
		want            []string
	}{
		{"it is missing", true, true, migration.Unmet, []string{"scan breaker-drill"}},
		{"it is there", true, true, migration.Met, nil},
		{"no drill was made", true, false, migration.Unmet, nil},
		{"no plan wants it", false, true, migration.Unmet, nil},
	} {
		v := at(migration.StageOff, 0)
		if tc.wanted {
			v.Checklist = migration.Checklist{{Findings: []migration.Finding{
				{Check: evidence.Scan, Verdict: tc.verdict}}}}
		}
		if tc.drilled {
			v.Latest[evidence.Drill] = migration.Evidence{Check: evidence.Drill}
		}
		if got := nexts(v); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q", tc.rule, got)
		}
	}
}

func TestThePhaseSaysHowFarAMigrationIs(t *testing.T) {
	t.Parallel()
	good := func(step string) []migration.Run {
		return []migration.Run{run("r", step, migration.RunSucceeded)}
	}
	open := migration.Checklist{{Verdict: migration.Unmet}, {Verdict: migration.Met}}
	for _, tc := range []struct {
		stage  migration.Stage
		source migration.SourceEndpoint
		runs   []migration.Run
		list   migration.Checklist
		want   string
	}{
		{"off", "standalone", nil, open, "Not started: on the single Redis"},
		{"off", "standalone", good("audit"), open, "On the single Redis, audited"},
		{"off", "sentinel", good("audit"), open, "On Sentinel"},
		{"shadow", "sentinel", nil, open, "Cutting over: shadow"},
		{"complete", "sentinel", nil, open,
			"Cut over; the old Redis still has to be decommissioned"},
		{"complete", "none", good("decommission"), open, "Decommissioned"},
		{"complete", "none", good("decommission"), open[1:], "Complete: all criteria are met"},
	} {
		v := at(tc.stage, 0)
		v.Routing.Source, v.Runs, v.Checklist = tc.source, tc.runs, tc.list
		if got := v.Phase(); got != tc.want {
			t.Errorf("%s on %s: %s, want %s", tc.stage, tc.source, got, tc.want)
		}
	}
}

func TestAGateOfTheRoutingHoldsForThatRoutingAlone(t *testing.T) {
	t.Parallel()
	for _, s := range []migration.SourceEndpoint{migration.SourceStandalone,
		migration.SourceSentinel, migration.SourceNone} {
		v := at(migration.StageShadow, 0)
		v.Routing.Source = s
		if g := v.SourceThere(); g.OK != (s != migration.SourceNone) || g.Measured != string(s) {
			t.Errorf("%s is in use: %+v", s, g)
		}
		if g := v.SourceIs(migration.SourceSentinel, "t", "n"); g.OK !=
			(s == migration.SourceSentinel) {
			t.Errorf("%s is sentinel: %+v", s, g)
		}
	}
	v := at(migration.StageShadow, 0)
	if !v.StageGate("t", "l", "n", migration.StageOff, migration.StageShadow).OK ||
		v.StageGate("t", "l", "n", migration.StageOff).OK {
		t.Error("the gate of the stage")
	}
}

func TestTheGateOfACriterionHoldsForEveryCheckOfIt(t *testing.T) {
	t.Parallel()
	v := at(migration.StageOff, 0)
	of := func(verdicts ...migration.Verdict) migration.Item {
		item := migration.Item{Criterion: migration.Criterion{ID: "c"}, Verdict: migration.Met}
		for i, verdict := range verdicts {
			item.Findings = append(item.Findings, migration.Finding{Check: fmt.Sprint("k", i),
				Verdict: verdict})
		}
		return item
	}
	for _, tc := range []struct {
		item migration.Item
		want migration.Verdict
		who  string
	}{
		{of(migration.Met, migration.Met), migration.Met, "check:k0 check:k1 "},
		{of(migration.Met, migration.Stale), migration.Unknown, "check:k0 check:k1 "},
		{of(migration.Unmet, migration.Met), migration.Unmet, "check:k0 check:k1 "},
		{of(), migration.Met, "criterion:c "},
	} {
		g := v.CriterionGate(tc.item)
		who := ""
		for _, m := range g.Asked.Members {
			who += m.Key + " "
		}
		if g.Verdict != tc.want || who != tc.who {
			t.Errorf("%+v: %s of %s", tc.item, g.Verdict, who)
		}
	}
	v.Latest[evidence.Policy] = migration.Evidence{ObservedAt: noon, Subject: migration.Empty(),
		Facts: json.RawMessage(evidencetest.Holding[evidence.Policy])}
	if g := v.CheckGate(evidence.Policy); !g.OK || g.Next != "" {
		t.Errorf("%+v", g)
	}
	if g := v.CheckGate(evidence.Drill); g.OK || g.Next == "" || g.Measured != "no evidence yet" {
		t.Errorf("%+v", g)
	}
}
