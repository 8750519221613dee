package storybook

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func storyRun(state migration.RunState) migration.Run {
	started := storyTime.Add(-95 * time.Second)
	p := storyPlan()
	p.Gates, p.Guardrails = p.Gates[:2], storyRules()
	r := migration.Run{
		ID: "4b1f09c2aa", MigrationID: "order-pipeline", Step: "cutover", Params: p.Params,
		State: state, Plan: p, RequestedBy: "ada",
		CreatedAt: storyTime.Add(-3 * time.Minute),
	}
	for i, a := range p.Actions {
		ra := migration.RunAction{ActionPlan: a, State: migration.ActionPending}
		if state != migration.RunAwaitingApproval {
			at := started.Add(time.Duration(i) * 4 * time.Second)
			end := at.Add(3200 * time.Millisecond)
			ra.State, ra.StartedAt, ra.FinishedAt = migration.ActionDone, &at, &end
			if i == 2 && state == migration.RunRunning {
				ra.State, ra.FinishedAt, ra.Detail = migration.ActionRunning, nil, "watching for another 3 min 20 s: 212 orders, none lost, none processed twice, no result mismatches"
			}
		}
		r.Actions = append(r.Actions, ra)
	}
	if state != migration.RunAwaitingApproval {
		r.DecidedBy, r.Comment, r.StartedAt = "linus", "numbers look right", &started
	}
	if !state.Open() {
		end := storyTime.Add(-20 * time.Second)
		r.FinishedAt = &end
	}
	return r
}

func runStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	run := func(r migration.Run, who ui.Who) story {
		v := migrationpages.Run{
			MigrationID: mid, MigrationName: "Order pipeline",
			StepTitle: "Cutover", Run: r, Now: storyTime, Who: who,
		}
		if r.Step == migration.StepCutover {
			v.WayBack = storyWayBack()
			v.Flow = &migrationpages.Flow{Key: "live",
				Orders: migration.Share{Target: 253, Orders: 1024}}
		}
		if r.State != migration.RunAwaitingApproval {
			v.Log = []migration.LogLine{
				{
					Seq: 1, At: storyTime.Add(-90 * time.Second), Action: "set-flags",
					Level:   "info",
					Message: "flag revision 18 says live at 50 % (was live at 25 %)",
				},
				{
					Seq: 2, At: storyTime.Add(-89 * time.Second), Action: "await-workers",
					Level: "warn", Message: "waiting for web.2 to switch to flag revision 18 (now on 17)",
				},
				{
					Seq: 3, At: storyTime.Add(-60 * time.Second), Action: "await-workers",
					Level: "error", Message: "<script>alert(1)</script> is only text",
				},
			}
		}
		if r.State == migration.RunSucceeded && (r.Result == nil || r.Result.Undo.Possible) {
			back := storyPlan()
			back.Summary, back.Gates = "Move the queue from live at 50 % to live at 25 %.", nil
			v.RollbackPlan = &back
		}
		if r.Result != nil && r.Step != migration.StepCutover {
			v.StepTitle = ui.Title(strings.ReplaceAll(r.Step, "-", " "))
		}
		if r.Step == "decommission" {
			v.StepTitle = "Decommission the old Redis"
		}
		return story{
			frame: frame("Run", "cutover", "/m/order-pipeline/runs/"+r.ID, who),
			page:  migrationpages.RunPage(v),
		}
	}
	waiting := storyRun(migration.RunAwaitingApproval)
	for _, rule := range waiting.Plan.Guardrails { // nobody has looked at them yet
		waiting.Guardrails = append(waiting.Guardrails, migration.Guardrail{GuardrailRule: rule,
			State: migration.GuardrailUnknown, Since: waiting.CreatedAt})
	}
	out["run-waiting"] = run(waiting, engineer)
	out["run-waiting-viewer"] = run(waiting, viewer)
	two := waiting
	two.Plan.Approval, two.Plan.Irreversible = migration.ApprovalTwo, true
	two.Plan.Actions = append(
		[]migration.ActionPlan{
			{ID: "off", Title: "Power off the old server", Changes: "the server redis-linode"},
		},
		two.Plan.Actions...)
	out["run-own-irreversible"] = run(two, engineer)
	two.RequestedBy = "linus"
	out["run-irreversible"] = run(two, engineer)
	running := storyRun(migration.RunRunning)
	running.Progress = "watching for another 3 min 20 s: 212 orders, none lost, none processed twice, no result mismatches"
	running.Guardrails = storyRails("")
	out["run-running"] = run(running, engineer)
	running.Guardrails = storyRails("answers-target")
	out["run-guardrail-fails"] = run(running, engineer)
	copying := storyRun(migration.RunRunning)
	copying.Actions = []migration.RunAction{
		{
			ActionPlan: migration.ActionPlan{
				ID: "move-queues", Title: "Move each group of queues",
				Changes: "jobs, schedulers and settings leave the source and run on the target",
				Undo:    "moves them back to the source", Pausable: true,
			},
			State: migration.ActionRunning,
		},
	}
	copying.Step, copying.Progress = "move-queues", "emails: copy"
	copying.Plan.Actions = []migration.ActionPlan{copying.Actions[0].ActionPlan}
	out["run-copy-begins"] = run(copying, engineer)
	copying.Measure = &migration.Measure{
		What: "emails, invoices", Phase: "copy", Unit: "keys", Done: 41_200, Total: 118_000,
		PerSecond: 7_950, ETASeconds: 31, Changed: 412, FreezeMS: 74, LatencyMS: 2.4,
		BackingOffMS: 3,
	}
	out["run-copying"] = run(copying, engineer)
	copying.PausedBy = "ada"
	out["run-paused"] = run(copying, engineer)
	out["run-paused-viewer"] = run(copying, viewer)
	for name, r := range decommissionStories(t) {
		out[name] = run(r, engineer)
	}
	failed := storyRun(migration.RunFailed)
	failed.Error = "the ledger shows 0 lost, 1 processed twice, 0 different results"
	failed.Guardrails = storyRails("orders")
	failed.Actions[2].State, failed.Actions[0].State = migration.ActionFailed, migration.ActionUndone
	out["run-failed"] = run(failed, engineer)
	watched := storyRun(migration.RunSucceeded)
	watched.Guardrails = storyRails("")
	out["run-done"] = run(watched, engineer)
	tested := func(facts ...evidence.FailoverFacts) migration.Run {
		r := storyRun(migration.RunSucceeded)
		r.Step, r.Actions = "sentinel-test", slices.Clone(r.Actions)
		for i, f := range facts {
			r.Actions[i].Output = rawFacts(t, f)
			if !f.FirstAddMS.Within(evidence.FailoverLimitMS) {
				came := results()["sentinel-test"]
				r.Result = &came
			}
		}
		return r
	}
	out["run-failover"] = run(tested(
		evidence.FailoverFacts{
			Kind: "planned", OldMaster: "10.0.0.4:6379", NewMaster: "10.0.0.5:6379",
			ElectionMS: 1164, FirstWriteMS: migration.Measured(1210), FirstAddMS: migration.Measured(1330), Acknowledged: 2002,
		},
		evidence.FailoverFacts{
			Kind: "automatic", OldMaster: "10.0.0.5:6379", NewMaster: "10.0.0.6:6379",
			DetectMS: 2160, ElectionMS: 3290, FirstWriteMS: migration.Measured(3650), FirstAddMS: migration.Measured(4380),
			Acknowledged: 2391, Adds: 210, RunAgain: 1,
		},
	), engineer)
	failedOver := tested(
		evidence.FailoverFacts{
			Kind: "automatic", OldMaster: "10.0.0.5:6379", NewMaster: "10.0.0.6:6379",
			DetectMS: 10_200, ElectionMS: 11_400, FirstWriteMS: migration.Measured(12_100), FirstAddMS: migration.Measured(36_100),
			Acknowledged: 2391, LostAcknowledged: 3, Adds: 120, LostAdds: 1,
		},
	)
	out["run-failover-unseen"] = run(tested(evidence.FailoverFacts{
		Kind: "automatic", OldMaster: "10.0.0.5:6379", NewMaster: "10.0.0.6:6379",
		DetectMS: 2160, ElectionMS: 3290, FirstWriteMS: migration.Measured(3650),
		FirstAddMS: migration.AtLeast(30_000), Acknowledged: 2391,
	}), viewer)
	out["run-failover-late"] = run(failedOver, viewer)
	for step, r := range results() {
		out["run-result-"+step] = run(finished(step, r), engineer)
	}
	out["run-result-moved-back"] = run(movedBack(), engineer)
	gone := storyRun(migration.RunFailed)
	gone.Result = &migration.RunResult{Said: "Failed. 3 actions were undone; nothing of it stays.",
		Now:  []migration.Fact{{Label: "Cutover stage", Value: "live at 25 %"}},
		Undo: migration.ResultUndo{How: "Nothing to roll back: the run did not succeed."}}
	out["run-result-failed"] = run(gone, engineer)
	return out
}
