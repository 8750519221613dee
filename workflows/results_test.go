package workflows

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

func TestAFinishedRunSaysWhatItCameToAndHowItIsUndone(t *testing.T) {
	t.Parallel()
	n := newNotes()
	looks := n.act("look", nil)
	looks.Undo, looks.Changes = nil, ""
	one, two := step("one", migration.ApprovalNone, n.act("a", nil)),
		step("two", migration.ApprovalNone, n.act("b", nil))
	one.Result = func(r migration.Run) migration.RunResult {
		said, _ := migration.OutputOf[string](r, "a")
		return migration.RunResult{Said: said, Short: "half of it"}
	}
	reads := step("reads", migration.ApprovalNone, looks)
	broken := step("broken", migration.ApprovalNone, n.act("c", nil), n.act("d", fails))
	b := openBench(t, settings(t.TempDir()), planOf(true, one, two, reads, broken), one, two, reads,
		broken)
	result := func(id string) migration.RunResult {
		t.Helper()
		run, back, err := b.RunResult(t.Context(), id)
		ok(t, err)
		if run.Result == nil || (back != nil) != run.Result.Undo.Possible {
			t.Fatalf("%+v, %+v", run.Result, back)
		}
		return *run.Result
	}
	says := func(rule, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
	}
	first := b.awaitState(t, b.begin(t, "one").ID, migration.RunSucceeded)
	r := result(first.ID)
	says("its own words", r.Said, "output of a")
	says("it can be undone", r.Undo.Until, "until Step two is done, or the cutover begins")
	if !r.Undo.Possible || r.Next == nil || r.Undo.Command != "switchyard run rollback "+first.ID {
		t.Errorf("%+v", r)
	}
	o, err := b.Overview(t.Context(), mid)
	ok(t, err)
	if s := o.Steps[0]; s.State != migration.StepDone || s.Short != "half of it" || s.DoneAt == nil {
		t.Errorf("the overview: %+v", s)
	}
	second := b.awaitState(t, b.begin(t, "two").ID, migration.RunSucceeded)
	// Every list says it in the same words.
	found, err := b.FindRuns(t.Context(), mid, RunFilter{Limit: 10})
	ok(t, err)
	ofStep, err := b.Runs(t.Context(), mid, "one", 10)
	ok(t, err)
	whole, _, err := b.RunResult(t.Context(), first.ID)
	ok(t, err)
	report, err := b.Report(t.Context(), mid)
	ok(t, err)
	// The page of the plan says of the dates what the report says.
	road, err := b.Roadmap(t.Context(), mid)
	ok(t, err)
	if !reflect.DeepEqual(road.Forecast, report.Forecast) ||
		!reflect.DeepEqual(road.Waivers, report.Waivers) || road.Steps[0].Short != "half of it" {
		t.Errorf("%+v, the report: %+v", road, report)
	}
	if len(found) != 2 || found[0].Lacks != "" || found[1].Lacks != "half of it" ||
		len(ofStep) != 1 || ofStep[0].Lacks != "half of it" || whole.Lacks != "half of it" ||
		len(report.Runs) != 2 || report.Runs[0].Lacks != "half of it" || found[1].Actions != nil {
		t.Errorf("%+v\n%+v\n%+v\n%+v", found, ofStep, whole, report.Runs)
	}
	says("a step depends on it", result(first.ID).Undo.How, "roll it back first")
	back, err := b.Rollback(t.Context(), ada, second.ID)
	ok(t, err)
	b.awaitState(t, back.ID, migration.RunSucceeded)
	says("a roll back", result(back.ID).Said, "is rolled back: 1 action undone")
	if u := result(back.ID).Undo; u.Possible || u.Forward == nil {
		t.Errorf("a roll back offers itself: %+v", u)
	}
	says("it was rolled back", result(second.ID).Undo.How, "Already rolled back")
	b.awaitState(t, b.begin(t, "two").ID, migration.RunSucceeded)
	read := b.awaitState(t, b.begin(t, "reads").ID, migration.RunSucceeded)
	says("it only reads", result(read.ID).Undo.How, "only reads")
	failed := b.awaitState(t, b.begin(t, "broken").ID, migration.RunFailed)
	says("it failed", result(failed.ID).Said, "nothing of it stays")
	says("it failed", result(failed.ID).Undo.How, "did not succeed")
	report, err = b.Report(t.Context(), mid)
	ok(t, err)
	if report.Runs[1].ID != second.ID || report.Runs[1].RolledBackBy != back.ID {
		t.Errorf("%+v", report.Runs)
	}
}

func TestAMoveBackIsUndoneByAMoveOfItsOwn(t *testing.T) {
	t.Parallel()
	s := step(migration.StepCutover, migration.ApprovalOne)
	s.Reverse = func(migration.Run) (migration.Params, error) {
		return migration.Params{To: migration.StageLive, Ramp: 50}, nil
	}
	c := Control{steps: map[string]engine.Step{s.ID: s}}
	for to, back := range map[migration.Params]bool{
		{To: migration.StageShadow}:         true,
		{To: migration.StageLive, Ramp: 25}: true,
		{To: migration.StageLive, Ramp: 75}: false,
		{To: migration.StageRampDown}:       false,
	} {
		run := migration.Run{Step: s.ID, Params: to, State: migration.RunSucceeded,
			Plan: migration.StepPlan{Step: s.ID}}
		if _, got := c.movedBack(run); got != back {
			t.Errorf("to %s: back is %v", to.Move(), got)
		}
		if !back {
			continue
		}
		u, plan, err := c.undo(context.Background(), progress.View{}, run)
		if err != nil || plan != nil || u.Possible || u.Forward == nil ||
			u.Command != "switchyard step start cutover --to live --ramp 50" {
			t.Errorf("to %s: %+v %v", to.Move(), u, err)
		}
		_, err = c.rollbackPlan(context.Background(), progress.View{Runs: []migration.Run{run}}, run)
		wantKind(t, err, migration.Conflict, "moved back")
	}
}

func TestFindingsCountAsTheyWereSeenLast(t *testing.T) {
	t.Parallel()
	audited := migration.RunResult{Lists: []migration.ResultList{{Rows: []migration.ResultRow{
		{Cells: []string{"Eviction", "a:1", "critical", "allkeys-lru"}},
		{Cells: []string{"Big keys", "a:1", "high", "9 MB"}}}}}}
	for _, tc := range []struct{ rule, now, want string }{
		{"nobody looked again", `{}`, "1 critical finding"},
		{"one is solved", `{"nodes":[{"node":"a:1","findings":[{"title":"Eviction","severity":
			"critical","state":"ok"}]}]}`, "1 high finding"},
		{"one is still there", `{"nodes":[{"node":"a:1","findings":[{"title":"Eviction","severity":
			"critical","state":"problem"}]}]}`, "1 critical finding"},
		{"one came since", `{"nodes":[{"node":"b:1","findings":[{"title":"Memory","severity":
			"critical","state":"problem"}]}]}`, "2 critical findings"},
	} {
		var facts evidence.AuditFacts
		ok(t, json.Unmarshal([]byte(tc.now), &facts))
		if got := grave(audited, facts); got != tc.want {
			t.Errorf("%s: %q", tc.rule, got)
		}
	}
}
