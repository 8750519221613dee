package webhookretry

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// retried is what the record of one event says.
func retried(o ledger.RetryStory, provider string, kept bool) evidence.RetriedOrder {
	r := evidence.RetriedOrder{Order: o.Order, Event: o.Event, Provider: provider, Kept: kept,
		Applied: o.Applied}
	first := -1
	for i, d := range o.Deliveries {
		switch {
		case first < 0 && (kept || d.Status == 503):
			first, r.RejectedAt = i, time.UnixMilli(d.At).UTC()
		case first >= 0 && !kept && r.RetryMS.IsZero():
			r.RetryMS = migration.Measured(d.At - o.Deliveries[first].At)
		}
	}
	if o.Recovered || kept && o.RecoveredAfterMS > 0 {
		r.AcceptedMS = migration.Measured(o.RecoveredAfterMS)
	}
	return r
}

// result lists what became of each order.
func result(run migration.Run) migration.RunResult {
	f, ok := migration.OutputOf[evidence.RetryFacts](run, "follow")
	if !ok || f.Refused+f.Kept == 0 {
		return migration.RunResult{Said: "No order was followed to its end."}
	}
	var out migration.RunResult
	if f.Refused > 0 {
		out.Said = fmt.Sprintf("%s rejected with 503, %d redelivered, %d applied once.",
			migration.Count(f.Refused, "order was", "orders were"), f.Recovered, f.AppliedOnce)
		out.Compare("Redelivered by the provider", fmt.Sprintf("all %d", f.Refused),
			fmt.Sprint(f.Recovered), migration.Truth(f.Recovered == f.Refused))
		out.Compare("Applied once", fmt.Sprintf("all %d", f.Refused), fmt.Sprint(f.AppliedOnce),
			migration.Truth(f.AppliedOnce == f.Refused))
		out.Tell("Slowest until accepted", "%s", longest(f.LongestMS))
	}
	if f.Kept > 0 {
		if out.Said == "" {
			out.Said = fmt.Sprintf("%s kept by the durable intake, %d applied once.",
				migration.Count(f.Kept, "order was", "orders were"), f.KeptApplied)
		}
		out.Compare("Kept by the durable intake, then applied", fmt.Sprintf("all %d", f.Kept),
			fmt.Sprint(f.KeptApplied), migration.Truth(f.KeptApplied == f.Kept))
	}
	out.None("Processed twice", f.AppliedTwice)
	for _, p := range f.Providers {
		if p.Refused+p.Kept == 0 {
			out.Compare(p.Provider, "at least 1 order", "not observed: none of its orders came",
				migration.Unknown)
		}
	}
	if len(f.Orders) > 0 {
		out.Lists = append(out.Lists, orders(f.Orders))
	}
	return out
}

func longest(ms int64) string {
	if ms <= 0 {
		return migration.Figure{}.Text(migration.Millis)
	}
	return migration.Millis(ms)
}

func orders(all []evidence.RetriedOrder) migration.ResultList {
	l := migration.ResultList{Title: "Rejected orders", Columns: []string{"Order", "Provider",
		"Rejected at", "First retry after", "Accepted after", "Applied"}}
	for _, o := range all {
		first := o.RetryMS.Text(migration.Millis)
		if o.Kept {
			first = "kept by the durable intake"
		}
		at := "not observed"
		if !o.RejectedAt.IsZero() {
			at = o.RejectedAt.UTC().Format(time.TimeOnly) + " UTC"
		}
		l.Rows = append(l.Rows, migration.ResultRow{Verdict: migration.Truth(o.Applied == 1),
			Cells: []string{o.Order, o.Provider, at, first, o.AcceptedMS.Text(migration.Millis),
				migration.Count(o.Applied, "time")}})
	}
	return l
}
