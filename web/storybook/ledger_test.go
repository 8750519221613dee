package storybook

import (
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/queuepages"
	"github.com/switchyard-dev/switchyard/workflows"
)

// ms is a moment before the stories' time, as the ledger writes it.
func ms(ago time.Duration) int64 { return storyTime.Add(-ago).UnixMilli() }

func laneOf(side string, shadow bool, ago time.Duration, fault string) workflows.LedgerLane {
	return workflows.LedgerLane{
		Cursor: ledger.Cursor{
			Lane: ledger.Lane{Side: side, Queue: "order-ingestion", Shadow: shadow},
			Upto: ledger.Position{MS: ms(ago), Seq: 3}, At: ms(ago), Error: fault,
			Entries: 73_608, Adds: 18_402, Open: 3, Closed: 18_399, Retries: 12,
			Based: true,
		},
		Current: fault == "", LagMS: ago.Milliseconds(),
	}
}

// storyMinutes is an hour in which some entries were trimmed before they were read.
func storyMinutes() []ledger.Window {
	const queue = "order-ingestion"
	var minutes []ledger.Window
	for i := range 60 {
		for _, l := range []ledger.Lane{
			{Side: "source", Queue: queue},
			{Side: "source", Queue: queue, Shadow: true},
			{Side: "target", Queue: queue},
		} {
			w := ledger.Window{
				Lane: l, From: storyTime.Add(-time.Duration(i) * time.Minute).UnixMilli(),
				State: ledger.Conclusive, Entries: 1200,
			}
			switch {
			case i == 0:
				w.State = ledger.Running
			case i == 17 || i == 18 && !l.Shadow:
				w.State, w.Reasons = ledger.Inconclusive, []string{
					"212 entries were trimmed before they were read: raise " +
						"streams.events.maxLen in the application",
				}
			case l.Side == "target" && i > 40:
				continue
			}
			minutes = append(minutes, w)
		}
	}
	return minutes
}

func storyExceptions() []ledger.Exception {
	return []ledger.Exception{
		{
			Queue: "order-ingestion", Job: "stripe_evt_1Q2w3E", Verdict: ledger.Loss,
			At: ms(2 * time.Minute),
			Detail: "waiting on source, then its data is gone while its id is wait: a worker " +
				"would run it with empty data",
		},
		{
			Queue: "order-ingestion", Job: "stripe_evt_9Z8y7X", Verdict: ledger.Mismatch,
			At: ms(9 * time.Minute),
			Detail: "the worker on target got data 44136fa355b3678a, what was sent is " +
				"9f86d081884c7d65",
		},
		{
			Queue: "order-ingestion", Job: "stripe_<script>alert(1)</script>",
			Verdict: ledger.Late, At: ms(4 * time.Minute),
			Detail: "not ended 5m10s after it was added or due, the limit is 5m0s: waiting on " +
				"source",
		},
		{
			Queue: "order-ingestion", Job: "stripe_evt_5T4r3E", Verdict: ledger.Double,
			At: ms(3 * time.Hour), Detail: "completed 2 times: 2 on source",
			SettledBy: "the application's record: it took effect once",
			SettledAt: ms(3*time.Hour - time.Minute),
		},
	}
}

// storyBook is a ledger that found a lost order and one with another result.
func storyBook() workflows.LedgerOverview {
	return workflows.LedgerOverview{
		At: storyTime, Verdict: workflows.LedgerBroken,
		Reasons: []string{
			"the queues' events show 1 unresolved loss",
			"the queues' events show 1 unresolved mismatch",
			"4 minutes of the last hour are inconclusive: for their orders only the " +
				"application's record speaks",
		},
		Journal: &ledger.Summary{
			Orders: 18402, Acknowledged: 18391, Fulfilled: 18388, Pending: 2, Lost: 1,
			LostIDs: []string{"ord_1"}, Mismatches: 1, DataMismatches: 1,
			MismatchIDs: []string{"ord_2"},
		},
		Open: 6, Windows: storyMinutes(), Exceptions: storyExceptions(),
		Lanes: []workflows.LedgerLane{
			laneOf("source", false, 300*time.Millisecond, ""),
			laneOf("source", true, 4*time.Second, ""),
			laneOf("target", false, 2*time.Minute, "redis does not answer within 2 s"),
		},
		Counts: []workflows.LedgerCount{
			{Verdict: ledger.Loss, Open: 1},
			{Verdict: ledger.Double, Settled: 1},
			{Verdict: ledger.Mismatch, Open: 1},
			{Verdict: ledger.Stray},
			{Verdict: ledger.Ghost},
			{Verdict: ledger.Late, Open: 1, Settled: 214},
		},
	}
}

// cleanBook is the same ledger with nothing wrong.
func cleanBook() workflows.LedgerOverview {
	b := storyBook()
	b.Verdict, b.Reasons, b.Windows, b.Open = workflows.LedgerClean, nil, nil, 0
	b.Lanes = b.Lanes[:2]
	b.Journal = &ledger.Summary{Orders: 18402, Acknowledged: 18391, Fulfilled: 18391}
	b.Counts = []workflows.LedgerCount{
		{Verdict: ledger.Loss},
		{Verdict: ledger.Late, Settled: 214},
	}
	return b
}

func ledgerStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	o, book, clean, exceptions := storyOverview(t), storyBook(), cleanBook(), storyExceptions()
	out["ledger"] = ledgerStory(queuepages.LedgerOverviewPage(
		queuepages.Ledger{
			MigrationID: mid, Overview: book, Exceptions: exceptions,
			Total: 217, Now: storyTime,
		},
	))
	out["ledger-clean"] = ledgerStory(queuepages.LedgerOverviewPage(
		queuepages.Ledger{
			MigrationID: mid, Overview: clean,
			Filter: workflows.LedgerFilter{Verdict: "loss", State: "open"},
			Now:    storyTime,
		},
	))
	out["ledger-empty"] = ledgerStory(queuepages.LedgerOverviewPage(
		queuepages.Ledger{
			MigrationID: mid, Now: storyTime,
			Overview: workflows.LedgerOverview{
				At: storyTime, Verdict: workflows.LedgerInconclusive,
				Reasons: []string{"no queue's events have been read yet"},
			},
		},
	))
	out["ledger-order"] = ledgerStory(queuepages.LedgerOrderPage(
		queuepages.LedgerOrder{
			MigrationID: mid, ID: "stripe_evt_9Z8y7X", Now: storyTime,
			Order: workflows.LedgerOrder{ID: "stripe_evt_9Z8y7X", Done: true,
				Journal: &ledger.Story{
					Order: "ord_2", Jobs: []string{"stripe_evt_9Z8y7X"},
					Acknowledged: true, Applied: 1,
					Different: "the worker on target got data 44136fa355b3678a, what was sent " +
						"is 9f86d081884c7d65",
					Moments: []ledger.Moment{
						{At: ms(10 * time.Minute), What: "added to target in stage live"},
						{At: ms(10 * time.Minute), What: "a delivery was answered 200"},
						{
							At:   ms(9*time.Minute + 50*time.Second),
							What: "run on target: applied",
						},
					},
				},
				Lives: []ledger.Life{
					{
						Queue: "order-ingestion", Job: "stripe_evt_9Z8y7X",
						Before: true, Partial: true,
						Stays: [4]*ledger.Stay{
							nil,
							{
								State: "waiting", At: ms(10 * time.Minute),
								AddedAt: ms(10 * time.Minute), Added: 1, Unsure: true,
							},
							{
								State: "completed", At: ms(9 * time.Minute),
								AddedAt: ms(10 * time.Minute), Added: 1, Active: 2,
								Retried: 1, Completed: 1, Result: "9f86d081884c7d65",
							},
							nil,
						},
					},
				},
				Exceptions: []ledger.Exception{exceptions[1], exceptions[3]}},
		},
	))
	out["ledger-unknown"] = ledgerStory(queuepages.LedgerOrderPage(
		queuepages.LedgerOrder{
			MigrationID: mid, ID: "<b>nobody</b>",
			Unknown: `neither the application's journal nor the streams have heard of "<b>nobody</b>"`,
			Now:     storyTime,
		},
	))
	out["overview-ledger-broken"] = story{
		frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer),
		page: templ.Join(
			queuepages.LedgerAlert(mid, book),
			migrationpages.Overview(o, storyFlow(), storyTime, engineer),
		),
	}
	late := clean
	late.Counts = book.Counts[5:]
	out["overview-ledger-late"] = story{
		frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer),
		page: templ.Join(
			queuepages.LedgerAlert(mid, late),
			migrationpages.Overview(o, storyFlow(), storyTime, engineer),
		),
	}
	return out
}

func ledgerStory(page templ.Component) story {
	return story{
		frame: frame("Order ledger", "ledger", "/m/order-pipeline/ledger", viewer),
		page:  page,
	}
}
