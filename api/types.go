package api

import (
	_ "embed"
	"encoding/json"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of everything under /api/v1 and /ofrep/v1.
func OpenAPI() []byte { return openAPI }

// Credentials are what a person signs in with.
type Credentials struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// Session is the answer to signing in; without Token, it says whose session a request belongs to.
type Session struct {
	Token string          `json:"token,omitempty"`
	Actor migration.Actor `json:"actor"`
}

// Start asks for a run of a step.
type Start struct {
	Params migration.Params `json:"params"`
	// PlanHash binds the request to a plan that was shown; empty: whatever the plan is now.
	PlanHash string `json:"plan_hash"`
}

// Decision comes with approve and reject.
type Decision struct {
	Comment     string `json:"comment"`      // needed with reject
	ConfirmName string `json:"confirm_name"` // the migration's name, to approve what cannot be undone
	PlanHash    string `json:"plan_hash"`    // of the plan that was shown; empty: the run's
	Action      string `json:"action"`       // that the run waits with, where it has begun
}

// Problem is an error answer (RFC 9457, application/problem+json).
type Problem struct {
	Type      string           `json:"type"`
	Title     string           `json:"title"`
	Status    int              `json:"status"`
	Detail    string           `json:"detail"`
	Kind      migration.Kind   `json:"kind"`
	Blockers  []migration.Gate `json:"blockers,omitempty"`
	RunID     string           `json:"run_id,omitempty"` // the open run that is in the way
	RequestID string           `json:"request_id"`
}

// Lists are wrapped, so that they can grow fields.
type (
	// MigrationList is every migration.
	MigrationList struct {
		Migrations []migration.Migration `json:"migrations"`
	}
	// CriteriaList is the completion checklist, judged.
	CriteriaList struct {
		Criteria migration.Checklist `json:"criteria"`
	}
	// EvidenceList is observations, newest first.
	EvidenceList struct {
		Evidence []migration.Evidence `json:"evidence"`
	}
	// StepList is every step with where it stands, and what can be done next.
	StepList struct {
		Steps     []migration.StepStatus `json:"steps"`
		NextSteps []migration.NextStep   `json:"next_steps"`
	}
	// RunList is runs, newest first.
	RunList struct {
		Runs []migration.Run `json:"runs"`
	}
	// LogPage is lines of a run's log; Next is what to give as after to go on.
	LogPage struct {
		Lines []migration.LogLine `json:"lines"`
		Next  int64               `json:"next"`
	}
	// FlagHistory is flag changes, newest first.
	FlagHistory struct {
		Revisions []migration.FlagSetRevision `json:"revisions"`
	}
	// WorkerList is the workers heard of lately.
	WorkerList struct {
		Workers []migration.Worker `json:"workers"`
	}
	// AuditPage is lines of the audit log, newest first; Next is what to give as before to go on, 0 at the end.
	AuditPage struct {
		Entries []migration.AuditEntry `json:"entries"`
		Next    int64                  `json:"next"`
	}
	// EndpointList is the servers on both sides.
	EndpointList struct {
		Endpoints []Endpoint `json:"endpoints"`
	}
)

// NewFlagSet asks for an empty flag set.
type NewFlagSet struct {
	ID   string `json:"id"` // slug
	Name string `json:"name"`
}

// FlagSetList is the flag sets of a migration; the first is its own.
type FlagSetList struct {
	Sets []migration.FlagSet `json:"sets"`
}

// FlagRollback asks for what a revision said, except managed flags.
type FlagRollback struct {
	Revision int64  `json:"revision"`
	Base     int64  `json:"base"` // the revision that is rolled back from; another one now is a conflict. 0: whichever
	Reason   string `json:"reason"`
}

// FlagKill makes a kill switch serve off, or on again.
type FlagKill struct {
	Key    string `json:"key"`
	Killed bool   `json:"killed"`
	Reason string `json:"reason"`
}

// FlagPreview asks what a context would get.
type FlagPreview struct {
	Key        string          `json:"key"`
	Definition json.RawMessage `json:"definition,omitempty"` // instead of the stored one
	Context    map[string]any  `json:"context"`
}

// NewSchedule asks for a change at a time; one of Edit and Move is given.
type NewSchedule struct {
	At   time.Time            `json:"at"`
	Edit *migration.FlagEdit  `json:"edit,omitempty"`
	Move *migration.StageMove `json:"move,omitempty"`
}

// ScheduleList is scheduled changes by time.
type ScheduleList struct {
	Schedules []migration.FlagSchedule `json:"schedules"`
}

// NewKey asks for a key that reads one flag set.
type NewKey struct {
	Set           string `json:"set"` // empty: the migration's own
	Name          string `json:"name"`
	RatePerSecond int    `json:"rate_per_second"` // 0: no bound
}

// CreatedKey is a new key with its token, which is shown this once.
type CreatedKey struct {
	Key   migration.APIKey `json:"key"`
	Token string           `json:"token"`
}

// KeyList is keys, oldest first, also revoked ones.
type KeyList struct {
	Keys []migration.APIKey `json:"keys"`
}

// The queues of both sides at one time: see migration.QueueBoard.
type (
	// Endpoint is the server of one side: see migration.Endpoint.
	Endpoint = migration.Endpoint
	// QueueBoard is the queues of both sides: see migration.QueueBoard.
	QueueBoard = migration.QueueBoard
	// QueueSide is the queues on one server: see migration.QueueSide.
	QueueSide = migration.QueueSide
	// Queue is the census of one queue: see migration.Queue.
	Queue = migration.Queue
)

// BreakerProof is what shows that an add fails at once when Redis does: see workflows.BreakerProof.
type BreakerProof = workflows.BreakerProof

// Replay and ReplayResult are about events that a provider gave up on: see workflows.Replay.
type (
	Replay       = workflows.Replay
	ReplayResult = workflows.ReplayResult
)

// Outage is what the providers' retries mean for refused orders: see workflows.Outage.
type Outage = workflows.Outage

// Capacity is what the servers cost and need: see workflows.Capacity.
type Capacity = workflows.Capacity

// Notifications is who is told what, and what is wrong now: see workflows.Notifications.
type Notifications = workflows.Notifications

// NotificationChannel is one place that things are told to: see workflows.NotificationChannel.
type NotificationChannel = workflows.NotificationChannel

// NotificationTest names the channel that a test goes to.
type NotificationTest struct {
	Channel string `json:"channel"`
}

// RedisAudit is the last audit of the source: see workflows.RedisAudit.
type RedisAudit = workflows.RedisAudit

// Export is a file for those who apply their changes by themselves: see workflows.Export.
type Export = workflows.Export

// CutoverReport is what would break if the source were left now: see workflows.CutoverReport.
type CutoverReport = workflows.CutoverReport

// LedgerOverview is the order ledger at one moment: see workflows.LedgerOverview.
type LedgerOverview = workflows.LedgerOverview

// LedgerOrder is everything that is known of one order: see workflows.LedgerOrder.
type LedgerOrder = workflows.LedgerOrder

// LedgerExceptionList is what was wrong with any order, not settled first.
type LedgerExceptionList struct {
	Exceptions []ledger.Exception `json:"exceptions"`
	Total      int64              `json:"total"` // with this filter, on all pages
}

// QueueDetail is one queue on both sides, in depth: see workflows.QueueDetail.
type QueueDetail = workflows.QueueDetail

// FoundJobs is a job id looked up on both sides: see workflows.FoundJobs.
type FoundJobs = workflows.FoundJobs

// JobSearch looks for jobs by a field of their data: see workflows.JobSearch.
type JobSearch = workflows.JobSearch

// JobMatches is what a search found: see workflows.JobMatches.
type JobMatches = workflows.JobMatches

// JobChange is one thing to do to one job by hand: see workflows.JobChange.
type JobChange = workflows.JobChange
