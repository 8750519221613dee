package storybook

import (
	"slices"

	"github.com/switchyard-dev/switchyard/migration"
)

// results are what a run of each step came to, as its step tells it.
func results() map[string]migration.RunResult {
	met, unmet, unseen := migration.Met, migration.Unmet, migration.Unknown
	next := &migration.NextStep{Verb: migration.VerbStart, Step: "provision",
		Title: "Provision the managed Redis", Why: "The queue moves to a database that somebody else looks after."}
	now := []migration.Fact{
		{Label: "Cutover stage", Value: "off"}, {Label: "Source", Value: "Sentinel"},
		{Label: "Automatic failover", Value: "met"},
	}
	figure := func(label, promised, measured string, v migration.Verdict) migration.ResultFigure {
		return migration.ResultFigure{Label: label, Promised: promised, Measured: measured, Verdict: v}
	}
	row := func(v migration.Verdict, cells ...string) migration.ResultRow {
		return migration.ResultRow{Cells: cells, Verdict: v}
	}
	out := map[string]migration.RunResult{
		"sentinel-move": {Said: "Every queue is on the Sentinel deployment, primary 10.0.0.5:6379.",
			Figures: []migration.ResultFigure{
				figure("Writes blocked", "within 1 s", "42 ms", met),
				figure("Workers paused", "a few seconds", "3.4 s", ""),
				figure("Keys on the new primary", "", "118402", ""),
				figure("Jobs that waited at the swap", "", "212", ""),
			},
			Undo: migration.ResultUndo{Possible: true, How: "Roll back run 4b1f09c2aa of sentinel-move.",
				Until: "until Sentinel failover test is done, or the cutover begins"}},
		"sentinel-test": {Said: "The primary is 10.0.0.6:6379.",
			Figures: []migration.ResultFigure{
				figure("Planned: new primary after", "", "1.2 s", ""),
				figure("Planned: first write", "within 30 s", "1.2 s", met),
				figure("Planned: first BullMQ add", "within 30 s", "not observed", unseen),
				figure("Unplanned: detected after", "", "2.2 s", ""),
				figure("Unplanned: first write", "within 30 s", "3.7 s", met),
				figure("Unplanned: first BullMQ add", "within 30 s", "at least 30 s", unmet),
				figure("Unplanned: jobs accepted meanwhile", "each runs", "210, 0 never ran, 1 ran again", met),
			},
			Undo: migration.ResultUndo{How: "Nothing to roll back: the test left nothing behind."}},
		"webhook-retry": {Said: "3 orders were rejected with 503, 2 redelivered, 2 applied once.",
			Figures: []migration.ResultFigure{
				figure("Redelivered by the provider", "all 3", "2", unmet),
				figure("Slowest until accepted", "", "4.1 s", ""),
				figure("PayPal", "at least 1 order", "not observed: none of its orders came", unseen),
			},
			Lists: []migration.ResultList{{Title: "Rejected orders", Columns: []string{"Order", "Provider",
				"Rejected at", "First retry after", "Accepted after", "Applied"},
				Rows: []migration.ResultRow{
					row(met, "evt_1P9a7c", "Stripe", "14:05:02 UTC", "1.8 s", "1.8 s", "1 time"),
					row(met, "evt_1P9a7d", "Stripe", "14:05:02 UTC", "1.9 s", "4.1 s", "1 time"),
					row(unmet, "5510930124", "Shopify", "14:05:03 UTC", "not observed", "not observed", "0 times"),
				}}},
			Undo: migration.ResultUndo{How: "Nothing to roll back: the test left nothing behind."}},
		"breaker-drill": {Said: "19 of 20 faults passed on 2 queues.",
			Figures: []migration.ResultFigure{
				figure("Faults on a disposable Redis", "all 14", "13", unmet),
				figure("Faults on the source", "all 6", "6", met),
				figure("Slowest response", "", "2.1 s", ""),
			},
			Lists: []migration.ResultList{{Title: "Queues and faults",
				Columns: []string{"Queue", "Disposable Redis", "Source"},
				Rows: []migration.ResultRow{row(met, "orders", "7 of 7", "3 of 3"),
					row(unmet, "refunds", "6 of 7", "3 of 3")}}},
			Undo: migration.ResultUndo{How: "Nothing to roll back: the test left nothing behind."}},
		"provision": {Said: "The managed Redis orders (d1f0) is in use as target.",
			Figures: []migration.ResultFigure{
				figure("Plan", "Fixed 1 GB", "fixed_1gb, by the service", met),
				figure("Eviction", "off", "off", met), figure("Price", "", "$20.00 a month (upstash.com/pricing)", ""),
				figure("Commands that BullMQ needs", "all answered", "31 answered, 0 refused", met),
			},
			Undo: migration.ResultUndo{Possible: true, How: "Removes it from Switchyard only; the " +
				"database stays and keeps costing $20 a month.", Until: "until the cutover begins"}},
		"dual-write-validation": {Said: "200 orders compared on both sides in 44 s, 0 mismatches.",
			Figures: []migration.ResultFigure{
				figure("Orders compared", "at least 200", "200 of 200", met), figure("Mismatches", "0", "0", met),
				figure("Lost", "0", "0", met), figure("Watched for", "", "44 s", ""),
			},
			Undo: migration.ResultUndo{How: "Nothing to roll back: this step only reads."}},
		"audit": {Said: "3 servers audited: 1 critical, 0 high, 4 lesser problems, 1 unknown.",
			Short:   "1 critical finding",
			Figures: []migration.ResultFigure{figure("Critical findings", "0", "1", unmet), figure("High findings", "0", "0", met)},
			Lists: []migration.ResultList{{Title: "Critical and high findings",
				Columns: []string{"Finding", "Server", "Severity", "Found"},
				Rows:    []migration.ResultRow{row(unmet, "Eviction policy", "10.0.0.4:6379", "critical", "allkeys-lru")}}},
			Undo: migration.ResultUndo{How: "Nothing to roll back: this step only reads."}},
		"fix-policy": {Said: "1 setting set and read back on 1 server.",
			Lists: []migration.ResultList{{Title: "Settings",
				Columns: []string{"Setting", "Server", "Before", "Now", "After a restart"},
				Rows:    []migration.ResultRow{row("", "maxmemory-policy", "10.0.0.4:6379", "allkeys-lru", "noeviction", "kept")}}},
			Undo: migration.ResultUndo{Possible: true, How: "Sets the previous values again.", Until: "until the cutover begins"}},
		"move-queues": {Said: "1 of 2 groups of queues moved to the target.", Short: "1 of 2 moved",
			Figures: []migration.ResultFigure{figure("Groups moved", "all 2", "1", unmet), figure("Jobs moved", "", "412", "")},
			Lists: []migration.ResultList{{Title: "Queues", Columns: []string{"Queues", "Stood still",
				"Predicted", "Keys", "Jobs", "Carried over late"},
				Rows: []migration.ResultRow{row(met, "emails", "74 ms", "80 ms", "1 180", "412", "2"),
					row(unmet, "invoices", "not moved", "–", "–", "–", "–")}}}},
		"move-residue": {Said: "7 jobs were moved to the target, 0 left on the source.",
			Figures: []migration.ResultFigure{figure("Jobs left", "0", "0", met)}},
		"decommission": {Said: "Nothing answers at 4 of 4 old servers and addresses.", Short: "3 of 4 snapshots taken",
			Figures: []migration.ResultFigure{
				figure("Nobody used them for", "1 h", "1 h", met),
				figure("Backup", "equal to the source", "118402 keys, restored and compared, 0 differences", met),
				figure("Snapshots", "4", "3 of 4 taken", unmet),
			},
			Undo: migration.ResultUndo{How: "This step cannot be undone."}},
		"cutover": {Said: "The queue went from live at 25 % to live at 50 %.",
			Figures: []migration.ResultFigure{
				figure("Workers switched", "", "412 ms", ""),
				figure("Orders with the target as primary", "50 %", "49.2 % (104 of 211 orders)", ""),
				figure("Orders under the stage", "", "212 in 3 min 20 s", ""),
				figure("Lost, processed twice or different", "0", "0", met),
			},
			Undo: migration.ResultUndo{Possible: true, How: "Move the queue from live at 50 % to " +
				"live at 25 %. Moving back needs no approval and takes about 1 s.",
				Until: "until the source is disconnected for decommissioning"}},
	}
	for step, r := range out {
		r.Now, r.Next = now, next
		if r.Undo.How == "" {
			r.Undo.How = "Not now: Cutover has not begun (complete)."
		}
		out[step] = r
	}
	return out
}

// finished is a run of a step that succeeded, with its result.
func finished(step string, r migration.RunResult) migration.Run {
	run := storyRun(migration.RunSucceeded)
	run.Step, run.Actions, run.Result = step, slices.Clone(run.Actions), &r
	if step != migration.StepCutover {
		run.Params = migration.Params{}
	}
	return run
}

// movedBack is a move towards the source: what undoes it is a move of its own.
func movedBack() migration.Run {
	r := results()["cutover"]
	forward := migration.Params{To: migration.StageLive, Ramp: 50}
	r.Said = "The queue went from live at 50 % to live at 25 %."
	r.Undo = migration.ResultUndo{How: "This run moved back. To go forward again, move to live at " +
		"50 %: a move of its own, with its preconditions and approval.", Forward: &forward}
	run := finished(migration.StepCutover, r)
	run.Params.Ramp = 25
	return run
}
