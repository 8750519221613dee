package storybook

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

// storyReport is the report of the overview's migration; complete: when all of it is done.
func storyReport(t *testing.T, complete bool) workflows.Report {
	t.Helper()
	o := storyOverview(t)
	usd := func(n float64) *float64 { return &n }
	at := func(ago time.Duration) *time.Time { x := storyTime.Add(-ago); return &x }
	run := func(id, step string, p migration.Params, ago time.Duration) migration.Run {
		return migration.Run{ID: id, Step: step, Params: p, State: migration.RunSucceeded,
			RequestedBy: "ada", DecidedBy: "linus", StartedAt: at(ago),
			FinishedAt: at(ago - time.Minute), Plan: migration.StepPlan{Hash: "7c99696a2e17",
				Actions: []migration.ActionPlan{{ID: "set-flags", Changes: "flags"}}}}
	}
	live := migration.Params{To: migration.StageLive, Ramp: 25}
	in := report.Input{
		View: progress.View{Migration: o.Migration, Checklist: o.Checklist, At: storyTime,
			Routing: o.Routing, Ramp: []int{10, 25, 50, 100}, Runs: []migration.Run{
				run("5c1f09c2bb", migration.StepCutover, live, 3*time.Hour),
				run("4b1f09c2aa", migration.StepSentinelTest, migration.Params{}, 50*time.Hour),
				run("3a1f09c2aa", migration.StepSentinelMove, migration.Params{}, 74*time.Hour),
				run("1a1f09c2aa", migration.StepAudit, migration.Params{}, 300*time.Hour),
			}},
		Orders: report.Orders{Acknowledged: 18391, Processed: 18388, Pending: 3,
			Source: "order ledger: the app's whole journal (attested by the app), checked " +
				"against both servers' events (observed)"},
		Costs: []costs.CostPhase{
			{Title: "Before migration: the single Redis", USD: 24, Complete: true, Lines: []costs.CostLine{
				{What: "The single Redis", USD: usd(24), Proof: migration.Observed}}},
			{Title: "After migration: the managed Redis alone", USD: 20, Complete: true,
				Lines: []costs.CostLine{{What: "Upstash Fixed 1 GB", USD: usd(20),
					Proof: migration.Documented}}},
		},
		Actions: map[string][]migration.RunAction{
			"3a1f09c2aa": {{Output: rawFacts(t, map[string]int{"freeze_ms": 41})}}},
		Failovers: []migration.Evidence{{RunID: "4b1f09c2aa", ObservedAt: *at(50 * time.Hour),
			Facts: rawFacts(t, evidence.FailoverFacts{Kind: "automatic",
				BlockedMS: migration.Measured(4100)})}},
		Rehearsals: []migration.Evidence{{RunID: "2a1f09c2aa", ObservedAt: *at(5 * time.Hour),
			Facts: rawFacts(t, evidence.RollbackFacts{From: "shadow", To: "dual write",
				RollbackMS: 512, Workers: 1})}},
		Incidents: []report.Incident{{Severity: "error", Began: *at(50 * time.Hour),
			Title: "Error replies on 10.0.0.4:6379: no longer OK, during Sentinel failover test",
			Ended: at(50*time.Hour - time.Minute), Acknowledged: "ada: our own test",
			Run: "4b1f09c2aa"}},
		Versions: []report.Version{{What: "ingestion", Version: "1.0.0, BullMQ 6.7.0"}},
	}
	in.View.Migration.CreatedAt = *at(30 * 24 * time.Hour)
	in.View.Waivers = []migration.Waiver{{ID: 1, Member: "worker:ingestion/web.3", By: "linus",
		Why: "it is being scaled down and takes no orders", At: *at(30 * time.Hour),
		Until: storyTime.Add(18 * time.Hour)}}
	if complete {
		in.View.Routing = migration.Routing{Stage: migration.StageComplete,
			Source: migration.SourceNone}
		in.Orders.Processed, in.Orders.Pending = in.Orders.Acknowledged, 0
		for i := range in.View.Checklist {
			proven(&in.View.Checklist[i], *at(4 * time.Minute))
		}
		var done []migration.Run
		for _, s := range o.Plan.Steps {
			done = append(done, run("9d1f"+s.ID[:2], s.ID, migration.Params{}, time.Hour))
		}
		in.View.Runs = append(done, in.View.Runs...)
	}
	r, err := report.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// proven makes an item one that is met.
func proven(i *migration.Item, at time.Time) {
	i.Verdict, i.Why = migration.Met, "every requirement holds"
	for n := range i.Findings {
		i.Findings[n].Verdict = migration.Met
		i.Findings[n].Evidence = &migration.Evidence{Proof: migration.Observed, ObservedAt: at}
	}
}

func reportStories(t *testing.T) map[string]story {
	t.Helper()
	status, closing := storyReport(t, false), storyReport(t, true)
	at := func(title, path string) story {
		return story{frame: frame(title, "report", "/m/order-pipeline/"+path, engineer)}
	}
	with := func(s story, r migrationpages.Report) story {
		s.frame.Stream, s.page = "", migrationpages.ReportPage(r)
		return s
	}
	links := at("Share links", "report/links")
	links.page = migrationpages.ReportLinksPage(migrationpages.ReportLinks{MigrationID: mid,
		Now: storyTime, Who: engineer, Address: "https://switchyard.example.com/share/4f0c2a9d",
		Links: []workflows.ReportLink{
			{ID: 3, Note: "board", By: "ada", At: storyTime, Until: storyTime.Add(168 * time.Hour)},
			{ID: 2, By: "ada", At: storyTime.Add(-72 * time.Hour),
				Until: storyTime.Add(-48 * time.Hour)},
		}})
	shared := with(at("Report", "report"), migrationpages.Report{Report: report.Redacted(status),
		Shared: true})
	shared.bare = true
	return map[string]story{
		"report-status":  with(at("Report", "report"), migrationpages.Report{Report: status}),
		"report-closing": with(at("Report", "report"), migrationpages.Report{Report: closing}),
		"report-shared":  shared,
		"report-links":   links,
	}
}
