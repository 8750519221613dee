package api

import (
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func reportOperations() []Operation {
	return []Operation{{
		ID: "getCutoverReport", Route: "GET " + ofMigration + "/cutover-report", Access: AccessSession,
		Summary: "What would break if the source were left now",
		Result:  "What was measured, how severe it is and how to clear it, the worst first.",
		Answer:  CutoverReport{},
	}, {
		ID: "getRedisAudit", Route: "GET " + ofMigration + "/redis-audit", Access: AccessSession,
		Summary: "The last whole audit of the source Redis",
		Result: "A report for each node: findings by severity, problems first, then what is not known, " +
			"then what is well. Also what later looks without the keys saw, and what has become worse.",
		Answer: RedisAudit{},
	}, {
		ID: "getExport", Route: "GET " + ofMigration + "/exports/{format}", Access: AccessSession,
		Summary: "What the step Provision would create, as Terraform or as values for Helm",
		Params:  exportParams{}, Result: "The file, without secrets.", Answer: Export{},
	}, {
		ID: "getCapacity", Route: "GET " + ofMigration + "/capacity", Access: AccessSession,
		Summary: "Cost per month, and the plan's limits against what the queues need",
		Result: "What is paid in each phase, what paying by use would cost at the measured rates, and " +
			"each side's load against the limits of the plan, with the day on which one would be " +
			"reached. Prices are in US dollars per month.",
		Answer: Capacity{},
	}, {
		ID: "getSeries", Route: "GET " + ofMigration + "/series", Access: AccessSession,
		Summary: "What was measured over time, of the last 30 days",
		Description: "Values are kept for 2 hours in steps of 10 seconds, for 25 hours in steps of " +
			"a minute and for 30 days in steps of 10 minutes. A step in which nothing could be " +
			"measured has no value. Nobody asks a server anything for it: it is what Switchyard " +
			"reads anyway.",
		Params: seriesParams{},
		Result: "Series in steps of the same length, each with the least, the mean and the most; " +
			"the runs and alerts of that time.",
		Answer: SeriesView{},
	}, {
		ID: "getOutage", Route: "GET " + ofMigration + "/outage", Access: AccessSession,
		Summary: "What the payment providers' retries mean for refused orders",
		Params:  outageParams{},
		Result: "The clock of each provider, and what an outage of the given length does without " +
			"durable intake.",
		Answer: Outage{},
	}, {
		ID: "replayLost", Route: "POST " + ofMigration + "/replays", Access: AccessEngineer,
		Summary: "Fetch what a provider gave up on, or take it from an export, and hand it to the app",
		Description: "With look it only tells what is missing. Stripe, Shopify and ClickFunnels are " +
			"asked if a key of theirs is configured. With events nobody is asked: they are bodies of " +
			"the provider's webhooks, at most 500 in a request of at most 1 MiB, and nothing is handed " +
			"over unless each names an order. What the order ledger knows as acknowledged is left out. " +
			"At most 500 events are handed over by one request.",
		Body: Replay{}, Result: "What is missing, and what became of it.", Answer: ReplayResult{},
	}, {
		ID: "getBreakerProof", Route: "GET " + ofMigration + "/breaker", Access: AccessSession,
		Summary: "What proves, queue by queue, that an add fails at once when Redis does",
		Result: "Source scan, attestation and faults by queue; the faults of the real source; how long " +
			"each provider waits.",
		Answer: BreakerProof{},
	}, {
		ID: "submitScan", Route: "POST " + ofMigration + "/scans", Access: AccessEngineer,
		Summary: "Keep what a scan of the app's source found as evidence",
		Description: "Attested by whoever submits it: switchyard scan DIR --submit. An accepted " +
			"exception counts when the account that submits is the one that the file names, or " +
			"once an engineer has confirmed it.",
		Body: evidence.ScanFacts{}, Result: "Kept.",
	}, {
		ID: "confirmScanDecision", Route: "POST " + ofMigration + "/scans/decisions/{finding}",
		Access:      AccessEngineer,
		Summary:     "Stand by an accepted exception that a scan's file tells",
		Description: "It counts until the day that the file names, also for later scans that tell the same.",
		Result:      "Kept.",
	}}
}

type exportParams struct {
	// Of the file.
	Format string `path:"format" enum:"terraform,helm"`
}

type outageParams struct {
	// Length of the outage to ask about, such as 25s or 5h; without it, 25s.
	For string `query:"for"`
}

// BreakerProof is what shows that an add fails at once when Redis does: see workflows.BreakerProof.
type BreakerProof = workflows.BreakerProof

// Replay and ReplayResult are about events that a provider gave up on: see workflows.Replay.
type (
	Replay       = workflows.Replay
	ReplayResult = workflows.ReplayResult
)

// Outage is what the providers' retries mean for refused orders: see workflows.Outage.
type Outage = workflows.Outage

type seriesParams struct {
	// Names of series, separated by commas; absent: all.
	Name string `query:"name"`
	// Begin: a time in RFC 3339, or how long before until: 15m, 1h, 6h, 24h, 7d or 30d.
	Since string `query:"since" default:"1h"`
	// End: a time in RFC 3339; absent: now.
	Until string `query:"until"`
	// At most so many steps.
	Points int `query:"points" minimum:"2" maximum:"600" default:"600"`
}

// SeriesView is series over a time: see workflows.SeriesView.
type SeriesView = workflows.SeriesView

// Capacity is what the servers cost and need: see workflows.Capacity.
type Capacity = workflows.Capacity

// RedisAudit is the last audit of the source: see workflows.RedisAudit.
type RedisAudit = workflows.RedisAudit

// Export is a file for those who apply their changes by themselves: see workflows.Export.
type Export = workflows.Export

// CutoverReport is what would break if the source were left now: see workflows.CutoverReport.
type CutoverReport = workflows.CutoverReport
