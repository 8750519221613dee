package storybook

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func storyOverview(t *testing.T) migration.Overview {
	t.Helper()
	p, err := plan.Parse(
		plan.Initiative(),
		[]string{
			"audit", "fix-policy", "sentinel-move", "sentinel-test", "provision",
			"breaker-drill", "webhook-retry", "cutover", "dual-write-validation",
			"move-queues", "move-residue", "decommission",
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	off, on := false, true
	latest := map[string]migration.Evidence{}
	seen := func(ago time.Duration, check, source string, facts any) {
		latest[check] = migration.Evidence{
			ID: 7, Check: check, Proof: migration.Observed, Source: source,
			ObservedAt: storyTime.Add(-ago), Facts: rawFacts(t, facts), RunID: "4b1f09c2aa",
			Subject: migration.Empty(),
		}
	}
	seen(2*time.Minute, evidence.Policy, "CONFIG GET maxmemory-policy",
		evidence.PolicyFacts{Nodes: []evidence.NodePolicy{
			{Node: "10.0.0.4:6379", Policy: "noeviction", ReadBy: "CONFIG GET"},
			{Node: "10.0.0.5:6379", Policy: "noeviction", ReadBy: "CONFIG GET"},
		}})
	seen(20*time.Minute, evidence.Readiness, "SENTINEL MASTERS",
		evidence.ReadinessFacts{
			Master: "10.0.0.5:6379",
			Checks: []migration.Gate{{ID: "quorum", Title: "Quorum", OK: true}},
		})
	seen(3*time.Hour, evidence.Failover, "canary writes during a failover",
		evidence.FailoverFacts{
			Kind: "automatic", OldMaster: "10.0.0.4:6379", NewMaster: "10.0.0.5:6379",
			ElectionMS: 3200, FirstWriteMS: migration.Measured(4100), FirstAddMS: migration.Measured(4400), Acknowledged: 812,
		})
	seen(4*time.Second, evidence.Attestation, "worker attestation",
		evidence.AttestationFacts{Producers: []evidence.ProducerOptions{{
			Instance: "web.1", Queue: "order-ingestion", Endpoint: "sentinel",
			EnableOfflineQueue: &off, CommandTimeoutMS: 2000, SkipWaitingForReady: &on,
		}}})
	attested := latest[evidence.Attestation]
	attested.Proof = migration.Attested
	latest[attested.Check] = attested
	seen(26*time.Hour, evidence.Drill, "faults injected into the producer's connection",
		evidence.DrillFacts{
			Recovered: true,
			Cases: []evidence.DrillCase{
				{Fault: "frozen server", Status: 200, MS: 9100, LimitMS: 5000},
			},
		})
	seen(26*time.Hour, evidence.Retries, "deliveries refused and followed",
		evidence.RetryFacts{
			Refused: 40, Recovered: 40, AppliedOnce: 40, LongestMS: 61300,
			Providers: []evidence.ProviderRetries{
				{
					Provider: "Stripe", Refused: 38, Recovered: 38, AppliedOnce: 38,
					LongestMS: 61300, WindowSeconds: 259_200, Proof: "documented",
				},
				{
					Provider: "ClickFunnels 2.0", Refused: 2, Recovered: 2, AppliedOnce: 2,
					LongestMS: 15200, WindowSeconds: 4875, Proof: "community",
				},
				{Provider: "COPE", Proof: "observed"},
			},
		})
	m := migration.Migration{
		ID: "order-pipeline", Name: "Order pipeline", Plan: p,
		EventDate: storyTime.Add(4 * 24 * time.Hour).Truncate(24 * time.Hour),
		CreatedBy: "ada",
	}
	o := migration.Overview{
		Migration: m, Plan: p,
		Routing: migration.Routing{
			Stage: migration.StageLive, Ramp: 25, Source: migration.SourceSentinel,
			Revision: 17,
		},
		Checklist: evidence.Evaluate(p, still(latest)),
		Phase:     "Cutting over: live at 25 %", At: storyTime,
		Orders: migration.LedgerFacts{
			Orders: 18402, Acknowledged: 18391, Fulfilled: 18388, Pending: 3,
		},
		Workers: []migration.Worker{
			{
				Instance: "web.1", Service: "ingestion", Version: "1.0.0", BullMQ: "6.7.0",
				Revision: 17, SeenAt: storyTime.Add(-time.Second),
			},
		},
		NextSteps: []migration.NextStep{
			{
				Verb: "start", Step: "cutover",
				Params: migration.Params{To: migration.StageLive, Ramp: 50},
				Title:  "Cutover: move to live at 50 %",
				Why:    "The target becomes primary for 50 % of orders.",
			},
			{
				Verb: "start", Step: "breaker-drill", Title: "Circuit-breaker drill",
				Why: "Cuts and freezes the producer's connection and checks what webhooks get " +
					"in the meantime.",
			},
		},
	}
	states := map[string]migration.StepState{
		"cutover": migration.StepActive, "breaker-drill": migration.StepFailed,
		"dual-write-validation": migration.StepTodo, "move-queues": migration.StepTodo,
		"move-residue": migration.StepBlocked, "decommission": migration.StepBlocked,
		"fix-policy": migration.StepSkipped,
	}
	for n, s := range p.Steps {
		st := migration.StepStatus{PlanStep: s, State: migration.StepDone}
		if state, ok := states[s.ID]; ok {
			st.State = state
		}
		switch st.State {
		case migration.StepDone:
			at := storyTime.Add(time.Duration(n-len(p.Steps)) * 19 * time.Hour)
			st.DoneAt = &at
		case migration.StepBlocked:
			st.Why = "Blocked by: Dual-write validation"
			if need, ok := p.Step(s.Needs[len(s.Needs)-1]); ok {
				st.Why = "Blocked by: " + need.Title
			}
		case migration.StepFailed:
			st.Why = "frozen server: status 200 after 9100 ms (limit: 503 within 5000 ms)"
		case migration.StepSkipped:
			st.Why = "the policy is already noeviction"
		case migration.StepActive:
			st.Why = "Stage: live at 25 %"
		}
		o.Steps = append(o.Steps, st)
	}
	return o
}

func overviewStories(t *testing.T) map[string]story {
	t.Helper()
	o := storyOverview(t)
	out := map[string]story{}
	out["overview"] = story{
		frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer),
		page:  migrationpages.Overview(o, storyFlow(), storyTime, engineer),
	}
	waiting := storyRun(migration.RunAwaitingApproval)
	o2 := o
	o2.OpenRun, o2.NextSteps = &waiting, []migration.NextStep{
		{
			Verb: "approve", Step: "cutover", RunID: waiting.ID,
			Title: "Approve: Cutover to live at 50 %",
			Why:   "Review the plan, then approve or reject.",
		},
	}
	out["overview-viewer"] = story{
		frame: frame("Order pipeline", "overview", "/m/order-pipeline", viewer),
		page:  migrationpages.Overview(o2, storyFlow(), storyTime, viewer),
	}
	bare := o
	bare.Checklist, bare.NextSteps, bare.Orders, bare.Workers = evidence.Evaluate(
		o.Plan, still(nil),
	), nil, migration.LedgerFacts{}, nil
	out["overview-empty"] = story{
		frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer),
		page:  migrationpages.Overview(bare, storyFlow(), storyTime, engineer),
	}
	alarmed := o
	alarmed.Alerts = storyAudit().Alerts
	out["overview-alert"] = story{
		frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer),
		page:  migrationpages.Overview(alarmed, storyFlow(), storyTime, engineer),
	}
	loss, since := storyTime.Add(4*time.Minute+12*time.Second), storyTime.Add(-9*time.Minute)
	trouble := o
	trouble.Headline = migration.Headline{
		Level: migration.Incident, About: mid + "/outage/stripe", Runbook: "alert-outage",
		Title: "Stripe: 27 orders were rejected and have not been redelivered; the first is " +
			"lost at 14:09 UTC on 2026-11-23",
		First: "Get the app to accept orders again before the providers stop retrying.",
		Since: &since, FirstLoss: &loss, More: 2, At: storyTime,
		AtRisk: []string{"27 orders were rejected and have not been redelivered"},
	}
	trouble.NextSteps = []migration.NextStep{{
		Verb: "start", Step: "cutover", Params: migration.Params{To: migration.StageShadow},
		Title: "Cutover: move back to shadow",
		Why:   "The way back is always open and needs no approval.",
	}}
	incident := frame("Order pipeline", "overview", "/m/order-pipeline", engineer)
	incident.Headline = &trouble.Headline
	out["overview-incident"] = story{
		frame: incident, page: migrationpages.Overview(trouble, storyFlow(), storyTime, engineer),
	}
	unseen := frame("Plan", "plan", "/m/order-pipeline/plan", engineer)
	unseen.Updates, unseen.Headline = false, &migration.Headline{
		Level: migration.Attention, At: storyTime,
		Title:   "No known incident, but not everything is being watched",
		First:   "Look into what is not known: order ledger: the journal cannot be read.",
		Unknown: []string{"order ledger: the journal cannot be read"},
	}
	out["plan-unwatched"] = story{frame: unseen, page: migrationpages.PlanPage(
		migrationpages.Plan{
			MigrationID: mid, Plan: o.Plan, EventDate: o.Migration.EventDate,
			Roadmap: workflows.Roadmap{Steps: o.Steps}, Now: storyTime,
		},
	)}
	var judged []migrationpages.Judged
	for _, f := range o.Checklist[1].Findings {
		judged = append(judged, migrationpages.Judged{
			Evidence: *f.Evidence, Verdict: migration.Met, Measured: f.Measured,
		})
	}
	out["evidence"] = story{
		frame: frame(
			"Evidence", "overview", "/m/order-pipeline/evidence/sentinel-failover",
			engineer,
		),
		page: migrationpages.EvidencePage(
			migrationpages.Evidence{MigrationID: mid, Item: o.Checklist[1],
				Steps: []migration.PlanStep{
					o.Plan.Steps[2], o.Plan.Steps[3],
				}, History: judged, Now: storyTime},
		),
	}
	// The same plan with three failover tests in a row, of which two were made.
	repeated := o.Plan
	repeated.Criteria = slices.Clone(o.Plan.Criteria)
	repeated.Criteria[1].Requires = slices.Clone(o.Plan.Criteria[1].Requires)
	last := *o.Checklist[1].Findings[1].Evidence
	before := last
	before.RunID, before.ObservedAt = "09c2aa4b1f", last.ObservedAt.Add(-24*time.Hour)
	repeated.Criteria[1].Requires[1].MinCount = 3
	several := still(map[string]migration.Evidence{
		evidence.Readiness: *o.Checklist[1].Findings[0].Evidence,
		evidence.Failover:  last,
	})
	several.History = map[string][]migration.Evidence{evidence.Failover: {last, before}}
	row := evidence.Evaluate(repeated, several)
	out["evidence-row"] = story{
		frame: frame(
			"Evidence", "overview", "/m/order-pipeline/evidence/sentinel-failover",
			engineer,
		),
		page: migrationpages.EvidencePage(
			migrationpages.Evidence{MigrationID: mid, Item: row[1],
				Steps: []migration.PlanStep{
					o.Plan.Steps[2], o.Plan.Steps[3],
				}, History: judged, Now: storyTime},
		),
	}
	o.Plan.Owner = "grace"
	o.Plan.Freeze = &migration.Freeze{From: -72 * time.Hour, Until: 24 * time.Hour,
		Why: "no changes around the event"}
	o.Plan.Milestones[1].Owner = "ada"
	r := storyReport(t, false)
	out["plan"] = story{
		frame: frame("Plan", "plan", "/m/order-pipeline/plan", engineer),
		page: migrationpages.PlanPage(
			migrationpages.Plan{
				MigrationID: mid, Plan: o.Plan, EventDate: o.Migration.EventDate,
				Roadmap: workflows.Roadmap{Steps: o.Steps, Forecast: r.Forecast,
					Waivers: r.Waivers},
				Now: storyTime,
			},
		),
	}
	return out
}

// still is what verdicts rest on where nothing has changed since the evidence.
func still(latest map[string]migration.Evidence) evidence.Basis {
	return evidence.Basis{At: storyTime, Latest: latest,
		World: migration.World(nil).Look(storyTime, migration.Empty())}
}
