package storybook

import (
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/web/queuepages"
	"github.com/switchyard-dev/switchyard/workflows"
)

var inAnHour, first = storyTime.Add(time.Hour), storyTime.Add(-3 * time.Second)

func queueStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	counts := func(n int64) map[string]int64 {
		return map[string]int64{
			"waiting": n, "active": 2, "delayed": 14, "failed": 1, "completed": 1000,
		}
	}
	out["queues"] = queueStory(queuepages.QueuesPage(queuepages.Queues{
		MigrationID: mid, Now: storyTime,
		Charts: storyCharts("/m/"+mid+"/queues", 360, charts.Queues()...),
		Board: migration.QueueBoard{At: storyTime, Sides: []migration.QueueSide{
			{
				Endpoint: migration.Endpoint{
					Side: "source", Endpoint: "sentinel", Address: "10.0.0.5:6379",
				},
				Queues: []migration.Queue{
					{
						Queue: "order-ingestion", Pending: 4051, OldestJobAgeMS: 42_000,
						States: counts(4035),
					},
					{Queue: "order-ingestion-shadow", States: counts(0), Paused: true},
				},
				Looking: "other queues are still being looked for: " +
					"120000 of about 1000000 keys read",
			},
			{
				Endpoint: migration.Endpoint{
					Side: "target", Endpoint: "managed",
					Address: "orders-bullmq.example.com:6380",
					Error:   "redis does not answer within 2 s",
				},
			},
		}},
	}))
	depth := bullmq.QueueSurvey{
		Queue: bullmq.Queue{Name: "mail"},
		Counts: bullmq.Counts{
			Queue: "mail", Version: "5.81.5", Waiting: 4035, Delayed: 14, Completed: 1000,
			Paused: true,
		},
		Layout: "5",
		Workers: []bullmq.WorkerConn{
			{Name: "fixture", Addr: "10.0.0.9:51234"},
		},
		DelayedFirst: &inAnHour, DelayedLast: &inAnHour,
		DelayedOver: map[string]int64{"within a day": 14}, Retrying: 3,
		Schedulers: []bullmq.Scheduler{
			{ID: "digest", Pattern: "0 9 * * *", TZ: "Europe/Berlin", Next: inAnHour},
			{ID: "n:::60000", EveryMS: 60_000, Next: inAnHour, Legacy: true, PendingMissing: true},
		},
		FlowParents: 3, FlowChildren: 6, TiedTo: []bullmq.Queue{{Name: "render"}},
		DedupCount: 2, DedupNext: 1,
		RateLimit: &bullmq.RateLimit{Max: 10, Duration: time.Second}, Limited: true,
		LimitedEver: true, Concurrency: 5, HashesWithoutIndex: 1, IndexedWithoutHash: 1,
		Examples: []string{"evt_1Q2w3E", "evt_9Z8y7X"}, StalledCount: 1,
		Stalled: []string{"evt_stalled"}, MemoryBytes: 7_300_000,
		MemoryNote: "MEMORY USAGE of the lists and of 4052 jobs",
		Payload: bullmq.Distribution{
			Sampled: 4052, P50: 812, P95: 2100, P99: 9800, Max: 61_000,
		},
	}
	out["queue"] = queueStory(queuepages.QueuePage(
		queuepages.QueueDetail{
			MigrationID: mid, Now: storyTime,
			Detail: workflows.QueueDetail{
				Queue: "mail", At: storyTime,
				Sides: []workflows.QueueView{
					{
						Side: "source", Endpoint: "sentinel", At: &first, Queue: &depth,
					}, {Side: "target", Endpoint: "managed", At: &first}},
			},
		},
	))
	out["cutover-report"] = queueStory(queuepages.CutoverReportPage(
		queuepages.CutoverReport{
			MigrationID: mid, Now: storyTime,
			Report: workflows.CutoverReport{At: first, Lines: []workflows.ReportLine{
				{
					ID: "delayed", Title: "Delayed jobs", Queue: "order-ingestion",
					Severity: workflows.SeverityBlocks,
					Measured: "14, due from 2026-11-20T10:00:00Z to 2026-11-21T10:00:00Z; 3 of " +
						"them wait for another try",
					Clear: "they move with the step Move the remaining jobs once the cutover is " +
						"complete; before that, wait for them",
				},
				{
					ID: "empty", Title: "Dangling job IDs", Queue: "mail",
					Severity: workflows.SeverityBlocks,
					Measured: "1, which BullMQ would run with empty data",
					Clear:    "find the orders in the ledger, then remove the IDs",
					Examples: []string{"evt_1Q2w3E"},
				},
				{
					ID: "target", Title: "Target can be read",
					Measured: "is being read for the first time; 120000 of about 1000000 keys read",
					Clear:    "make the server reachable, or wait until it has been read",
				},
				{
					ID: "limits", Title: "Limits that apply to each side separately",
					Queue: "mail", Severity: workflows.SeverityCareful,
					Measured: "10 jobs in 1s for the queue",
					Clear: "halve them for the dual run where external services cannot handle " +
						"twice as much",
				},
				{
					ID: "ledger", Title: "Order ledger",
					Severity: workflows.SeverityClear,
					Measured: "5 000 acknowledged, none lost, none twice",
				}}},
		},
	))
	out["cutover-report-ready"] = queueStory(queuepages.CutoverReportPage(
		queuepages.CutoverReport{
			MigrationID: mid, Now: storyTime,
			Report: workflows.CutoverReport{
				At: first, Ready: true,
				Lines: []workflows.ReportLine{
					{
						ID: "ledger", Title: "Order ledger",
						Severity: workflows.SeverityClear,
						Measured: "5 000 acknowledged, none lost, none twice",
					}},
			},
		},
	))
	return out
}

func queueStory(page templ.Component) story {
	return story{frame: frame("Queues", "queues", "/m/order-pipeline/queues", engineer), page: page}
}
