package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func input(t *testing.T) report.Input {
	t.Helper()
	start, end := noon.Add(-time.Hour), noon.Add(-time.Hour+4*time.Second)
	changes := migration.StepPlan{Hash: "h1",
		Actions: []migration.ActionPlan{{ID: "a", Changes: "the primary"}}}
	run := func(id, step, back string) migration.Run {
		return migration.Run{ID: id, Step: step, Plan: changes, Rollback: back,
			State: migration.RunSucceeded, RequestedBy: "ada", DecidedBy: "linus",
			CreatedAt: start, StartedAt: &start, FinishedAt: &end}
	}
	moved := run("r1", migration.StepSentinelMove, "")
	moved.Approvals = []migration.Consent{{By: "grace", Approved: true}, {By: "eve"}}
	read := run("r0", migration.StepAudit, "")
	read.Plan.Actions = nil
	return report.Input{
		View: progress.View{At: noon, Migration: migration.Migration{ID: "orders",
			Name: "Orders", Plan: migration.Plan{Name: "Test"}, EventDate: noon},
			Checklist: migration.Checklist{
				{Criterion: migration.Criterion{ID: "a", Title: "A"}, Verdict: migration.Met,
					Why: "noeviction on 10.0.0.4:6379", Findings: []migration.Finding{
						{Evidence: &migration.Evidence{Proof: migration.Observed,
							ObservedAt: noon.Add(-time.Minute)}},
						{Evidence: &migration.Evidence{Proof: migration.Attested,
							ObservedAt: noon.Add(-time.Hour)}}}},
				{Criterion: migration.Criterion{ID: "b", Title: "B"}, Verdict: migration.Unmet,
					Why: "nothing yet", Next: "look at redis-1.internal:6380"},
			},
			Runs: []migration.Run{run("r2", migration.StepSentinelMove, "r1"), moved, read}},
		Orders: report.Orders{Acknowledged: 3, Processed: 3},
		Actions: map[string][]migration.RunAction{"r1": {
			{Output: raw(t, map[string]any{"freeze_ms": 41})}, {Output: raw(t, "x")}, {}}},
		Failovers: []migration.Evidence{{RunID: "r3", ObservedAt: noon, Facts: raw(t,
			evidence.FailoverFacts{Kind: "automatic", BlockedMS: migration.AtLeast(30_000)})}},
		Rehearsals: []migration.Evidence{{RunID: "r9", ObservedAt: noon, Facts: raw(t,
			evidence.RollbackFacts{From: "shadow", To: "dualwrite", RollbackMS: 500})}},
		Incidents: []report.Incident{{Title: "Late on 10.0.0.4:6379", Severity: "warning"}},
	}
}

func build(t *testing.T, in report.Input) report.Report {
	t.Helper()
	r, err := report.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheReportHoldsWhatWasMeasuredAndNamesTheRest(t *testing.T) {
	t.Parallel()
	r := build(t, input(t))
	first, second := r.Criteria[0], r.Criteria[1]
	if first.Level != migration.Attested || !first.ObservedAt.Equal(noon.Add(-time.Hour)) ||
		second.Level != "" || second.ObservedAt != nil || r.Met != 1 || r.Total != 2 {
		t.Errorf("the weakest and oldest proof counts: %+v", r.Criteria)
	}
	ms := func(n int64) string { return fmt.Sprint(n) }
	if len(r.Stops) != 2 || r.Stops[0].MS.Text(ms) != "at least 30000" || !r.Stops[0].Drill ||
		r.Stops[1].MS.Text(ms) != "41" || r.Stops[1].Run != "r1" {
		t.Errorf("stops: %+v", r.Stops)
	}
	if len(r.Rollbacks) != 2 || r.Rollbacks[0].Run != "r2" ||
		r.Rollbacks[0].MS.Text(ms) != "4000" || r.Rollbacks[1].MS.Text(ms) != "500" {
		t.Errorf("rollbacks: %+v", r.Rollbacks)
	}
	if len(r.Runs) != 2 || r.Runs[0].ID != "r1" ||
		strings.Join(r.Runs[0].ApprovedBy, " ") != "linus grace" ||
		strings.Join(r.Left, "") != "1 run that changed nothing" {
		t.Errorf("runs: %+v, left out: %v", r.Runs, r.Left)
	}
	if r.Kind != report.Status || r.Forecast.Finish != nil {
		t.Errorf("%s, %+v", r.Kind, r.Forecast)
	}
	in := input(t)
	in.View.Checklist = in.View.Checklist[:1]
	in.View.Routing = migration.Routing{Stage: migration.StageComplete, Source: migration.SourceNone}
	if r := build(t, in); r.Kind != report.Closing || len(r.Next) != 0 {
		t.Errorf("every criterion is met: %s, %+v", r.Kind, r.Next)
	}
	in.Actions, in.Failovers = nil, nil
	if r := build(t, in); r.Stops == nil || len(r.Stops) != 0 {
		t.Errorf("no stop was measured: %+v", r.Stops)
	}
}

func TestTheDigestIsOfTheCanonicalJSONWithoutIt(t *testing.T) {
	t.Parallel()
	in := input(t)
	r := build(t, in)
	var plain map[string]json.RawMessage
	if err := json.Unmarshal(raw(t, r), &plain); err != nil {
		t.Fatal(err)
	}
	delete(plain, "digest")
	canonical, err := report.Canonical(plain)
	if err != nil || bytes.ContainsAny(canonical, "\n") {
		t.Fatalf("%s %v", canonical, err)
	}
	sum := sha256.Sum256(canonical)
	if r.Digest != hex.EncodeToString(sum[:]) {
		t.Error("the digest cannot be worked out from the report")
	}
	if again := build(t, input(t)); again.Digest != r.Digest {
		t.Error("the same facts give another digest")
	}
	in.Orders.Lost = 1
	if other := build(t, in); other.Digest == r.Digest {
		t.Error("a lost order leaves the digest as it was")
	}
	got, err := report.Canonical(json.RawMessage(`{"b": 1.50, "a": "<é>", "c": [2, 1]}`))
	if err != nil || string(got) != `{"a":"<é>","b":1.50,"c":[2,1]}` {
		t.Errorf("%s %v", got, err)
	}
}

func TestWhoHasOnlyALinkReadsNoAddressOfAServer(t *testing.T) {
	t.Parallel()
	r := build(t, input(t))
	r.Waivers = []report.Waiver{{Member: "server:[2001:db8::1]:6379", Why: "rediss://db.example"}}
	text := string(raw(t, report.Redacted(r)))
	for _, no := range []string{"10.0.0.4", "6379", "redis-1.internal", "2001:db8", "db.example"} {
		if strings.Contains(text, no) {
			t.Errorf("%q is left in %s", no, text)
		}
	}
	if !strings.Contains(text, "noeviction on (server)") ||
		!strings.Contains(r.Criteria[0].Why, "10.0.0.4:6379") {
		t.Error("the report itself was changed, or more than addresses taken out")
	}
}

func TestAFailoverStopsOrdersUntilTheAppAddsAgain(t *testing.T) {
	t.Parallel()
	ms := func(n int64) string { return fmt.Sprint(n) }
	none := migration.Figure{}
	for _, c := range []struct {
		rule         string
		blocked, add migration.Figure
		what, text   string
	}{
		{"the app needs longer than the servers", migration.Measured(3600), migration.Measured(4200),
			"attested", "4200"},
		{"the servers need longer", migration.Measured(3600), migration.Measured(3000), "blocked",
			"3600"},
		{"adds were never interrupted", migration.Measured(3600), none, "blocked", "3600"},
		{"an add that never came is the longest", migration.Measured(3600), migration.AtLeast(30_000),
			"attested", "at least 30000"},
		{"only the app was seen", none, migration.Measured(4200), "attested", "4200"},
	} {
		in := input(t)
		in.Actions = nil
		in.Failovers = []migration.Evidence{{Facts: raw(t, evidence.FailoverFacts{
			Kind: "automatic", BlockedMS: c.blocked, FirstAddMS: c.add})}}
		got := build(t, in).Stops
		if len(got) != 1 || got[0].MS.Text(ms) != c.text || !strings.Contains(got[0].What, c.what) {
			t.Errorf("%s: %+v", c.rule, got)
		}
	}
}
