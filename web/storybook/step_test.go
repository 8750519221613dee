package storybook

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/workflows"
)

func storyPlan() migration.StepPlan {
	return migration.StepPlan{
		Step: "cutover", Params: migration.Params{To: migration.StageLive, Ramp: 50},
		Summary: "Move the queue from live at 25 % to live at 50 %.",
		Impact: "The target is primary for half of the orders; the other side runs a copy " +
			"without side effects.",
		Approval: migration.ApprovalOne, Hash: strings.Repeat("9f2c51ab", 8),
		Gates: []migration.Gate{
			{
				ID: "fleet", Title: "Workers are on the latest flags", OK: true,
				Measured: "2 live, 0 behind", Limit: "at least one, all on flag revision 17",
			},
			{
				ID: "ledger", Title: "Order ledger", OK: true,
				Measured: "18391 orders, 0 lost, 0 processed twice, 0 mismatches", Limit: "up to date, 0 lost, 0 processed twice, 0 mismatches",
			},
			{
				ID:       "criterion:circuit-breaker",
				Title:    "enableOfflineQueue: false is active on every Queue",
				Measured: "frozen server: status 200 after 9100 ms", Limit: "met",
				Next: "run the step Circuit-breaker drill",
			},
		},
		Actions: []migration.ActionPlan{
			{
				ID: "set-flags", Title: "Set the stage flag to live at 50 %",
				Changes: "the routing flags; orders already assigned to a side stay there",
				Undo:    "sets the previous stage again",
			},
			{
				ID:    "await-workers",
				Title: "Wait until all workers have switched and in-flight jobs have finished",
			},
			{ID: "soak", Title: "Watch the order ledger for a while"},
		},
		Observed: []migration.Fact{
			{Label: "Queue", Value: "order-ingestion"},
			{Label: "Orders a minute", Value: "128"},
		},
	}
}

func storyAudit() workflows.RedisAudit {
	found := func(id string, state audit.State, of audit.Severity, measured string) audit.Finding {
		c := audit.Catalogue()[slices.IndexFunc(audit.Catalogue(), func(k audit.Check) bool { return k.ID == id })]
		f := audit.Finding{
			ID: id, Title: c.Title, Severity: of, State: state, Measured: measured,
			Limit: c.Limit, Why: c.Why, Commands: c.Commands,
		}
		if state == audit.Problem {
			f.Remedy = c.Remedy
		}
		return f
	}
	policy := found("eviction-policy", audit.Problem, audit.Critical, "allkeys-lru (CONFIG GET)")
	policy.Fix = &audit.Fix{
		Settings: []audit.Setting{
			{Name: "maxmemory-policy", From: "allkeys-lru", To: "noeviction"},
		},
		Survives: true,
	}
	ttl := found("queue-ttl", audit.Problem, audit.Critical, "2 of 41200 keys of queues expire")
	ttl.Examples = []string{
		"bull:order-ingestion:evt_1Q2w3E", "bull:order-ingestion:<script>alert(1)</script>",
	}
	r := audit.Report{
		Address: "10.0.0.4:6379", Version: "7.2.4", Role: "master",
		At: storyTime.Add(-3 * time.Minute), Took: 4 * time.Second, Settings: true,
		Findings: []audit.Finding{
			policy, ttl,
			found("timeout", audit.Problem, audit.High, "300 s"),
			found("replication", audit.Problem, audit.Medium, "none"),
			found("tcp-keepalive", audit.Problem, audit.Low, "off"),
			found("latency-monitor", audit.Problem, audit.Info, "off"),
			found("overcommit", audit.Unknown, audit.Medium,
				"no command tells it: run sysctl vm.overcommit_memory on the server's machine"),
			found("evicted-keys", audit.OK, audit.Critical,
				"0 keys evicted since it started 12 days ago"),
			found("persistence", audit.OK, audit.Critical,
				"append-only file, appendfsync everysec"),
		},
	}
	return workflows.RedisAudit{
		RunID: "4b1f09c2aa", At: r.At, Reports: []audit.Report{r},
		NowAt: storyTime.Add(-10 * time.Second),
		Alerts: []migration.Alert{
			{
				Node: "10.0.0.4:6379", Check: "timeout", Title: "Idle timeout",
				Severity: "high", Measured: "300 s",
			},
		},
	}
}

func stepStories(t *testing.T) map[string]story {
	t.Helper()
	o := storyOverview(t)
	out := map[string]story{}
	auditStep := migrationpages.Step{
		MigrationID: mid, Status: o.Steps[0], Now: storyTime, Who: engineer,
		Proves: o.Checklist[:1],
		Plan: migration.StepPlan{
			Step:    "audit",
			Summary: "Read the eviction policy, memory and queues of the source.",
			Impact:  "None: it only reads.", Approval: migration.ApprovalNone, Hash: "aa",
			Actions: []migration.ActionPlan{
				{ID: "read", Title: "Read every server that holds jobs"},
			},
		},
	}
	report := storyAudit()
	auditStep.Audit = &report
	out["step"] = story{
		frame: frame("Audit", "overview", "/m/order-pipeline/steps/audit", engineer),
		page:  migrationpages.StepPage(auditStep),
	}
	fix := migrationpages.Step{
		MigrationID: mid, Status: o.Steps[1], Now: storyTime, Who: engineer,
		Proves: o.Checklist[:1],
		Plan: migration.StepPlan{
			Step: "fix-policy",
			Summary: "Set maxmemory-policy to noeviction on every server that holds jobs, and " +
				"the other settings listed below.",
			Impact: "No interruption.", Approval: migration.ApprovalOne, Hash: "bb",
			Actions: []migration.ActionPlan{
				{
					ID:      "set-noeviction",
					Title:   "Set the settings listed, and read each back",
					Changes: "CONFIG SET, CONFIG REWRITE",
					Undo:    "sets the previous values again",
				},
			},
			Settings: []migration.SettingChange{
				{
					Node: "10.0.0.4:6379", Name: "maxmemory-policy", From: "allkeys-lru",
					To: "noeviction", Check: "eviction-policy",
					Risk: "From then on a full server refuses new jobs instead of deleting " +
						"waiting ones.",
					Survives: true,
				},
				{
					Node: "10.0.0.4:6379", Name: "client-output-buffer-limit",
					From: "normal 1048576 524288 10 slave 268435456 67108864 60 pubsub " +
						"33554432 8388608 60",
					To:    "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
					Check: "output-buffers",
					Risk:  "A client that does not read may take more memory.",
				}},
		},
	}
	out["step-fix"] = story{
		frame: frame(
			"Fix the eviction policy", "overview", "/m/order-pipeline/steps/fix-policy",
			engineer,
		),
		page: migrationpages.StepPage(fix),
	}
	at := slices.IndexFunc(
		o.Steps, func(s migration.StepStatus) bool { return s.PlanStep.ID == "provision" },
	)
	out["step-provision"] = story{
		frame: frame(
			"Provision the managed Redis", "overview", "/m/order-pipeline/steps/provision",
			engineer,
		),
		page: migrationpages.StepPage(
			migrationpages.Step{
				MigrationID: mid, Status: o.Steps[at], Now: storyTime,
				Who: engineer, Exports: []string{"terraform", "helm"},
				Plan: migration.StepPlan{
					Step: "provision", Approval: migration.ApprovalOne, Hash: "cc",
					Summary: "Create or adopt the Upstash database orders-bullmq (Fixed 1 GB, " +
						"us-east-1, TLS, eviction off) and give its address to the app.",
					Impact: "Costs $20 a month from now on (vendor's price list of 2026-08-21). " +
						"The app restarts once with the new address; " +
						"the provider's retries bring back what it misses.",
					Actions: []migration.ActionPlan{
						{
							ID: "database", Title: "Create or adopt the database",
							Changes: "a paid database in the managed service's account",
							Undo: "removes it from Switchyard only; the database stays and is billed " +
								"until you delete it",
						},
					},
					Gates: []migration.Gate{
						{
							ID: "plan", Title: "The plan is Fixed 1 GB",
							Measured: "orders-bullmq is on plan Pay as you go (type \"payg\", " +
								"db_disk_threshold 107374182400 bytes): pay-as-you-go would " +
								"cost about $498 a month at the source's 96 commands/s; " +
								"Fixed 1 GB costs $20 (vendor's price list of 2026-08-21)",
							Limit: "Fixed 1 GB, not pay-as-you-go: BullMQ polls even when " +
								"idle, and every poll is billed",
							Next: "change its plan to Fixed 1 GB in the provider's console, " +
								"or set target.upstash.database_name to a name that does not " +
								"exist yet",
						},
						{
							ID: "request", Title: "The largest payload fits in a request",
							Measured: "not known: the census of the source is being read for " +
								"the first time, 4100 of about 12000 keys read",
							Limit: "10 MiB; half of that where only a sample was measured",
							Next: "wait until the census has been taken (the page Queues " +
								"shows how far it is), then look again",
						},
						{
							ID: "size", Title: "The data fits", OK: true,
							Measured: "214 MiB used on the source, 268 MiB with a quarter to " +
								"grow",
							Limit: "1 GiB, with a quarter to grow",
						},
						{
							ID: "commands", Title: "The command rate fits", OK: true,
							Measured: "96 a second (the highest of 90 now, 96 over the last 41 " +
								"s, 71 on average in the 9 days since it started)",
							Limit: "80 % of 10000 a second, above which the provider delays",
						}},
					Observed: []migration.Fact{
						{
							Label: "Database",
							Value: "orders-bullmq (96ad0856-03b1-4ee7-9666-e81abd0349e1) exists " +
								"(plan payg: type \"payg\", db_disk_threshold 107374182400 " +
								"bytes, state active); it is adopted where it fits",
						},
					},
					ConfigVars: []migration.ConfigVarChange{
						{App: "ingestion", Name: "TARGET_REDIS_URL", Change: "set", Restarts: true},
					},
				},
			},
		),
	}
	out["redis-audit"] = story{
		frame: frame("Redis audit", "overview", "/m/order-pipeline/redis-audit", engineer),
		page: migrationpages.RedisAuditPage(
			migrationpages.RedisAudit{MigrationID: mid, Audit: report, Now: storyTime},
		),
	}
	var cut migration.StepStatus
	for _, s := range o.Steps {
		if s.PlanStep.ID == "cutover" {
			cut = s
		}
	}
	cockpit := storyCharts("/m/"+mid+"/steps/cutover", 360, charts.Cutover()...)
	cockpit.Compact = true
	cutoverStep := migrationpages.Step{
		MigrationID: mid, Status: cut, Params: storyPlan().Params,
		Plan: storyPlan(), Now: storyTime, Who: engineer,
		Runs: []migration.Run{
			storyRun(migration.RunSucceeded), storyRun(migration.RunFailed),
		},
		Cutover: &migrationpages.Cutover{Routing: o.Routing,
			Charts: &cockpit,
			Moves: []migrationpages.Move{
				{
					StageMove: migration.StageMove{To: migration.StageLive, Ramp: 50},
					Kind:      "ramp", Recommended: true, Chosen: true,
				},
				{StageMove: migration.StageMove{To: migration.StageLive, Ramp: 100}, Kind: "ramp"},
				{StageMove: migration.StageMove{To: migration.StageShadow}, Kind: "back"},
			}, Share: &migration.Share{Target: 253, Orders: 1024}},
	}
	cutoverStep.WayBack = storyWayBack()
	cutoverStep.Plan.Guardrails = storyRules()
	cutoverStep.Params.Limits.MaxLatencyMS = 300
	cutoverStep.Cutover.Guardrails = storyRails("")
	cutoverStep.Cutover.Flow = &migrationpages.Flow{Key: "live", Orders: *cutoverStep.Cutover.Share}
	cutoverStep.Cutover.Bounds = []migration.LimitBound{
		{Key: "max_refused", Title: "Refused webhooks, and failed adds to a side",
			Unit: "within 2 min", Configured: 10, Least: 1, Most: 20},
		{Key: "max_latency_ms", Title: "Time to add a job to the target, and response time of the source",
			Unit: "ms", Configured: 1000, Least: 1, Most: 2000},
		{Key: "max_silence_ms", Title: "How long a side may be slower, or its events unread",
			Unit: "ms", Configured: 10_000, Least: 1000, Most: 20_000},
	}
	out["cutover"] = story{
		frame: frame(
			"Cutover", "cutover", "/m/order-pipeline/steps/cutover?to=live&ramp=50",
			engineer,
		),
		page: migrationpages.StepPage(cutoverStep),
	}
	return out
}
