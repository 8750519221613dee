package api

import (
	"net/http"

	"github.com/switchyard-dev/switchyard/migration"
)

func migrationOperations() []Operation {
	return []Operation{{
		ID: "listMigrations", Route: "GET /api/v1/migrations", Access: AccessSession,
		Summary: "List the migrations", Answer: MigrationList{},
	}, {
		ID: "getOverview", Route: "GET " + ofMigration, Access: AccessSession,
		Summary: "Everything about a migration", Answer: migration.Overview{},
	}, {
		ID: "listCriteria", Route: "GET " + ofMigration + "/criteria", Access: AccessSession,
		Summary: "The completion checklist, judged now", Answer: CriteriaList{},
	}, {
		ID: "listEvidence", Route: "GET " + ofMigration + "/evidence", Access: AccessSession,
		Summary: "Observations, newest first",
		Params:  evidenceParams{}, Answer: EvidenceList{},
	}, {
		ID: "listSteps", Route: "GET " + ofMigration + "/steps", Access: AccessSession,
		Summary: "Every step, and what can be done next", Answer: StepList{},
	}, {
		ID: "planStep", Route: "GET " + ofMigration + "/steps/{step}/plan", Access: AccessSession,
		Summary:     "What a step would do now",
		Description: "Changes nothing.",
		Params:      planParams{}, Answer: migration.StepPlan{},
	}, {
		ID: "startStep", Route: "POST " + ofMigration + "/steps/{step}/runs", Access: AccessEngineer,
		Summary: "Start a step",
		Description: "409 names the open run in run_id; 412 lists in blockers the preconditions " +
			"that are not met.",
		Body: Start{}, BodyOptional: true,
		Status: http.StatusCreated, Result: "The run; it may be waiting for approval",
		Answer: migration.Run{}, Headers: created{},
	}, {
		ID: "listRuns", Route: "GET " + ofMigration + "/runs", Access: AccessSession,
		Summary: "Runs, newest first",
		Params:  runsParams{}, Answer: RunList{},
	}, {
		ID: "listAudit", Route: "GET /api/v1/audit", Access: AccessSession,
		Summary: "The audit log, newest first",
		Params:  auditParams{}, Answer: AuditPage{},
	}}
}

type evidenceParams struct {
	// Only of this check.
	Check string `query:"check"`
	page
}

type planParams struct {
	// Stage to move to; only for the step cutover.
	To migration.Stage `query:"to"`
	// With to=live.
	Ramp int `query:"ramp" minimum:"1" maximum:"100"`
	// With a move forward: limit of its guardrails for refused webhooks and failed adds.
	MaxRefused int `query:"max_refused" minimum:"1"`
	// With a move forward: limit of its guardrails for the time of an add and of an answer.
	MaxLatencyMS int `query:"max_latency_ms" minimum:"1"`
	// With a move forward: for how long either side may be slower, or its events unread.
	MaxSilenceMS int `query:"max_silence_ms" minimum:"1000"`
}

type runsParams struct {
	// Only of this step.
	Step string `query:"step"`
	// Only in this state; open: every state that is not final.
	State string `query:"state"`
	// Only those that this person requested, decided on or cancelled.
	Person string `query:"person"`
	// ID of the run to continue before.
	Before string `query:"before"`
	page
}

type auditParams struct {
	// Sequence number to continue before; 0: from the newest.
	Before int64 `query:"before" minimum:"0"`
	// Only of this account.
	Person string `query:"person"`
	// Only of this action, such as start.
	Action string `query:"action"`
	// Only where the subject or the detail has this text.
	Subject string `query:"subject"`
	// Only with this result.
	Result string `query:"result"`
	// Only at or after this time, as RFC 3339 or as a date in UTC.
	Since string `query:"since"`
	// Only before this time; a date is included.
	Until string `query:"until"`
	page
}

// Lists are wrapped, so that they can grow fields.
type (
	// MigrationList is every migration.
	MigrationList struct {
		Migrations []migration.Migration `json:"migrations"`
	}
	// CriteriaList is the completion checklist, judged now.
	CriteriaList struct {
		Criteria migration.Checklist `json:"criteria"`
	}
	// EvidenceList is observations, newest first.
	EvidenceList struct {
		Evidence []migration.Evidence `json:"evidence"`
	}
	// StepList is every step with where it stands, and what can be done next, the recommended thing
	// first.
	StepList struct {
		Steps     []migration.StepStatus `json:"steps"`
		NextSteps []migration.NextStep   `json:"next_steps"`
	}
	// RunList is runs, newest first.
	RunList struct {
		Runs []migration.Run `json:"runs"`
		Next string          `json:"next,omitempty"` // what to give as before; empty at the end
	}
	// AuditPage is lines of the audit log, newest first.
	AuditPage struct {
		Entries []migration.AuditEntry `json:"entries"`
		Next    int64                  `json:"next"` // what to give as before to continue; 0 at the end
	}
)

// Start asks for a run of a step.
type Start struct {
	Params migration.Params `json:"params,omitzero"`
	// PlanHash binds the request to a plan that was shown; empty: whatever the plan is now.
	PlanHash string `json:"plan_hash,omitempty"`
}
