package web

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// story is one page with everything on it that a person may see.
type story struct {
	frame Frame
	page  templ.Component
	bare  bool
}

var (
	storyTime = time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	engineer  = Who{Actor: migration.Actor{Name: "ada", Role: migration.RoleEngineer}, CSRF: "token"}
	viewer    = Who{Actor: migration.Actor{Name: "grace", Role: migration.RoleViewer}, CSRF: "token"}
)

func rawFacts(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func storyOverview(t *testing.T) migration.Overview {
	t.Helper()
	p, err := plan.Parse(plan.Initiative(), []string{"audit", "fix-policy", "sentinel-move", "sentinel-test", "provision", "breaker-drill", "webhook-retry", "cutover",
		"dual-write-validation", "move-queues", "move-residue", "decommission"})
	if err != nil {
		t.Fatal(err)
	}
	off, on := false, true
	seen := func(ago time.Duration, check string, proof migration.Proof, source string, facts any) migration.Evidence {
		return migration.Evidence{ID: 7, Check: check, Proof: proof, Source: source, ObservedAt: storyTime.Add(-ago), Facts: rawFacts(t, facts), RunID: "4b1f09c2aa"}
	}
	latest := map[string]migration.Evidence{}
	for _, e := range []migration.Evidence{
		seen(2*time.Minute, evidence.Policy, migration.Observed, "CONFIG GET maxmemory-policy", evidence.PolicyFacts{Nodes: []evidence.NodePolicy{
			{Node: "10.0.0.4:6379", Policy: "noeviction", ReadBy: "CONFIG GET"}, {Node: "10.0.0.5:6379", Policy: "noeviction", ReadBy: "CONFIG GET"}}}),
		seen(20*time.Minute, evidence.Readiness, migration.Observed, "SENTINEL MASTERS", evidence.ReadinessFacts{Master: "10.0.0.5:6379",
			Checks: []migration.Gate{{ID: "quorum", Title: "Quorum", OK: true}}}),
		seen(3*time.Hour, evidence.Failover, migration.Observed, "canary writes during a failover", evidence.FailoverFacts{Kind: "automatic", OldMaster: "10.0.0.4:6379",
			NewMaster: "10.0.0.5:6379", ElectionMS: 3200, FirstWriteMS: 4100, FirstAddMS: 4400, Acknowledged: 812}),
		seen(4*time.Second, evidence.Attestation, migration.Attested, "worker attestation", evidence.AttestationFacts{Producers: []evidence.ProducerOptions{
			{Instance: "web.1", Queue: "order-ingestion", Endpoint: "sentinel", EnableOfflineQueue: &off, CommandTimeoutMS: 2000, SkipWaitingForReady: &on}}}),
		seen(26*time.Hour, evidence.Drill, migration.Observed, "faults injected into the producer's connection", evidence.DrillFacts{Recovered: true,
			Cases: []evidence.DrillCase{{Fault: "frozen server", Status: 200, MS: 9100, LimitMS: 5000}}}),
		seen(26*time.Hour, evidence.Retries, migration.Observed, "deliveries refused and followed", evidence.RetryFacts{Refused: 40, Recovered: 40, AppliedOnce: 40, LongestMS: 61300,
			Providers: []evidence.ProviderRetries{{Provider: "Stripe", Refused: 38, Recovered: 38, AppliedOnce: 38, LongestMS: 61300, WindowSeconds: 259_200, Proof: "documented"},
				{Provider: "ClickFunnels 2.0", Refused: 2, Recovered: 2, AppliedOnce: 2, LongestMS: 15200, WindowSeconds: 4875, Proof: "community"}, {Provider: "COPE", Proof: "observed"}}}),
	} {
		latest[e.Check] = e
	}
	m := migration.Migration{ID: "order-pipeline", Name: "Order pipeline", Plan: p, EventDate: storyTime.Add(4 * 24 * time.Hour).Truncate(24 * time.Hour), CreatedBy: "ada"}
	o := migration.Overview{Migration: m, Plan: p, Routing: migration.Routing{Stage: migration.StageLive, Ramp: 25, Source: migration.SourceSentinel, Revision: 17},
		Checklist: evidence.Evaluate(storyTime, p, latest, nil), Phase: "Cutting over: live at 25 %", At: storyTime,
		Orders:  migration.LedgerFacts{Orders: 18402, Acknowledged: 18391, Fulfilled: 18388, Pending: 3},
		Workers: []migration.Worker{{Instance: "web.1", Service: "ingestion", Version: "1.0.0", BullMQ: "6.7.0", Revision: 17, SeenAt: storyTime.Add(-time.Second)}},
		NextSteps: []migration.NextStep{
			{Verb: "start", Step: "cutover", Params: migration.Params{To: migration.StageLive, Ramp: 50}, Title: "Cut over: move to live at 50 %", Why: "The target gets authority for 50 % of orders."},
			{Verb: "start", Step: "breaker-drill", Title: "Circuit-breaker drill", Why: "Cuts and freezes the producer's connection and looks at what a webhook gets meanwhile."},
		}}
	states := map[string]migration.StepState{"cutover": migration.StepActive, "breaker-drill": migration.StepFailed, "dual-write-validation": migration.StepTodo,
		"move-queues": migration.StepTodo, "move-residue": migration.StepBlocked, "decommission": migration.StepBlocked, "fix-policy": migration.StepSkipped}
	for _, s := range p.Steps {
		st := migration.StepStatus{PlanStep: s, State: migration.StepDone}
		if state, ok := states[s.ID]; ok {
			st.State = state
		}
		switch st.State {
		case migration.StepBlocked:
			st.Why = "needs Dual-write validation"
		case migration.StepFailed:
			st.Why = "frozen server: status 200 after 9100 ms (want 503 within 5000 ms)"
		case migration.StepSkipped:
			st.Why = "the policy is noeviction already"
		case migration.StepActive:
			st.Why = "at live at 25 %"
		}
		o.Steps = append(o.Steps, st)
	}
	return o
}

func storyPlan() migration.StepPlan {
	return migration.StepPlan{Step: "cutover", Params: migration.Params{To: migration.StageLive, Ramp: 50}, Summary: "Move the queue from live at 25 % to live at 50 %.",
		Impact: "For half of the orders the target is the authority; the other side runs a copy without side effects.", Approval: migration.ApprovalOne, Hash: strings.Repeat("9f2c51ab", 8),
		Gates: []migration.Gate{
			{ID: "fleet", Title: "Every live worker follows the flags", OK: true, Measured: "2 workers at revision 17", Limit: "revision 17"},
			{ID: "ledger", Title: "Order ledger", OK: true, Measured: "18 391 acknowledged, 0 lost, 0 twice", Limit: "0 lost, 0 twice"},
			{ID: "criterion:circuit-breaker", Title: "enableOfflineQueue: false is active on every Queue", Measured: "frozen server: status 200 after 9100 ms", Limit: "met",
				Next: "run the step Circuit-breaker drill"},
		},
		Actions: []migration.ActionPlan{
			{ID: "set-flags", Title: "Set the stage flag to live at 50 %", Changes: "the routing flags; orders that are stamped already keep their stamp", Undo: "sets the former stage again"},
			{ID: "await-workers", Title: "Wait until every live worker uses the new flags for everything in flight"},
			{ID: "soak", Title: "Watch the order ledger for a while"},
		},
		Observed: []migration.Fact{{Label: "Queue", Value: "order-ingestion"}, {Label: "Orders a minute", Value: "128"}},
	}
}

func storyAudit() workflows.RedisAudit {
	found := func(id string, state audit.State, severity audit.Severity, measured string) audit.Finding {
		all := audit.Catalogue()
		c := all[slices.IndexFunc(all, func(c audit.Check) bool { return c.ID == id })]
		f := audit.Finding{ID: id, Title: c.Title, Severity: severity, State: state, Measured: measured, Limit: c.Limit, Why: c.Why, Commands: c.Commands}
		if state == audit.Problem {
			f.Remedy = c.Remedy
		}
		return f
	}
	policy := found("eviction-policy", audit.Problem, audit.Critical, "allkeys-lru (CONFIG GET)")
	policy.Fix = &audit.Fix{Settings: []audit.Setting{{Name: "maxmemory-policy", From: "allkeys-lru", To: "noeviction"}}, Survives: true}
	ttl := found("queue-ttl", audit.Problem, audit.Critical, "2 of 41200 keys of queues expire")
	ttl.Examples = []string{"bull:order-ingestion:evt_1Q2w3E", "bull:order-ingestion:<script>alert(1)</script>"}
	r := audit.Report{Address: "10.0.0.4:6379", Version: "7.2.4", Role: "master", At: storyTime.Add(-3 * time.Minute), Took: 4 * time.Second, Settings: true, Findings: []audit.Finding{
		policy, ttl, found("timeout", audit.Problem, audit.High, "300 s"), found("replication", audit.Problem, audit.Medium, "none"), found("tcp-keepalive", audit.Problem, audit.Low, "off"),
		found("latency-monitor", audit.Problem, audit.Info, "off"), found("overcommit", audit.Unknown, audit.Medium, "no command tells it: run sysctl vm.overcommit_memory on the server's machine"),
		found("evicted-keys", audit.OK, audit.Critical, "0 keys evicted since it started 12 days ago"), found("persistence", audit.OK, audit.Critical, "append-only file, appendfsync everysec")}}
	return workflows.RedisAudit{RunID: "4b1f09c2aa", At: r.At, Reports: []audit.Report{r}, NowAt: storyTime.Add(-10 * time.Second),
		Alerts: []migration.Alert{{Node: "10.0.0.4:6379", Check: "timeout", Title: "Idle timeout", Severity: "high", Measured: "300 s"}}}
}

// storyCapacity is three weeks of a shop that grows, half of its prices known.
func storyCapacity() workflows.Capacity {
	var hours []capacity.Hour
	for i := range 21 * 24 {
		at := storyTime.Truncate(time.Hour).Add(time.Duration(i-21*24+1) * time.Hour)
		day := 1 + 0.6*math.Sin(float64(at.Hour())/24*2*math.Pi)
		hours = append(hours, capacity.Hour{Start: at, Seen: time.Hour, Commands: int64(90 * 3600 * day), Calls: int64(21 * 3600 * day), NetBytes: int64(31e6 * day), Peak: 900 * day,
			Memory: 520e6 + int64(i)*400e3, Connections: 84})
	}
	usd := func(v float64) *float64 { return &v }
	limits := capacity.Limits{Memory: 1 << 30, Connections: 10_000, CommandsPerSecond: 10_000, BytesPerMonth: 100 << 30}
	since := hours[0].Start
	rates := capacity.RatesOf(hours)
	managed := workflows.CostLine{What: "Upstash Fixed 1 GB", USD: usd(20), Source: "price list of 2026-08-21"}
	single := workflows.CostLine{What: "The single Redis", USD: usd(7), Source: "Nanode 1GB at Linode, price of 2026-11-23, of which $2.00 for backups"}
	node := func(name string) workflows.CostLine {
		return workflows.CostLine{What: name, USD: usd(5), Source: "Nanode 1GB at Linode, price of 2026-11-23"}
	}
	out := workflows.Capacity{At: storyTime, Phase: workflows.CostInterim, Phases: []workflows.CostPhase{
		{ID: "now", Title: "Now: the single Redis", Lines: []workflows.CostLine{single}, USD: 7, Complete: true},
		{ID: "interim", Title: "Interim: Sentinel, the way back, and the managed Redis from its provisioning on", USD: 37,
			Lines: []workflows.CostLine{single, node("sentinel-1"), node("sentinel-2"), {What: "sentinel-3", Source: "source.sentinel.nodes[2].linode_id is not configured"}, managed}},
		{ID: "after", Title: "After: the managed Redis alone", Lines: []workflows.CostLine{managed}, USD: 20, Complete: true},
	}, PayAsYouGo: &workflows.MeteredCost{Side: "source", Rates: rates, Low: usd(108.86), High: 466.56, Fixed: 20, Enough: true},
		PlanNote: "price list of 2026-08-21; connections as the database tells",
		Sides: []workflows.SideLoad{
			{Side: "source", Endpoint: "sentinel", Since: &since, Rates: rates, Uses: capacity.Uses(hours, limits), Hours: hours},
			{Side: "target", Endpoint: "managed", Error: "the managed Redis did not answer within 3 s", Uses: capacity.Uses(nil, limits)},
		}}
	out.Plan.Title = "Fixed 1 GB"
	return out
}

// storyNotifications is an outage of one provider while mail is down.
func storyNotifications() workflows.Notifications {
	ago := func(d time.Duration) *time.Time { t := storyTime.Add(-d); return &t }
	all := []string{"approval", "change", "alert"}
	outage := "Shopify: 12 orders were refused and have not come back; the first is lost at 14:30 UTC on 2026-11-26"
	return workflows.Notifications{At: storyTime,
		Channels: []workflows.NotificationChannel{
			{Name: "pager", Type: "pagerduty", Events: all, MinSeverity: "error", Sent: 41, SentAt: ago(2 * time.Minute)},
			{Name: "payments-channel", Type: "slack", Events: all, MinSeverity: "warning", Sent: 66, Failed: 1, SentAt: ago(2 * time.Minute), FailedAt: ago(26 * time.Hour), Error: "it answered 429 Too Many Requests: it asks to be sent less"},
			{Name: "leads", Type: "email", Events: []string{"alert"}, MinSeverity: "critical", Sent: 3, Failed: 9, Waiting: 1, SentAt: ago(50 * time.Hour), FailedAt: ago(time.Minute), Error: "the mail server does not let this user in (535): look at username and password"},
			{Name: "ticketing", Type: "webhook", Events: []string{"change"}, MinSeverity: "warning"},
		},
		Alerts: []workflows.NotifiedAlert{
			{Key: "order-pipeline/outage/shopify", Severity: "critical", Title: outage, Text: "Orders: evt_1041, evt_1042, evt_1043, evt_1044, evt_1045, evt_1046, evt_1047, evt_1048, evt_1049, evt_1050 and 2 more. Way back: Take in orders by updated_at from before the outage through the Admin API.",
				Since: storyTime.Add(-70 * time.Minute), Told: []workflows.AlertTold{{Channel: "pager", SentAt: ago(2 * time.Minute)}, {Channel: "payments-channel", SentAt: ago(2 * time.Minute)}, {Channel: "leads"}}},
			{Key: "order-pipeline/capacity/source/connections", Severity: "warning", Title: "The source needs 74 % of what Fixed 1 GB allows: connections", Since: storyTime.Add(-3 * 24 * time.Hour), Told: []workflows.AlertTold{{Channel: "payments-channel", SentAt: ago(3 * 24 * time.Hour)}}},
		},
		Recent: []workflows.NotificationSent{
			{Channel: "leads", Kind: "alert", Severity: "critical", Title: outage, Created: storyTime.Add(-2 * time.Minute), Tries: 2, Error: "the mail server does not let this user in (535): look at username and password"},
			{Channel: "pager", Kind: "alert", Severity: "critical", Title: outage, Created: storyTime.Add(-2 * time.Minute), Tries: 1, SentAt: ago(2 * time.Minute)},
			{Channel: "payments-channel", Kind: "resolve", Severity: "error", Title: "noeviction was met and is unmet", Created: storyTime.Add(-5 * time.Hour), Tries: 1, SentAt: ago(5 * time.Hour)},
			{Channel: "ticketing", Kind: "change", Severity: "info", Title: "Cutover to live 50 % has begun", Created: storyTime.Add(-26 * time.Hour), Tries: 110, GivenUp: true, Error: "it answered 410 Gone: look at the configured address and key"},
			{Channel: "payments-channel", Kind: "approval", Severity: "warning", Title: "Cutover to live 50 % waits for approval", Created: storyTime.Add(-27 * time.Hour), Tries: 1, SentAt: ago(27 * time.Hour)},
		}}
}

// storyOutage is an outage of two hours, or none.
func storyOutage(on bool) workflows.Outage {
	sourced := func(text, level string) workflows.SourcedText {
		return workflows.SourcedText{Text: text, Level: level, URL: "https://example.com/docs", Note: "as of 2026-11"}
	}
	since := storyTime.Add(-2 * time.Hour)
	out := workflows.Outage{At: storyTime, WhatIf: 5 * time.Hour, Prospect: workflows.OutageProspect{Lost: 212, NeedsIt: []string{"Shopify"},
		Advice: "Stripe: orders come late, none is lost. Shopify: orders are lost. Take orders in durably: write each down before the queue, answer success, enqueue later. Shopify need it; a longer 503 does not help."}}
	next, gone := storyTime.Add(21*time.Minute), storyTime.Add(2*time.Hour)
	shopify := workflows.ProviderOutage{Ask: "No token of Shopify is configured: set shopify.shop, and shopify.token with read_orders and read_customers, or hand over an export of it as a file.",
		Sends: true, PerMinute: 1.2, RateFrom: "measured", MeanValue: 49.9, Currency: "EUR", Provider: workflows.ProviderFacts{ID: "shopify", Name: "Shopify", Variant: "subscription by Admin API",
			Success: "any 2xx", Deadline: sourced("5 s", "documented"), Schedule: sourced("8 retries within 4 h", "documented"), NoLoss: sourced("2 h", "documented"), LastTry: sourced("4 h", "assumed"),
			After: sourced("the subscription is deleted", "documented"), Recovery: sourced("Subscribe again, then take in orders by updated_at from before the outage through the Admin API.", "documented"), DedupeBy: sourced("X-Shopify-Event-Id", "documented"),
			Trap: "Retries go to the address that was configured when the event was triggered. Keep the old address answering."},
		Forecast: workflows.Forecast{Verdict: "lost", Refused: 360, Lost: 212, ValueLost: 10578.8, LatestBy: 2 * time.Hour, LosesUntil: "the endpoint is made again", Recovery: "Subscribe again, then take in orders by updated_at.", Confidence: "assumed"}}
	stripe := workflows.ProviderOutage{CanAsk: true, Ask: "Stripe lists the events of the last 30 days.", Sends: true, PerMinute: 0.4, RateFrom: "configured", Provider: workflows.ProviderFacts{ID: "stripe", Name: "Stripe", Variant: "live mode", Success: "any 2xx", Deadline: sourced("10 s", "assumed"),
		Schedule: sourced("13 retries within 3 d", "documented"), NoLoss: sourced("36 h", "documented"), LastTry: sourced("3 d", "assumed"), After: sourced("Stripe may disable the endpoint", "community"),
		Recovery: sourced("List events with delivery_success=false and take in those that are not known.", "documented"), DedupeBy: sourced("event id", "documented"), Trap: "A disabled endpoint stops the retries."},
		Forecast: workflows.Forecast{Verdict: "late", Refused: 120, LatestBy: 160 * time.Minute, Confidence: "assumed"}}
	if on {
		out.Since = &since
		shopify.Missing, shopify.Orders = 141, []string{"gid://shopify/Order/1", "gid://shopify/Order/2"}
		shopify.Clock = &workflows.OutageClock{FirstFailed: since, NextRetry: &next, FirstLoss: gone, Left: 2 * time.Hour, LossBefore: storyTime, AtRisk: 144, ValueAtRisk: 7185.6, RemovedAt: &gone, Removal: "the subscription is deleted", Severity: "critical", Confidence: "assumed"}
	}
	copecart := workflows.ProviderOutage{Ask: "No API of CopeCart is known that lists orders or sends them again. Export the orders of the time from the vendor's pages, or ask support to send the notifications again. What comes of it can be handed over as a file.",
		Provider: workflows.ProviderFacts{ID: "copecart", Name: "CopeCart", Variant: "IPN", Success: "2xx with a body of exactly OK", Deadline: sourced("10 s", "assumed"), Schedule: sourced("10 retries within 3 h", "documented"),
			NoLoss: sourced("1 h 30 min", "documented"), LastTry: sourced("3 h", "assumed"), After: sourced("it stops trying", "documented"), Recovery: sourced("Export the orders of the time from the vendor's pages.", "assumed"),
			DedupeBy: sourced("transaction_id and event_type", "documented"), Trap: "Any other body, such as JSON with a 200, is a failure."},
		Forecast: workflows.Forecast{Verdict: "lost", LatestBy: time.Hour, Recovery: "Export the orders of the time.", Confidence: "assumed"}}
	out.Providers = []workflows.ProviderOutage{shopify, stripe, copecart}
	out.Intake = &workflows.IntakeOutlook{Instances: 2, Durable: 2, MaxBytes: 512 << 20, Bytes: 3 << 20, PerOrder: 8 << 10, Guessed: true, Lasts: 680 * time.Hour}
	if on {
		*out.Intake = workflows.IntakeOutlook{Instances: 2, Durable: 1, Backlog: 144, OldestMS: 7_140_000, Bytes: 300 << 10, MaxBytes: 256 << 20, PerOrder: 2133, Lasts: 1400 * time.Hour}
	}
	return out
}

// storyBreaker is an app with enableOfflineQueue: false and nothing else, or one that nobody has looked at.
func storyBreaker(seen bool) workflows.BreakerProof {
	at := storyTime.Add(-26 * time.Hour)
	out := workflows.BreakerProof{Limits: []workflows.DeadlineProof{{Provider: "Stripe", MS: 10_000, Source: workflows.SourcedText{Text: "10 s", Level: "assumed"}}, {Provider: "Shopify", MS: 5000, Source: workflows.SourcedText{Text: "5 s", Level: "documented"}}}}
	for _, f := range [][3]string{{"refused", "Connection refused", "Redis was killed, or its machine restarts"}, {"cold-start", "Cold start while it is down", "a dyno restarts during the outage"}, {"frozen", "Server frozen", "the machine stalls: connections stand, nothing answers"},
		{"blackhole", "Packets vanish", "a network partition: connections stand, nothing arrives"}, {"oom", "Memory full", "maxmemory is reached under noeviction"}, {"readonly", "Demoted to a replica", "a failover happened and the app still holds the old master"}, {"reply-lost", "Reply lost after the write", "the connection breaks between the write and its answer"}} {
		out.Faults = append(out.Faults, workflows.FaultColumn{ID: f[0], Title: f[1], Meaning: f[2]})
	}
	none := workflows.Proven{Verdict: migration.Unknown, Text: "no scan was submitted"}
	q := workflows.QueueProof{Queue: "order-ingestion", Static: none, Attestation: workflows.Proven{Verdict: migration.Unknown, Text: "no live worker attests a producer of it"}, Bench: map[string]workflows.BenchCell{}}
	if !seen {
		out.Queues = []workflows.QueueProof{q}
		return out
	}
	q.Static = workflows.Proven{Verdict: migration.Unmet, Text: "at src/queues.ts:14: commandTimeout is not set, needs 1 to 4500 ms: on a frozen or unreachable Redis, add() hangs"}
	q.Attestation = workflows.Proven{Verdict: migration.Unmet, Text: "order-ingestion on sentinel of web.1 has no commandTimeout: an add hangs on a frozen server"}
	for i, f := range out.Faults {
		k := evidence.BenchCase{Queue: q.Queue, Fault: f.ID, Title: f.Title, Status: 503, MS: int64(3 + i), LimitMS: 2500}
		if f.ID == "cold-start" || f.ID == "frozen" || f.ID == "blackhole" {
			k = evidence.BenchCase{Queue: q.Queue, Fault: f.ID, Title: f.Title, MS: 12_000, LimitMS: 2500, Hung: true, Enqueued: true}
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
	reports := workflows.QueueProof{Queue: "reports", Static: workflows.Proven{Verdict: migration.Met, Text: "at src/reports.ts:26"}, Attestation: workflows.Proven{Verdict: migration.Met, Text: "producer connections that attest enableOfflineQueue: false with a commandTimeout, and skipWaitingForReady: 1"}}
	durable := workflows.QueueProof{Queue: "payments", Static: workflows.Proven{Verdict: migration.Met, Text: "at src/payments.ts:9"}, Attestation: reports.Attestation, Instance: "web.1",
		Bench: map[string]workflows.BenchCell{}, Intake: map[string]workflows.BenchCell{}}
	for i, f := range out.Faults {
		plain := evidence.BenchCase{Queue: durable.Queue, Fault: f.ID, Title: f.Title, Status: 503, MS: int64(3 + i), LimitMS: 2500}
		kept := evidence.BenchCase{Queue: durable.Queue, Fault: f.ID, Title: f.Title, Intake: true, Status: 200, MS: int64(2 + i), LimitMS: 2500, Enqueued: true, RecoveredMS: 258}
		switch f.ID {
		case "reply-lost":
			plain.Status, plain.Enqueued = 200, true
		case "cold-start":
			kept.Enqueued, kept.Left, kept.RecoveredMS, kept.Note = false, 2, -1, "redis connection is reconnecting"
		}
		for into, k := range map[*map[string]workflows.BenchCell]evidence.BenchCase{&durable.Bench: plain, &durable.Intake: kept} {
			ok, why := k.OK()
			(*into)[f.ID] = workflows.BenchCell{OK: ok, Why: why, Case: k}
		}
	}
	invoices := workflows.QueueProof{Queue: "invoices", Static: durable.Static, Attestation: reports.Attestation, Refused: "queue invoices is none of order-ingestion, payments"}
	out.Queues = []workflows.QueueProof{q, durable, invoices, reports}
	out.DrillAt = &at
	out.Live = []workflows.DrillRow{{Case: evidence.DrillCase{Fault: "connections cut and not coming back", Queue: q.Queue, Status: 503, MS: 3, LimitMS: 2500, Note: "redis connection is reconnecting"}, OK: true},
		{Case: evidence.DrillCase{Fault: "server frozen", Queue: q.Queue, Status: 200, MS: 4012, LimitMS: 2500}}}
	out.Scan = &workflows.ScanProof{At: at, By: "ci", Facts: evidence.ScanFacts{Source: "shop/ingestion", Commit: "4f1c2aa", Files: 214, Findings: []evidence.ScanFinding{
		{ID: "1", Role: "queue", Verdict: "PASS", Queue: "reports", At: "src/reports.ts:26", Expr: `new Queue("reports", { connection: producing, ...ready })`},
		{ID: "2", Role: "queue", Verdict: "FAIL", Queue: "order-ingestion", At: "src/queues.ts:14", Expr: `new Queue("order-ingestion", { connection })`, Reasons: []string{"commandTimeout is not set, needs 1 to 4500 ms: on a frozen or unreachable Redis, add() hangs"},
			Fix: `new Queue("order-ingestion", { connection: connection.duplicate({ commandTimeout: 2000 }), skipWaitingForReady: true })`},
		{ID: "3", Role: "nest-queue", Verdict: "REVIEW", At: "src/app.module.ts:40", Expr: "BullModule.registerQueueAsync(…)", Reasons: []string{"the options come from a factory of another package"}},
		{ID: "4", Role: "queue", Verdict: "REVIEW", At: "src/legacy.ts:7", Expr: "new Queue(name, options)", DecidedBy: "ada", DecidedUntil: storyTime.AddDate(0, 1, 0)}}}}
	return out
}

func storyRun(state migration.RunState) migration.Run {
	started := storyTime.Add(-95 * time.Second)
	p := storyPlan()
	p.Gates = p.Gates[:2]
	r := migration.Run{ID: "4b1f09c2aa", MigrationID: "order-pipeline", Step: "cutover", Params: p.Params, State: state, Plan: p, RequestedBy: "ada",
		CreatedAt: storyTime.Add(-3 * time.Minute)}
	for i, a := range p.Actions {
		ra := migration.RunAction{ActionPlan: a, State: migration.ActionPending}
		if state != migration.RunAwaitingApproval {
			at := started.Add(time.Duration(i) * 4 * time.Second)
			end := at.Add(3200 * time.Millisecond)
			ra.State, ra.StartedAt, ra.FinishedAt = migration.ActionDone, &at, &end
			if i == 2 && state == migration.RunRunning {
				ra.State, ra.FinishedAt, ra.Detail = migration.ActionRunning, nil, "watching for another 3m20s: 212 orders, 0 lost, 0 twice, 0 different"
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

// decommissionStories are a decommission's run at the places where somebody looks at it.
func decommissionStories(t *testing.T) map[string]migration.Run {
	t.Helper()
	ago := func(d time.Duration) time.Time { return storyTime.Add(-d) }
	plans := []migration.ActionPlan{
		{ID: "release", Title: "Tell the app to drop every connection to the source", Changes: "flag source-endpoint: none", Undo: "sets the former source again"},
		{ID: "quiet", Title: "Watch for 3 d that nobody uses the old servers"},
		{ID: "fence", Title: "Fence every old server against writes", Changes: "min-replicas-to-write on every node: writes are refused, scripts too; reads go on", Undo: "lifts the fence", Approval: migration.ApprovalOne},
		{ID: "backup", Title: "Back the source up, restore the backup into a scratch server and compare it with the source"},
		{ID: "fence-window", Title: "Hold the fence until nobody has knocked for 24 h"},
		{ID: "power-off", Title: "Power every old server off", Changes: "the servers stop", Undo: "boots them again", Approval: migration.ApprovalOne},
		{ID: "delete", Title: "Check that nothing answers there, and delete the servers", Changes: "the servers, their disks and their backups at the host are deleted for good", Approval: migration.ApprovalTwo},
	}
	nodes := []evidence.WatchedNode{{Address: "10.0.0.5:6379", Fenced: true}, {Address: "10.0.0.4:6379", Fenced: true, Unseen: "MONITOR: NOPERM this user has no permissions to run the 'monitor' command"}}
	quiet := evidence.WatchFacts{Nodes: []evidence.WatchedNode{{Address: "10.0.0.5:6379", Unseen: "MONITOR is not used here"}}, WindowSeconds: 259200, Began: ago(96 * time.Hour), Since: ago(96 * time.Hour), SeenAt: ago(24 * time.Hour), Over: true,
		Findings: []migration.Gate{{ID: "clients", Title: "Nobody but Switchyard is connected or sends commands", OK: true, Measured: "nobody", Limit: "nobody"},
			{ID: "writes", Title: "No write", OK: true, Measured: "0 writes", Limit: "0 writes"}, {ID: "residue", Title: "Nothing is left on the source", OK: true, Measured: "0 jobs in 4 queues", Limit: "0 jobs in every queue"}}}
	backup := evidence.BackupFacts{File: "backups/source-4b1f09c2aa.rdb", Method: "replication", TakenAt: ago(23 * time.Hour), Seconds: 5.9, Keys: 100_009, Bytes: 18_021_253, SHA256: "3b68263999897cff9b91679fb03458f8ed6303c50b6cdffab1544bfe57655525",
		Verified: true, Restored: true, Compared: 100_009}
	fence := evidence.WatchFacts{Nodes: nodes, WindowSeconds: 86400, Began: ago(23 * time.Hour), Since: ago(40 * time.Second), SeenAt: ago(time.Second), Knocks: []evidence.Knock{
		{Node: "10.0.0.5:6379", Addr: "10.0.7.21:51544", Name: "bull:cmVwb3J0cw==", User: "default", Library: "ioredis 5.4.1", Command: "evalsha", Times: 4, Refused: 812, Connected: true, FirstSeen: ago(22 * time.Hour), LastSeen: ago(time.Second)},
		{Node: "10.0.0.5:6379", Addr: "10.0.7.40:40112", Name: "<script>alert(1)</script>", User: "cron", Command: "get", Times: 1, FirstSeen: ago(5 * time.Hour), LastSeen: ago(5 * time.Hour)},
		{Node: "10.0.0.4:6379", Command: "lpush", Times: 2, Refused: 2, FirstSeen: ago(3 * time.Hour), LastSeen: ago(40 * time.Second)}}}
	calm := fence
	calm.Knocks, calm.Since = nil, ago(9*time.Hour+20*time.Minute)
	over := calm
	over.Knocks, over.Over = fence.Knocks[1:2], true
	at := func(state migration.RunState, done int, fence evidence.WatchFacts) migration.Run {
		r := storyRun(migration.RunRunning)
		r.Step, r.Params, r.State, r.Progress = "decommission", migration.Params{}, state, ""
		r.Plan = migration.StepPlan{Step: "decommission", Summary: "Release the app from the source, prove that it is quiet, fence it, back it up, power every old server off and delete it.",
			Impact: "Deleted for good: the single Redis, every Sentinel node, their disks and backups at the host.", Approval: migration.ApprovalOne, Irreversible: true, Actions: plans, Hash: strings.Repeat("ab12", 4)}
		r.Approvals = []migration.Consent{{Action: "fence", Approved: true, By: "ada", Comment: "everybody is at their desks", At: ago(24 * time.Hour)}}
		r.Actions = nil
		for i, p := range plans {
			a := migration.RunAction{ActionPlan: p, State: migration.ActionPending}
			if i <= done {
				began, end := ago(time.Duration(24-i)*time.Hour), ago(time.Duration(23-i)*time.Hour)
				a.State, a.StartedAt, a.FinishedAt = migration.ActionDone, &began, &end
			}
			switch {
			case p.ID == "quiet":
				a.Output = rawFacts(t, quiet)
			case p.ID == "backup":
				a.Output = rawFacts(t, backup)
			case p.ID == "fence-window":
				a.Output = rawFacts(t, fence)
			}
			if p.ID == "fence-window" && !fence.Over {
				a.State, a.FinishedAt = migration.ActionRunning, nil
			}
			r.Actions = append(r.Actions, a)
		}
		return r
	}
	off := at(migration.RunAwaitingApproval, 4, over)
	gone := at(migration.RunAwaitingApproval, 5, over)
	gone.Approvals = append(gone.Approvals, migration.Consent{Action: "power-off", Approved: true, By: "ada", At: ago(time.Hour)})
	second := gone
	second.RequestedBy = "linus"
	loud := at(migration.RunFailed, 0, calm)
	noisy := quiet
	noisy.Over, noisy.Knocks = false, fence.Knocks[:2]
	noisy.Findings = []migration.Gate{{ID: "clients", Title: "Nobody but Switchyard is connected or sends commands", Measured: `10.0.7.21:51544 named "bull:cmVwb3J0cw==" on 10.0.0.5:6379 (user default, last command evalsha, ioredis 5.4.1)`, Limit: "nobody", Next: "stop these apps or point them at the target, then start the decommission again"},
		{ID: "events", Title: "No queue's events went on", Measured: "new entries in reports (1795702831838-0)", Limit: "no new entry", Next: "an app still adds or runs jobs there: stop it, and move what it added"}}
	loud.Actions = loud.Actions[:2]
	loud.Actions[1].State, loud.Actions[1].Output = migration.ActionFailed, rawFacts(t, noisy)
	loud.Error = "Watch for 3 d that nobody uses the old servers: the old servers are not quiet"
	plain := at(migration.RunRunning, 3, calm)
	unrestored := backup
	unrestored.Method, unrestored.File, unrestored.Restored, unrestored.NotRestored, unrestored.Why = "dump", "backups/source-4b1f09c2aa.dump", false, "redis-server is not installed on Switchyard's machine", ""
	plain.Actions[3].Output = rawFacts(t, unrestored)
	return map[string]migration.Run{"run-decommission-knocks": at(migration.RunRunning, 3, fence), "run-decommission-fence": plain, "run-decommission-power-off": off,
		"run-decommission-delete": gone, "run-decommission-delete-second": second, "run-decommission-loud": loud}
}

func stories(t *testing.T) map[string]story {
	t.Helper()
	o := storyOverview(t)
	frame := func(title, section, path string, who Who) Frame {
		return Frame{Title: title, Section: section, Path: path, Stream: "/events?topic=overview", MigrationID: o.Migration.ID, MigrationName: o.Migration.Name, Who: who,
			Version: "1.0.0", Now: storyTime}
	}
	out := map[string]story{}
	out["overview"] = story{frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer), page: Overview(o, storyTime, engineer)}
	waiting := storyRun(migration.RunAwaitingApproval)
	o2 := o
	o2.OpenRun, o2.NextSteps = &waiting, []migration.NextStep{{Verb: "approve", Step: "cutover", RunID: waiting.ID, Title: "Approve: Cut over by flag to live at 50 %", Why: "Look at what will happen, then approve or reject."}}
	out["overview-viewer"] = story{frame: frame("Order pipeline", "overview", "/m/order-pipeline", viewer), page: Overview(o2, storyTime, viewer)}
	bare := o
	bare.Checklist, bare.NextSteps, bare.Orders, bare.Workers = evidence.Evaluate(storyTime, o.Plan, nil, nil), nil, migration.LedgerFacts{}, nil
	out["overview-empty"] = story{frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer), page: Overview(bare, storyTime, engineer)}

	auditStep := Step{MigrationID: o.Migration.ID, Status: o.Steps[0], Now: storyTime, Who: engineer, Proves: o.Checklist[:1],
		Plan: migration.StepPlan{Step: "audit", Summary: "Read the eviction policy, memory and queues of the source.", Impact: "None: it only reads.", Approval: migration.ApprovalNone, Hash: "aa",
			Actions: []migration.ActionPlan{{ID: "read", Title: "Read every server that holds jobs"}}}}
	report := storyAudit()
	auditStep.Audit = &report
	out["step"] = story{frame: frame("Audit", "overview", "/m/order-pipeline/steps/audit", engineer), page: StepPage(auditStep)}
	fix := Step{MigrationID: o.Migration.ID, Status: o.Steps[1], Now: storyTime, Who: engineer, Proves: o.Checklist[:1],
		Plan: migration.StepPlan{Step: "fix-policy", Summary: "Set maxmemory-policy to noeviction on every server that holds jobs, and the other settings listed below.", Impact: "No interruption.",
			Approval: migration.ApprovalOne, Hash: "bb", Actions: []migration.ActionPlan{{ID: "set-noeviction", Title: "Set the settings listed, and read each back", Changes: "CONFIG SET, CONFIG REWRITE", Undo: "sets the former values again"}},
			Settings: []migration.SettingChange{
				{Node: "10.0.0.4:6379", Name: "maxmemory-policy", From: "allkeys-lru", To: "noeviction", Check: "eviction-policy", Risk: "From then on a full server refuses new jobs instead of deleting waiting ones.", Survives: true},
				{Node: "10.0.0.4:6379", Name: "client-output-buffer-limit", From: "normal 1048576 524288 10 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
					To: "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", Check: "output-buffers", Risk: "A client that does not read may take more memory."}}}}
	out["step-fix"] = story{frame: frame("Fix the eviction policy", "overview", "/m/order-pipeline/steps/fix-policy", engineer), page: StepPage(fix)}
	at := slices.IndexFunc(o.Steps, func(s migration.StepStatus) bool { return s.PlanStep.ID == "provision" })
	out["step-provision"] = story{frame: frame("Provision the managed Redis", "overview", "/m/order-pipeline/steps/provision", engineer), page: StepPage(Step{MigrationID: o.Migration.ID, Status: o.Steps[at], Now: storyTime, Who: engineer,
		Plan: migration.StepPlan{Step: "provision", Approval: migration.ApprovalOne, Hash: "cc", Summary: "Create or adopt the Upstash database orders-bullmq (Fixed 1 GB, us-east-1, TLS, eviction off) and give its address to the app.",
			Impact:  "Costs $20 a month from now on (vendor's price list of 2026-08-21; the initiative said $15). The app restarts once with the new address; the provider's retries bring back what it misses.",
			Actions: []migration.ActionPlan{{ID: "database", Title: "Create or adopt the database", Changes: "a paid database in the managed service's account", Undo: "forgets the database; it stays and is billed until somebody deletes it"}},
			Gates: []migration.Gate{
				{ID: "plan", Title: "The plan is Fixed 1 GB", Measured: "orders-bullmq is on plan Pay as you go (type \"payg\", db_disk_threshold 107374182400 bytes): pay-as-you-go would cost about $498 a month at the source's 96 commands/s; Fixed 1 GB costs $20 (prices of 2026-08-21)",
					Limit: "Fixed 1 GB, not pay-as-you-go: BullMQ polls even when idle, and every poll is billed", Next: "change its plan to Fixed 1 GB in the provider's console, or set target.upstash.database_name to a name that does not exist yet"},
				{ID: "request", Title: "The largest payload fits in a request", Measured: "not known: the census of the source is being read for the first time, 4100 of about 12000 keys read", Limit: "10.0 MB; half of that where only a sample was measured",
					Next: "wait until the census has been taken (the page Queues shows how far it is), then look again"},
				{ID: "size", Title: "The data fits", OK: true, Measured: "214.0 MB used on the source, 267.5 MB with a quarter to grow", Limit: "1.00 GB, with a quarter to grow"},
				{ID: "commands", Title: "The command rate fits", OK: true, Measured: "96 a second (the highest of 90 now, 96 over the last 41 s, 71 on average in the 9 days since it started)", Limit: "80 % of 10000 a second, above which the provider delays"}},
			Observed:   []migration.Fact{{Label: "Database", Value: "orders-bullmq (96ad0856-03b1-4ee7-9666-e81abd0349e1) exists (plan payg: type \"payg\", db_disk_threshold 107374182400 bytes, state active); it is adopted where it fits"}},
			ConfigVars: []migration.ConfigVarChange{{App: "ingestion", Name: "TARGET_REDIS_URL", Change: "set", Restarts: true}}}})}
	out["redis-audit"] = story{frame: frame("Redis audit", "overview", "/m/order-pipeline/redis-audit", engineer), page: RedisAuditPage(RedisAudit{MigrationID: o.Migration.ID, Audit: report, Now: storyTime})}
	out["capacity"] = story{frame: frame("Cost and capacity", "capacity", "/m/order-pipeline/capacity", viewer), page: CapacityPage(Capacity{MigrationID: o.Migration.ID, Capacity: storyCapacity(), Now: storyTime})}
	out["capacity-empty"] = story{frame: frame("Cost and capacity", "capacity", "/m/order-pipeline/capacity", viewer), page: CapacityPage(Capacity{MigrationID: o.Migration.ID, Now: storyTime,
		Capacity: workflows.Capacity{Sides: []workflows.SideLoad{{Side: "source", Uses: capacity.Uses(nil, capacity.Limits{})}, {Side: "target", Error: "the managed Redis is not provisioned yet", Uses: capacity.Uses(nil, capacity.Limits{})}}}})}
	out["outage"] = story{frame: frame("Outage clock", "outage", "/m/order-pipeline/outage", engineer), page: OutagePage(Outage{MigrationID: o.Migration.ID, Outage: storyOutage(true), Now: storyTime, Who: engineer})}
	out["outage-none"] = story{frame: frame("Outage clock", "outage", "/m/order-pipeline/outage", viewer), page: OutagePage(Outage{MigrationID: o.Migration.ID, Outage: storyOutage(false), Now: storyTime})}
	out["breaker"] = story{frame: frame("Circuit breaker", "breaker", "/m/order-pipeline/breaker", engineer), page: BreakerPage(Breaker{MigrationID: o.Migration.ID, Proof: storyBreaker(true), Now: storyTime, Who: engineer})}
	out["breaker-nothing"] = story{frame: frame("Circuit breaker", "breaker", "/m/order-pipeline/breaker", viewer), page: BreakerPage(Breaker{MigrationID: o.Migration.ID, Proof: storyBreaker(false), Now: storyTime, Who: viewer})}
	alarmed := o
	alarmed.Alerts = report.Alerts
	out["overview-alert"] = story{frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer), page: Overview(alarmed, storyTime, engineer)}
	var cut migration.StepStatus
	for _, s := range o.Steps {
		if s.PlanStep.ID == "cutover" {
			cut = s
		}
	}
	cutoverStep := Step{MigrationID: o.Migration.ID, Status: cut, Params: storyPlan().Params, Plan: storyPlan(), Now: storyTime, Who: engineer,
		Runs: []migration.Run{storyRun(migration.RunSucceeded), storyRun(migration.RunFailed)},
		Cutover: &Cutover{Routing: o.Routing, Moves: []Move{
			{StageMove: migration.StageMove{To: migration.StageLive, Ramp: 50}, Kind: "ramp", Recommended: true, Chosen: true},
			{StageMove: migration.StageMove{To: migration.StageLive, Ramp: 100}, Kind: "ramp"},
			{StageMove: migration.StageMove{To: migration.StageShadow}, Kind: "back"},
		}, Share: &migration.Share{Target: 253, Orders: 1024}}}
	out["cutover"] = story{frame: frame("Cut over", "cutover", "/m/order-pipeline/steps/cutover?to=live&ramp=50", engineer), page: StepPage(cutoverStep)}

	run := func(r migration.Run, who Who) story {
		v := Run{MigrationID: o.Migration.ID, MigrationName: o.Migration.Name, StepTitle: "Cut over by flag", Run: r, Now: storyTime, Who: who}
		if r.State != migration.RunAwaitingApproval {
			v.Log = []migration.LogLine{
				{Seq: 1, At: storyTime.Add(-90 * time.Second), Action: "set-flags", Level: "info", Message: "flag revision 18 says live at 50 % (was live at 25 %)"},
				{Seq: 2, At: storyTime.Add(-89 * time.Second), Action: "await-workers", Level: "warn", Message: "web.2 is still at revision 17"},
				{Seq: 3, At: storyTime.Add(-60 * time.Second), Action: "await-workers", Level: "error", Message: "<script>alert(1)</script> is only text"},
			}
		}
		if r.State == migration.RunSucceeded {
			back := storyPlan()
			back.Summary, back.Gates = "Move the queue from live at 50 % to live at 25 %.", nil
			v.RollbackPlan = &back
		}
		if r.Step == "decommission" {
			v.StepTitle = "Decommission the old Redis"
		}
		return story{frame: frame("Run", "cutover", "/m/order-pipeline/runs/"+r.ID, who), page: RunPage(v)}
	}
	out["run-waiting"] = run(waiting, engineer)
	out["run-waiting-viewer"] = run(waiting, viewer)
	two := waiting
	two.Plan.Approval, two.Plan.Irreversible = migration.ApprovalTwo, true
	two.Plan.Actions = append([]migration.ActionPlan{{ID: "off", Title: "Power off the old server", Changes: "the server redis-linode"}}, two.Plan.Actions...)
	out["run-own-irreversible"] = run(two, engineer)
	two.RequestedBy = "linus"
	out["run-irreversible"] = run(two, engineer)
	running := storyRun(migration.RunRunning)
	running.Progress = "watching for another 3m20s: 212 orders, 0 lost, 0 twice, 0 different"
	out["run-running"] = run(running, engineer)
	copying := storyRun(migration.RunRunning)
	copying.Actions = []migration.RunAction{{ActionPlan: migration.ActionPlan{ID: "move-queues", Title: "Move each group of queues", Changes: "jobs, schedulers and settings leave the source and run on the target",
		Undo: "moves them back to the source", Pausable: true}, State: migration.ActionRunning}}
	copying.Step, copying.Progress = "move-queues", "emails: copy"
	copying.Measure = &migration.Measure{What: "emails, invoices", Phase: "copy", Unit: "keys", Done: 41_200, Total: 118_000, PerSecond: 7_950, ETASeconds: 31, Changed: 412, FreezeMS: 74, LatencyMS: 2.4, BackingOffMS: 3}
	out["run-copying"] = run(copying, engineer)
	copying.PausedBy = "ada"
	out["run-paused"] = run(copying, engineer)
	out["run-paused-viewer"] = run(copying, viewer)
	for name, r := range decommissionStories(t) {
		out[name] = run(r, engineer)
	}
	failed := storyRun(migration.RunFailed)
	failed.Error = "the ledger shows 0 lost, 1 applied twice, 0 different results"
	failed.Actions[2].State, failed.Actions[0].State = migration.ActionFailed, migration.ActionUndone
	out["run-failed"] = run(failed, engineer)
	out["run-done"] = run(storyRun(migration.RunSucceeded), engineer)
	tested := func(facts ...evidence.FailoverFacts) migration.Run {
		r := storyRun(migration.RunSucceeded)
		r.Step, r.Actions = "sentinel-test", slices.Clone(r.Actions)
		for i, f := range facts {
			r.Actions[i].Output = rawFacts(t, f)
		}
		return r
	}
	out["run-failover"] = run(tested(
		evidence.FailoverFacts{Kind: "planned", OldMaster: "10.0.0.4:6379", NewMaster: "10.0.0.5:6379", ElectionMS: 1164, FirstWriteMS: 1210, FirstAddMS: 1330, Acknowledged: 2002},
		evidence.FailoverFacts{Kind: "automatic", OldMaster: "10.0.0.5:6379", NewMaster: "10.0.0.6:6379", DetectMS: 2160, ElectionMS: 3290, FirstWriteMS: 3650,
			FirstAddMS: 4380, Acknowledged: 2391, Adds: 210, RunAgain: 1}), engineer)
	failedOver := tested(evidence.FailoverFacts{Kind: "automatic", OldMaster: "10.0.0.5:6379", NewMaster: "10.0.0.6:6379", DetectMS: 10_200,
		ElectionMS: 11_400, FirstWriteMS: 12_100, FirstAddMS: 36_100, Acknowledged: 2391, LostAcknowledged: 3, Adds: 120, LostAdds: 1})
	out["run-failover-late"] = run(failedOver, viewer)

	oldest := storyTime.Add(-42 * time.Second)
	counts := func(n int64) []StateCount {
		return []StateCount{{"waiting", n}, {"active", 2}, {"delayed", 14}, {"prioritized", 0}, {"failed", 1}, {"completed", 1000}}
	}
	out["queues"] = story{frame: frame("Queues", "queues", "/m/order-pipeline/queues", engineer), page: QueuesPage(Queues{MigrationID: o.Migration.ID, At: storyTime, Now: storyTime, Sides: []QueueSide{
		{Side: "source", Endpoint: "sentinel", Address: "10.0.0.5:6379", Queues: []Queue{{Name: "order-ingestion", Pending: 4051, Oldest: &oldest, States: counts(4035)}, {Name: "order-ingestion-shadow", States: counts(0), Paused: true}},
			Looking: "other queues are still being looked for: 120000 of about 1000000 keys read"},
		{Side: "target", Endpoint: "managed", Address: "orders-bullmq.example.com:6380", Error: "redis does not answer within 2 s"},
	}})}
	inAnHour, first := storyTime.Add(time.Hour), storyTime.Add(-3*time.Second)
	depth := bullmq.QueueSurvey{Queue: bullmq.Queue{Name: "mail"}, Counts: bullmq.Counts{Queue: "mail", Version: "5.81.5", Waiting: 4035, Delayed: 14, Completed: 1000, Paused: true}, Layout: "5",
		Workers: []bullmq.WorkerConn{{Name: "fixture", Addr: "10.0.0.9:51234"}}, DelayedFirst: &inAnHour, DelayedLast: &inAnHour, DelayedOver: map[string]int64{"within a day": 14}, Retrying: 3,
		Schedulers:  []bullmq.Scheduler{{ID: "digest", Pattern: "0 9 * * *", TZ: "Europe/Berlin", Next: inAnHour}, {ID: "n:::60000", EveryMS: 60_000, Next: inAnHour, Legacy: true, PendingMissing: true}},
		FlowParents: 3, FlowChildren: 6, TiedTo: []bullmq.Queue{{Name: "render"}}, DedupCount: 2, DedupNext: 1, RateLimit: &bullmq.RateLimit{Max: 10, Duration: time.Second}, Limited: true, LimitedEver: true,
		Concurrency: 5, HashesWithoutIndex: 1, IndexedWithoutHash: 1, Examples: []string{"evt_1Q2w3E", "evt_9Z8y7X"}, StalledCount: 1, Stalled: []string{"evt_stalled"}, MemoryBytes: 7_300_000,
		MemoryNote: "MEMORY USAGE of the lists and of 4052 jobs", Payload: bullmq.Distribution{Sampled: 4052, P50: 812, P95: 2100, P99: 9800, Max: 61_000}}
	queueStory := func(name string, page templ.Component) {
		out[name] = story{frame: frame("Queues", "queues", "/m/order-pipeline/queues", engineer), page: page}
	}
	queueStory("queue", QueuePage(QueueDetail{MigrationID: o.Migration.ID, Now: storyTime, Detail: workflows.QueueDetail{Queue: "mail", At: storyTime, Sides: []workflows.QueueView{
		{Side: "source", Endpoint: "sentinel", At: &first, Queue: &depth}, {Side: "target", Endpoint: "managed", At: &first}}}}))
	queueStory("cutover-report", CutoverReportPage(CutoverReport{MigrationID: o.Migration.ID, Now: storyTime, Report: workflows.CutoverReport{At: first, Lines: []workflows.ReportLine{
		{ID: "delayed", Title: "Delayed jobs", Queue: "order-ingestion", Severity: workflows.SeverityBlocks, Measured: "14, due from 2026-11-20T10:00:00Z to 2026-11-21T10:00:00Z; 3 of them wait for another try", Clear: "they move with the step Move what is left once the cutover is complete; before that, wait for them"},
		{ID: "empty", Title: "Listed ids without a job", Queue: "mail", Severity: workflows.SeverityBlocks, Measured: "1, which BullMQ would run with empty data", Clear: "find the orders in the ledger, then remove the ids", Examples: []string{"evt_1Q2w3E"}},
		{ID: "target", Title: "Target can be read", Measured: "is being read for the first time; 120000 of about 1000000 keys read", Clear: "make the server reachable, or wait until it was read"},
		{ID: "limits", Title: "Limits that count on each side alone", Queue: "mail", Severity: workflows.SeverityCareful, Measured: "10 jobs in 1s for the queue", Clear: "halve them for the dual run where the outside world cannot bear twice as much"},
		{ID: "ledger", Title: "Order ledger", Severity: workflows.SeverityClear, Measured: "5 000 acknowledged, none lost, none twice"}}}}))
	queueStory("cutover-report-ready", CutoverReportPage(CutoverReport{MigrationID: o.Migration.ID, Now: storyTime, Report: workflows.CutoverReport{At: first, Ready: true, Lines: []workflows.ReportLine{
		{ID: "ledger", Title: "Order ledger", Severity: workflows.SeverityClear, Measured: "5 000 acknowledged, none lost, none twice"}}}}))
	found := bullmq.Job{Queue: bullmq.Queue{Name: "order-ingestion"}, ID: "evt_1Q2w3E", Name: "order", State: "delayed", Data: []byte(`{"order":{"id":"ord_1","total":"12.50"}}`), Opts: []byte(`{"attempts":5}`),
		Timestamp: &first, DueAt: &inAnHour, AttemptsMade: 2, FailedReason: "timeout", Stacktrace: []string{"Error: timeout\n    at run"}, Logs: []string{"looked at"}, LogCount: 1, Bytes: 41}
	queueStory("jobs", JobsPage(Jobs{MigrationID: o.Migration.ID, ID: "evt_1Q2w3E", Who: engineer, Found: workflows.FoundJobs{ID: "evt_1Q2w3E", Sides: []workflows.SideJobs{
		{Side: "source", Endpoint: "sentinel", Queues: 3, Jobs: []bullmq.Job{found}}, {Side: "target", Endpoint: "managed", Queues: 2}}}}))
	matches := workflows.JobMatches{Sides: []workflows.SideMatches{
		{Side: "source", Endpoint: "sentinel", Queues: 3, Result: bullmq.SearchResult{Keys: 61_440, Total: 310_204, Searched: 60_911, TooLarge: 2, Next: "f00:4711", Matches: []bullmq.Match{
			{Queue: bullmq.Queue{Name: "order-ingestion"}, ID: "evt_1Q2w3E", Name: "order"}, {Queue: bullmq.Queue{Name: "mail"}, ID: "<b>9</b>", Name: "receipt"}}}},
		{Side: "target", Endpoint: "managed", Queues: 2, Result: bullmq.SearchResult{Keys: 812, Total: 812, Searched: 640}}}}
	queueStory("jobs-search", JobsPage(Jobs{MigrationID: o.Migration.ID, Who: engineer, Search: workflows.JobSearch{Field: "customer.email", Value: "ann@example.com"}, Matches: &matches}))
	queueStory("jobs-viewer", JobsPage(Jobs{MigrationID: o.Migration.ID, Who: viewer}))
	ledgerStory := func(name string, page templ.Component) {
		out[name] = story{frame: frame("Order ledger", "ledger", "/m/order-pipeline/ledger", viewer), page: page}
	}
	ms := func(ago time.Duration) int64 { return storyTime.Add(-ago).UnixMilli() }
	laneOf := func(side string, shadow bool, ago time.Duration, fault string) workflows.LedgerLane {
		return workflows.LedgerLane{Cursor: ledger.Cursor{Lane: ledger.Lane{Side: side, Queue: "order-ingestion", Shadow: shadow}, Upto: ledger.Position{MS: ms(ago), Seq: 3}, At: ms(ago), Error: fault, Entries: 73_608, Adds: 18_402, Open: 3, Closed: 18_399, Retries: 12, Based: true},
			Current: fault == "", LagMS: ago.Milliseconds()}
	}
	var minutes []ledger.Window
	for i := range 60 {
		for _, l := range []ledger.Lane{{Side: "source", Queue: "order-ingestion"}, {Side: "source", Queue: "order-ingestion", Shadow: true}, {Side: "target", Queue: "order-ingestion"}} {
			w := ledger.Window{Lane: l, From: storyTime.Add(-time.Duration(i) * time.Minute).UnixMilli(), State: ledger.Conclusive, Entries: 1200}
			switch {
			case i == 0:
				w.State = ledger.Running
			case i == 17 || i == 18 && !l.Shadow:
				w.State, w.Reasons = ledger.Inconclusive, []string{"212 entries were trimmed before they were read: raise streams.events.maxLen in the application"}
			case l.Side == "target" && i > 40:
				continue
			}
			minutes = append(minutes, w)
		}
	}
	exceptions := []ledger.Exception{
		{Queue: "order-ingestion", Job: "stripe_evt_1Q2w3E", Verdict: ledger.Loss, At: ms(2 * time.Minute), Detail: "waiting on source, then its data is gone while its id is wait: a worker would run it with empty data"},
		{Queue: "order-ingestion", Job: "stripe_evt_9Z8y7X", Verdict: ledger.Mismatch, At: ms(9 * time.Minute), Detail: "the worker on target got data 44136fa355b3678a, what was sent is 9f86d081884c7d65"},
		{Queue: "order-ingestion", Job: "stripe_<script>alert(1)</script>", Verdict: ledger.Late, At: ms(4 * time.Minute), Detail: "not ended 5m10s after it was added or due, the limit is 5m0s: waiting on source"},
		{Queue: "order-ingestion", Job: "stripe_evt_5T4r3E", Verdict: ledger.Double, At: ms(3 * time.Hour), Detail: "completed 2 times: 2 on source", SettledBy: "the application's record: it took effect once", SettledAt: ms(3*time.Hour - time.Minute)},
	}
	book := workflows.LedgerOverview{At: storyTime, Verdict: workflows.LedgerBroken, Reasons: []string{"by the streams 1 job is a loss that nothing settles", "by the streams 1 job is a mismatch that nothing settles", "4 minutes of the last hour are inconclusive: for their orders only the application's record speaks"},
		Journal: &ledger.Summary{Orders: 18402, Acknowledged: 18391, Fulfilled: 18388, Pending: 2, Lost: 1, LostIDs: []string{"ord_1"}, Mismatches: 1, DataMismatches: 1, MismatchIDs: []string{"ord_2"}}, Open: 6, Windows: minutes, Exceptions: exceptions,
		Lanes:  []workflows.LedgerLane{laneOf("source", false, 300*time.Millisecond, ""), laneOf("source", true, 4*time.Second, ""), laneOf("target", false, 2*time.Minute, "redis does not answer within 2 s")},
		Counts: []workflows.LedgerCount{{Verdict: ledger.Loss, Open: 1}, {Verdict: ledger.Double, Settled: 1}, {Verdict: ledger.Mismatch, Open: 1}, {Verdict: ledger.Stray}, {Verdict: ledger.Ghost}, {Verdict: ledger.Late, Open: 1, Settled: 214}}}
	ledgerStory("ledger", LedgerOverviewPage(Ledger{MigrationID: o.Migration.ID, Overview: book, Exceptions: exceptions, Total: 217, Now: storyTime}))
	clean := book
	clean.Verdict, clean.Reasons, clean.Windows, clean.Lanes, clean.Open = workflows.LedgerClean, nil, nil, book.Lanes[:2], 0
	clean.Journal, clean.Counts = &ledger.Summary{Orders: 18402, Acknowledged: 18391, Fulfilled: 18391}, []workflows.LedgerCount{{Verdict: ledger.Loss}, {Verdict: ledger.Late, Settled: 214}}
	ledgerStory("ledger-clean", LedgerOverviewPage(Ledger{MigrationID: o.Migration.ID, Overview: clean, Filter: workflows.LedgerFilter{Verdict: "loss", State: "open"}, Now: storyTime}))
	ledgerStory("ledger-empty", LedgerOverviewPage(Ledger{MigrationID: o.Migration.ID, Now: storyTime, Overview: workflows.LedgerOverview{At: storyTime, Verdict: workflows.LedgerInconclusive, Reasons: []string{"no queue's events were read yet"}}}))
	ledgerStory("ledger-order", LedgerOrderPage(LedgerOrder{MigrationID: o.Migration.ID, ID: "stripe_evt_9Z8y7X", Now: storyTime, Order: workflows.LedgerOrder{ID: "stripe_evt_9Z8y7X", Done: true,
		Journal: &ledger.Story{Order: "ord_2", Jobs: []string{"stripe_evt_9Z8y7X"}, Acknowledged: true, Applied: 1, Different: "the worker on target got data 44136fa355b3678a, what was sent is 9f86d081884c7d65",
			Moments: []ledger.Moment{{At: ms(10 * time.Minute), What: "added to target in stage live"}, {At: ms(10 * time.Minute), What: "a delivery was answered 200"}, {At: ms(9*time.Minute + 50*time.Second), What: "run on target: applied"}}},
		Lives: []ledger.Life{{Queue: "order-ingestion", Job: "stripe_evt_9Z8y7X", Before: true, Partial: true, Stays: [4]*ledger.Stay{
			nil, {State: "waiting", At: ms(10 * time.Minute), AddedAt: ms(10 * time.Minute), Added: 1, Unsure: true}, {State: "completed", At: ms(9 * time.Minute), AddedAt: ms(10 * time.Minute), Added: 1, Active: 2, Retried: 1, Completed: 1, Result: "9f86d081884c7d65"}, nil}}},
		Exceptions: []ledger.Exception{exceptions[1], exceptions[3]}}}))
	ledgerStory("ledger-unknown", LedgerOrderPage(LedgerOrder{MigrationID: o.Migration.ID, ID: "<b>nobody</b>", Unknown: `neither the application's journal nor the streams have heard of "<b>nobody</b>"`, Now: storyTime}))
	out["overview-ledger-broken"] = story{frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer), page: templ.Join(LedgerAlert(o.Migration.ID, book), Overview(o, storyTime, engineer))}
	late := clean
	late.Counts = book.Counts[5:]
	out["overview-ledger-late"] = story{frame: frame("Order pipeline", "overview", "/m/order-pipeline", engineer), page: templ.Join(LedgerAlert(o.Migration.ID, late), Overview(o, storyTime, engineer))}
	view := migration.FlagSetView{FlagSet: migration.FlagSet{ID: o.Migration.ID, MigrationID: o.Migration.ID, Name: "Order pipeline", Revision: 17}, Flags: []migration.FlagInfo{
		{Key: "order-ingestion-ramp", ValueType: "number", ManagedBy: "cutover", State: "ENABLED", Variant: "25", Value: 25, Revision: 17, Actor: "ada", Reason: "cutover to live at 25 %", RunID: "4b1f09c2aa", At: storyTime.Add(-time.Hour)},
		{Key: "order-ingestion-stage", ValueType: "string", Type: "migration", ManagedBy: "cutover", State: "ENABLED", Variant: "live", Value: "live", Revision: 16, Actor: "ada", Reason: "cutover to live at 10 %", RunID: "4b1f09c2aa", At: storyTime.Add(-2 * time.Hour)},
		{Key: "pause-intake", ValueType: "boolean", Type: "kill-switch", State: "ENABLED", Variant: "on", Value: true, Revision: 9, Actor: "linus", Reason: "prepared for the event", At: storyTime.Add(-50 * time.Hour)},
		{Key: "upsell-banner", ValueType: "boolean", State: "ENABLED", Variant: "off", Value: false, Targeted: true, Revision: 3, Actor: "linus", Reason: "for the campaign", At: storyTime.Add(-60 * 24 * time.Hour), Hint: "unchanged for 60 days"},
	}}
	setting := FlagSetting{MigrationID: o.Migration.ID, Sets: []migration.FlagSet{view.FlagSet}, View: view, Now: storyTime, Who: engineer}
	tab := func(id string) FlagSetting { s := setting; s.Tab = id; return s }
	readers := []Worker{{Worker: o.Workers[0]}, {Worker: migration.Worker{Instance: "web.2", Service: "ingestion", Version: "1.0.0", Set: o.Migration.ID, Via: []string{"attestation", "poll"}, Identified: true, Live: true, Revision: 16, SeenAt: storyTime.Add(-3 * time.Second)}},
		{Worker: migration.Worker{Instance: "web.3", Service: "ingestion", Version: "1.0.0", Set: o.Migration.ID, Via: []string{"attestation"}, Identified: true, Revision: 12, SeenAt: storyTime.Add(-3 * time.Minute)}, LastKnownGood: true},
		{Worker: migration.Worker{Set: o.Migration.ID, Via: []string{"stream"}, Key: "checkout", Address: "10.0.0.9", Live: true, Revision: 17, SeenAt: storyTime}}}
	changes := []migration.FlagDiff{{Key: "upsell-banner", Kind: "changed", Lines: []string{`defaultVariant: "off" → "on"`}, Before: []byte(`{"defaultVariant":"off"}`), After: []byte(`{"defaultVariant":"on"}`)}}
	routing := o.Routing
	revisions := []migration.FlagSetRevision{{Set: o.Migration.ID, Revision: 17, Actor: "ada", Reason: "cutover to live at 25 %", RunID: "4b1f09c2aa", At: storyTime.Add(-time.Hour), Changes: changes},
		{Set: o.Migration.ID, Revision: 16, Actor: "linus", Reason: "for the campaign", At: storyTime.Add(-2 * time.Hour), Changes: changes}}
	flagStory := func(name string, page templ.Component) {
		out[name] = story{frame: frame("Flags", "flags", "/m/order-pipeline/flags", engineer), page: page}
	}
	flagStory("flags", FlagsPage(Flags{FlagSetting: setting, Workers: readers, Routing: &routing, Share: o.Observed}))
	flagStory("flag-editor", FlagEditorPage(FlagEditor{FlagSetting: setting, Draft: FlagDraft{Key: "upsell-banner", State: "ENABLED", Default: "off", Targeting: `{"if": [{"var": "vip"}, "on"]}`, Variants: []VariantRow{{"on", "true"}, {"off", "false"}, {}}, Context: `{"vip": true}`},
		Preview: &FlagPreview{Variant: "on", Reason: "TARGETING_MATCH", Value: "true"}}))
	flagStory("flag-managed", FlagEditorPage(FlagEditor{FlagSetting: setting, Managed: "cutover", Draft: FlagDraft{Key: "order-ingestion-stage", Raw: `{"state":"ENABLED"}`}}))
	flagStory("flag-review", FlagReviewPage(FlagReview{FlagSetting: setting, Check: migration.FlagCheck{Base: 17, Changes: changes}, Edit: "{}", Key: "upsell-banner", Draft: "{}", Theirs: revisions[:1]}))
	flagStory("flag-history", FlagHistoryPage(FlagHistory{FlagSetting: tab("history"), Revisions: revisions, Older: 16}))
	flagStory("flag-schedules", FlagSchedulesPage(FlagSchedules{FlagSetting: tab("schedules"), Ramp: make([]RampRow, 2), Schedules: []migration.FlagSchedule{
		{ID: "s1", At: storyTime.Add(time.Hour), Move: &migration.StageMove{To: migration.StageLive, Ramp: 50}, State: migration.SchedulePending, CreatedBy: "ada"}}}))
	flagStory("flag-workers", FlagWorkersPage(FlagWorkers{FlagSetting: tab("workers"), Workers: readers}))
	flagStory("flag-keys", FlagKeysPage(FlagKeys{FlagSetting: tab("keys"), Keys: []migration.APIKey{{ID: "k1", Name: "checkout", Set: o.Migration.ID, Prefix: "swy_ab12", RatePerSecond: 200, CreatedBy: "ada", CreatedAt: storyTime.Add(-time.Hour)}}, Token: "swy_example", Name: "web", Rate: "0"}))
	var judged []Judged
	for _, f := range o.Checklist[1].Findings {
		judged = append(judged, Judged{*f.Evidence, migration.Met, f.Measured})
	}
	out["evidence"] = story{frame: frame("Evidence", "overview", "/m/order-pipeline/evidence/sentinel-failover", engineer), page: EvidencePage(Evidence{MigrationID: o.Migration.ID, Item: o.Checklist[1],
		Steps: []migration.PlanStep{o.Plan.Steps[2], o.Plan.Steps[3]}, History: judged, Now: storyTime})}
	// The same plan with three failover tests in a row, of which two were made.
	repeated := o.Plan
	repeated.Criteria = slices.Clone(o.Plan.Criteria)
	repeated.Criteria[1].Requires = slices.Clone(o.Plan.Criteria[1].Requires)
	last := *o.Checklist[1].Findings[1].Evidence
	before := last
	before.RunID, before.ObservedAt = "09c2aa4b1f", last.ObservedAt.Add(-24*time.Hour)
	repeated.Criteria[1].Requires[1].MinCount = 3
	row := evidence.Evaluate(storyTime, repeated, map[string]migration.Evidence{evidence.Readiness: *o.Checklist[1].Findings[0].Evidence, evidence.Failover: last},
		map[string][]migration.Evidence{evidence.Failover: {last, before}})
	out["evidence-row"] = story{frame: frame("Evidence", "overview", "/m/order-pipeline/evidence/sentinel-failover", engineer), page: EvidencePage(Evidence{MigrationID: o.Migration.ID, Item: row[1],
		Steps: []migration.PlanStep{o.Plan.Steps[2], o.Plan.Steps[3]}, History: judged, Now: storyTime})}
	out["notifications"] = story{frame: frame("Notifications", "audit", "/m/order-pipeline/notifications", engineer), page: NotificationsPage(Notifications{MigrationID: o.Migration.ID, Notifications: storyNotifications(), Now: storyTime, Who: engineer})}
	out["notifications-none"] = story{frame: frame("Notifications", "audit", "/m/order-pipeline/notifications", viewer), page: NotificationsPage(Notifications{MigrationID: o.Migration.ID, Now: storyTime, Who: viewer})}
	out["audit"] = story{frame: frame("Audit log", "audit", "/m/order-pipeline/audit", engineer), page: AuditPage(Audit{MigrationID: o.Migration.ID, Path: "/m/order-pipeline/audit", Newest: true, Older: 40, Entries: []migration.AuditEntry{
		{Seq: 42, At: storyTime, Actor: "ada", Action: "start", Subject: "cutover to live at 50 %", Detail: "4b1f09c2aa", Result: "ok", Hash: strings.Repeat("ab12", 16)},
		{Seq: 41, At: storyTime.Add(-time.Minute), Actor: "grace", Action: "start", Subject: "audit", Detail: "grace is a viewer and may look but not act: sign in as an engineer", Result: "refused", Hash: strings.Repeat("cd34", 16)},
	}})}
	out["plan"] = story{frame: frame("Plan", "plan", "/m/order-pipeline/plan", engineer), page: PlanPage(Plan{MigrationID: o.Migration.ID, Plan: o.Plan, EventDate: o.Migration.EventDate, Steps: o.Steps, Now: storyTime})}
	out["sign-in"] = story{frame: Frame{Title: "Sign in", Now: storyTime}, page: SignInPage(SignIn{Name: "ada", Error: "name or password is wrong"}), bare: true}
	out["failure"] = story{frame: Frame{Title: "Blocked", Now: storyTime}, page: FailurePage(Failure{Status: 412, Title: "Blocked", Text: "cutover cannot start, 1 precondition is unmet", Gates: storyPlan().Gates[2:], RequestID: "b2f0"}), bare: true}
	return out
}

func (s story) render(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	page := Page(s.frame, s.page)
	if s.bare {
		page = Bare(s.frame, s.page)
	}
	if err := page.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestStorybook writes every page in both themes, with its assets, below SWITCHYARD_STORYBOOK (default: a temporary folder), to be served
// by any static web server and looked at.
func TestStorybook(t *testing.T) {
	dir := os.Getenv("SWITCHYARD_STORYBOOK")
	if dir == "" {
		dir = t.TempDir()
	}
	write := func(name string, body []byte) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range stories(t) {
		for _, theme := range []string{"light", "dark"} {
			s.frame.Theme = theme
			write(name+"."+theme+".html", s.render(t))
		}
	}
	for _, name := range []string{"app.css", "core.js", "icons.svg", "logo.svg", "inter.woff2"} {
		u := static.URL(name)
		a, ok := static.Find(strings.TrimPrefix(u, static.Prefix))
		if !ok {
			t.Fatalf("%s is not served", u)
		}
		write(u, a.Body)
	}
}
