package migrationpages

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestOnlyASucceededRunLooksDone(t *testing.T) {
	t.Parallel()
	for _, s := range []migration.RunState{
		migration.RunFailed, migration.RunRejected, migration.RunCancelled, migration.RunUndoing,
		"surprise",
	} {
		if runStatus(migration.Run{State: s}).Tone == "ok" {
			t.Errorf("a run that is %s looks done", s)
		}
	}
	back := migration.Run{State: migration.RunSucceeded, RolledBackBy: "x"}
	if runStatus(back).Tone == "ok" {
		t.Error("a run that was rolled back looks done")
	}
}

func TestDatesAreCountedInWholeDays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	for days, want := range map[int]string{
		0: "today", 1: "tomorrow", -1: "yesterday", 5: "in 5 days", -5: "5 days ago",
	} {
		if got := countdown(now, now.AddDate(0, 0, days)); got != want {
			t.Errorf("countdown of %d days = %q, want %q", days, got, want)
		}
	}
}

func TestASetUpMissesNothingThatIsOptional(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		state workflows.SetupState
		needs []string
		want  string
	}{
		{workflows.SetupAbsent, nil, "Nothing missing"},
		{workflows.SetupAbsent, []string{"sentinel"}, "1 not configured"},
		{workflows.SetupFails, nil, "1 failure"},
		{workflows.SetupUnknown, nil, "1 unknown"},
	} {
		f := workflows.SetupFinding{Finding: doctor.Finding{State: tc.state}, Criteria: tc.needs}
		v := Setup{Setup: workflows.Setup{Parts: []workflows.SetupPart{
			{AskedAt: time.Unix(1, 0), Findings: []workflows.SetupFinding{f}},
		}}}
		if got := v.status().Word; got != tc.want {
			t.Errorf("%s, for %v: %q, want %q", tc.state, tc.needs, got, tc.want)
		}
	}
}

func TestAStepLooksReadyOrDoneOnlyWhereItIs(t *testing.T) {
	t.Parallel()
	failed := migration.Gate{ID: "a", Title: "A"}
	held := migration.Gate{ID: "b", Title: "B", OK: true}
	cancelled := &migration.Run{State: migration.RunCancelled}
	for _, tc := range []struct {
		rule       string
		step       Step
		word, tone string
	}{
		{"nothing blocks", Step{Status: migration.StepStatus{State: migration.StepTodo},
			Plan: migration.StepPlan{Gates: []migration.Gate{held}}}, "Ready", "ready"},
		{"a precondition blocks", Step{Status: migration.StepStatus{State: migration.StepTodo},
			Plan: migration.StepPlan{Gates: []migration.Gate{failed, held}}},
			"Blocked by 1 precondition", "idle"},
		{"the overview knows of three", Step{Status: migration.StepStatus{
			State: migration.StepTodo, Blocking: 3}}, "Blocked by 3 preconditions", "idle"},
		{"it cannot be planned", Step{Status: migration.StepStatus{State: migration.StepTodo},
			PlanError: "the managed Redis is not provisioned yet"}, "Cannot be planned now", "idle"},
		{"it is done", Step{Status: migration.StepStatus{State: migration.StepDone},
			Plan: migration.StepPlan{Gates: []migration.Gate{failed}}}, "Done", "ok"},
		{"it is done with a finding", Step{Status: migration.StepStatus{State: migration.StepDone,
			Short: "1 critical finding"}}, "Done, 1 critical finding", "warn"},
		{"it was cancelled", Step{Status: migration.StepStatus{State: migration.StepFailed,
			LastRun: cancelled}}, "Cancelled", "idle"},
		{"it failed", Step{Status: migration.StepStatus{State: migration.StepFailed,
			LastRun: &migration.Run{State: migration.RunFailed}}}, "Failed", "bad"},
		{"it was not needed", Step{Status: migration.StepStatus{
			State: migration.StepSkipped}}, "Skipped", "idle"},
	} {
		if got := plannedStatus(tc.step); got.Word != tc.word || got.Tone != tc.tone {
			t.Errorf("%s: %+v", tc.rule, got)
		}
	}
}

func TestARunThatLacksSomethingIsNotGreen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule       string
		result     *migration.RunResult
		word, tone string
	}{
		{"of an older look", nil, "Done", "ok"},
		{"all was kept", &migration.RunResult{Figures: []migration.ResultFigure{
			{Verdict: migration.Met}, {}}}, "Done", "ok"},
		{"something was not kept", &migration.RunResult{Figures: []migration.ResultFigure{
			{Verdict: migration.Unknown}, {Verdict: migration.Unmet}}}, "Done, not as promised", "warn"},
		{"something was not observed", &migration.RunResult{Figures: []migration.ResultFigure{
			{Verdict: migration.Unknown}}}, "Done, not all observed", "warn"},
		{"one of many was not kept", &migration.RunResult{Lists: []migration.ResultList{{
			Rows: []migration.ResultRow{{Verdict: migration.Unmet}}}}}, "Done, not as promised", "warn"},
		{"it says what is missing", &migration.RunResult{Short: "3 of 4 snapshots taken"},
			"Done, 3 of 4 snapshots taken", "warn"},
	} {
		if tc.result != nil { // of a list, which has no results
			listed := runStatus(migration.Run{State: migration.RunSucceeded, Lacks: tc.result.Lacks()})
			if listed.Word != tc.word || listed.Tone != tc.tone {
				t.Errorf("%s, in a list: %+v", tc.rule, listed)
			}
		}
		got := runStatus(migration.Run{State: migration.RunSucceeded, Result: tc.result})
		if got.Word != tc.word || got.Tone != tc.tone {
			t.Errorf("%s: %+v", tc.rule, got)
		}
	}
}

func TestAMilestoneThatIsDoneSaysWhenItWas(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	event, done := now.AddDate(0, 0, 56), now.Add(-3*time.Hour)
	m := migration.Milestone{Step: "audit"}
	step := func(state migration.StepState, at *time.Time) []migration.StepStatus {
		return []migration.StepStatus{{PlanStep: migration.PlanStep{ID: "audit"}, State: state,
			DoneAt: at}}
	}
	for _, tc := range []struct {
		rule  string
		steps []migration.StepStatus
		want  string
	}{
		{"ahead", step(migration.StepTodo, nil), "in 56 days"},
		{"done", step(migration.StepDone, &done), "Done "},
		{"done, nobody knows when", step(migration.StepDone, nil), "Done; planned for"},
		{"not needed", step(migration.StepSkipped, nil), "Not needed"},
		{"of no step", nil, "in 56 days"},
	} {
		got := milestoneWhen(m, event, tc.steps, now)
		if !strings.Contains(got, tc.want) ||
			strings.Contains(got, "in 56 days") != (tc.want == "in 56 days") {
			t.Errorf("%s: %q", tc.rule, got)
		}
	}
}

func TestAnAuditIsShownAsOfItsLastLook(t *testing.T) {
	t.Parallel()
	then := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	report := audit.Report{Address: "a:1", Findings: []audit.Finding{{ID: "policy",
		Title: "Eviction", Severity: audit.Critical, State: audit.Problem}}}
	look := func(at time.Time, node, state string) workflows.RedisAudit {
		return workflows.RedisAudit{At: then, NowAt: at, Reports: []audit.Report{report},
			Now: evidence.AuditFacts{Nodes: []evidence.NodeAudit{{Node: node,
				Findings: []evidence.AuditFinding{{ID: "policy", State: state}}}}}}
	}
	for _, tc := range []struct {
		rule string
		a    workflows.RedisAudit
		word string
		gone int
	}{
		{"nobody looked again", look(time.Time{}, "a:1", "ok"), "1 problem", 0},
		{"it is solved", look(then.Add(time.Minute), "a:1", "ok"), "No problems", 1},
		{"it is still there", look(then.Add(time.Minute), "a:1", "problem"), "1 problem", 0},
		{"it is not known", look(then.Add(time.Minute), "a:1", "unknown"), "1 problem", 0},
		{"another server is well", look(then.Add(time.Minute), "b:1", "ok"), "1 problem", 0},
		{"an earlier look", look(then.Add(-time.Minute), "a:1", "ok"), "1 problem", 0},
	} {
		if got := auditStatus(tc.a).Word; got != tc.word {
			t.Errorf("%s: %q", tc.rule, got)
		}
		if got := len(solved(tc.a, report)); got != tc.gone {
			t.Errorf("%s: %d solved", tc.rule, got)
		}
	}
}

func TestAMilestoneThatOnlyWaitsForEarlierOnesIsUpcoming(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	m := migration.Milestone{Title: "Old Redis decommissioned", Step: "decommission", At: time.Hour}
	cutover := migration.StepStatus{PlanStep: migration.PlanStep{ID: "cutover", Title: "Cutover"}}
	for _, tc := range []struct {
		rule, why string
		run       *migration.Run
		event     time.Time
		want      string
	}{
		{"an earlier step", "Blocked by: Cutover", nil, now, "Upcoming"},
		{"an incident", "Blocked by: No incident", nil, now, "Blocked"},
		{"it was begun", "Blocked by: Cutover", &migration.Run{}, now, "Blocked"},
		{"it is late", "Blocked by: Cutover", nil, now.AddDate(0, 0, -3), "Overdue"},
	} {
		s := migration.StepStatus{State: migration.StepBlocked, Why: tc.why, LastRun: tc.run,
			PlanStep: migration.PlanStep{ID: "decommission", Needs: []string{"cutover"}}}
		steps := []migration.StepStatus{cutover, s}
		if got := milestoneStatus(m, tc.event, steps, now).Word; got != tc.want {
			t.Errorf("%s: %q, want %q", tc.rule, got, tc.want)
		}
	}
}

func TestMilestonesThatAreDoneStandBeforeThoseAhead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	done := now.AddDate(0, 0, -2)
	all := []migration.Milestone{
		{Title: "next", At: 24 * time.Hour}, {Title: "early", Step: "a", At: 240 * time.Hour},
		{Title: "undated", Step: "b", At: 300 * time.Hour},
	}
	steps := []migration.StepStatus{
		{PlanStep: migration.PlanStep{ID: "a"}, State: migration.StepDone, DoneAt: &done},
		{PlanStep: migration.PlanStep{ID: "b"}, State: migration.StepDone},
	}
	var got []string
	for _, m := range byDate(all, now, steps, now) {
		got = append(got, m.Title)
	}
	if want := "early, undated, next"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}
