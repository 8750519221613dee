package storybook

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/outagepages"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// storyBreaker is an app with enableOfflineQueue: false and nothing else, or one that
// nobody has looked at.
func storyBreaker(seen bool) workflows.BreakerProof {
	at := storyTime.Add(-26 * time.Hour)
	out := workflows.BreakerProof{
		Limits: []workflows.DeadlineProof{
			{
				Provider: "Stripe", MS: 10_000,
				Source: workflows.SourcedText{Text: "10 s", Level: "assumed"},
			},
			{
				Provider: "Shopify", MS: 5000,
				Source: workflows.SourcedText{Text: "5 s", Level: "documented"},
			},
		},
	}
	out.Faults = []workflows.FaultColumn{
		{
			ID: "refused", Title: "Connection refused",
			Meaning: "Redis was killed, or its machine restarts",
		},
		{
			ID: "cold-start", Title: "Cold start while it is down",
			Meaning: "a dyno restarts during the outage",
		},
		{
			ID: "frozen", Title: "Server frozen",
			Meaning: "the machine stalls: connections stand, nothing answers",
		},
		{
			ID: "blackhole", Title: "Packets vanish",
			Meaning: "a network partition: connections stand, nothing arrives",
		},
		{
			ID: "oom", Title: "Memory full",
			Meaning: "maxmemory is reached under noeviction",
		},
		{
			ID: "readonly", Title: "Demoted to a replica",
			Meaning: "a failover happened and the app still holds the old master",
		},
		{
			ID: "reply-lost", Title: "Reply lost after the write",
			Meaning: "the connection breaks between the write and its answer",
		},
	}
	none := workflows.Proven{Verdict: migration.Unknown, Text: "no scan submitted"}
	q := workflows.QueueProof{
		Queue: "order-ingestion", Static: none,
		Attestation: workflows.Proven{
			Verdict: migration.Unknown, Text: "no live worker reports a producer",
		},
		Bench: map[string]workflows.BenchCell{},
	}
	if !seen {
		out.Queues = []workflows.QueueProof{q}
		return out
	}
	q.Static = workflows.Proven{
		Verdict: migration.Unmet,
		Text: "at src/queues.ts:14: commandTimeout is not set, needs 1 to 4500 ms: on a " +
			"frozen or unreachable Redis, add() hangs",
	}
	q.Attestation = workflows.Proven{
		Verdict: migration.Unmet,
		Text: "order-ingestion on sentinel of web.1 has no commandTimeout: an add hangs on a " +
			"frozen server",
	}
	for i, f := range out.Faults {
		k := evidence.BenchCase{
			Queue: q.Queue, Fault: f.ID, Title: f.Title, Status: 503, MS: int64(3 + i),
			LimitMS: 2500, RecoveredMS: migration.Measured(140),
		}
		if f.ID == "cold-start" || f.ID == "frozen" || f.ID == "blackhole" {
			k = evidence.BenchCase{
				Queue: q.Queue, Fault: f.ID, Title: f.Title, MS: 12_000, LimitMS: 2500,
				Hung: true, Enqueued: true,
			}
		}
		ok, why := k.OK()
		cell := workflows.BenchCell{OK: ok, Why: why, Case: k}
		if !ok {
			cell.TooLate = []string{"Stripe", "Shopify"}
		}
		if f.ID != "reply-lost" {
			q.Bench[f.ID] = cell
		}
	}
	reports := workflows.QueueProof{
		Queue:  "reports",
		Static: workflows.Proven{Verdict: migration.Met, Text: "at src/reports.ts:26"},
		Attestation: workflows.Proven{
			Verdict: migration.Met,
			Text: "producer connections that attest enableOfflineQueue: false with a " +
				"commandTimeout, and skipWaitingForReady: 1",
		},
	}
	durable := workflows.QueueProof{
		Queue:       "payments",
		Static:      workflows.Proven{Verdict: migration.Met, Text: "at src/payments.ts:9"},
		Attestation: reports.Attestation, Instance: "web.1",
		Bench: map[string]workflows.BenchCell{}, Intake: map[string]workflows.BenchCell{},
	}
	for i, f := range out.Faults {
		plain := evidence.BenchCase{
			Queue: durable.Queue, Fault: f.ID, Title: f.Title, Status: 503,
			MS: int64(3 + i), LimitMS: 2500, RecoveredMS: migration.Measured(140),
		}
		kept := evidence.BenchCase{
			Queue: durable.Queue, Fault: f.ID, Title: f.Title, Intake: true, Status: 200,
			MS: int64(2 + i), LimitMS: 2500, Enqueued: true, RecoveredMS: migration.Measured(258),
		}
		switch f.ID {
		case "reply-lost":
			plain.Status, plain.Enqueued = 200, true
		case "cold-start":
			kept.Enqueued, kept.Left, kept.RecoveredMS = false, 2, migration.Figure{}
			kept.Note = "redis connection is reconnecting"
		}
		ok, why := plain.OK()
		durable.Bench[f.ID] = workflows.BenchCell{OK: ok, Why: why, Case: plain}
		ok, why = kept.OK()
		durable.Intake[f.ID] = workflows.BenchCell{OK: ok, Why: why, Case: kept}
	}
	invoices := workflows.QueueProof{
		Queue: "invoices", Static: durable.Static, Attestation: reports.Attestation,
		Refused: "queue invoices is none of order-ingestion, payments",
	}
	nightly := workflows.QueueProof{Queue: "nightly", Static: durable.Static, Exempt: true}
	out.Queues = []workflows.QueueProof{q, durable, invoices, reports, nightly}
	out.DrillAt = &at
	out.Live = []workflows.DrillRow{
		{
			Case: evidence.DrillCase{
				Fault: "connections cut and not restored", Queue: q.Queue, Status: 503,
				MS: 3, LimitMS: 2500, Note: "redis connection is reconnecting",
			},
			OK: true,
		},
		{
			Case: evidence.DrillCase{
				Fault: "server frozen", Queue: q.Queue, Status: 200, MS: 4012,
				LimitMS: 2500,
			},
		},
	}
	out.Scan = &workflows.ScanProof{
		At: at, By: "ci",
		Facts: evidence.ScanFacts{
			Source: "shop/ingestion", Commit: "4f1c2aa", Files: 214,
			Findings: []evidence.ScanFinding{
				{
					ID: "1", Role: "queue", Verdict: "PASS", Queue: "reports",
					At:   "src/reports.ts:26",
					Expr: `new Queue("reports", { connection: producing, ...ready })`,
				},
				{
					ID: "2", Role: "queue", Verdict: "FAIL", Queue: "order-ingestion",
					At:   "src/queues.ts:14",
					Expr: `new Queue("order-ingestion", { connection })`,
					Reasons: []string{
						"commandTimeout is not set, needs 1 to 4500 ms: on a frozen or " +
							"unreachable Redis, add() hangs",
					},
					Fix: `new Queue("order-ingestion", { connection: connection.duplicate({ commandTimeout: 2000 }), skipWaitingForReady: true })`,
				},
				{
					ID: "3", Role: "nest-queue", Verdict: "REVIEW",
					At: "src/app.module.ts:40", Expr: "BullModule.registerQueueAsync(…)",
					Reasons: []string{"the options come from a factory of another package"},
				},
				{
					ID: "4", Role: "queue", Verdict: "REVIEW", At: "src/legacy.ts:7",
					Expr: "new Queue(name, options)", DecidedBy: "ada", ConfirmedBy: "ada",
					DecidedUntil: storyTime.AddDate(0, 1, 0),
				}},
		},
	}
	return out
}

func breakerStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	out["breaker"] = story{
		frame: frame("Circuit breaker", "breaker", "/m/order-pipeline/breaker", engineer),
		page: outagepages.BreakerPage(
			outagepages.Breaker{
				MigrationID: mid, Proof: storyBreaker(true), Now: storyTime,
				Criterion: &migration.Item{Verdict: migration.Unmet, Criterion: migration.Criterion{
					ID: "circuit-breaker"}, Findings: []migration.Finding{
					{Evidence: &migration.Evidence{}}}},
				Who: engineer,
			},
		),
	}
	out["breaker-nothing"] = story{
		frame: frame("Circuit breaker", "breaker", "/m/order-pipeline/breaker", viewer),
		page: outagepages.BreakerPage(
			outagepages.Breaker{
				MigrationID: mid, Proof: storyBreaker(false), Now: storyTime,
				Who: viewer,
			},
		),
	}
	return out
}
