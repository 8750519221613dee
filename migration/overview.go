package migration

import (
	"encoding/json"
	"time"
)

// Migration is one initiative under way.
type Migration struct {
	ID        string    `json:"id"` // slug, used in URLs
	Name      string    `json:"name"`
	Plan      Plan      `json:"-"`
	EventDate time.Time `json:"event_date"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
}

// StepStatus is a step of the plan with where it stands.
type StepStatus struct {
	PlanStep PlanStep   `json:"plan"`
	State    StepState  `json:"state"`
	Why      string     `json:"why,omitempty"` // why blocked, or what failed
	LastRun  *Run       `json:"last_run,omitempty"`
	Due      *time.Time `json:"due,omitempty"`
	// Blocking counts the preconditions of a step that may be started of which it is known,
	// without planning it, that they do not hold.
	Blocking int `json:"blocking,omitempty"`
	// Short is what keeps a step that is done from being well, as a result says it; AsOf is
	// when that was seen, where it can change by itself.
	Short string     `json:"short,omitempty"`
	AsOf  *time.Time `json:"as_of,omitempty"`
	// DoneAt is when a step that is done was last done.
	DoneAt *time.Time `json:"done_at,omitempty"`
}

// StepState is a step's place on the way.
type StepState string

const (
	StepTodo    StepState = "todo"    // may be started
	StepBlocked StepState = "blocked" // an earlier step is missing
	StepActive  StepState = "active"  // a run is open, or cutover is on its way
	StepDone    StepState = "done"
	StepFailed  StepState = "failed" // the last run failed; may be started again
	StepSkipped StepState = "skipped"
)

// NextStep is one thing that a person can do now. The first of a list is the recommended
// one. Interfaces offer exactly these.
type NextStep struct {
	// Verb is what to do with it; scan: bring what a scan of the source found.
	Verb   string `json:"verb" enum:"start,approve,watch,scan"`
	Step   string `json:"step"`
	Params Params `json:"params"`
	RunID  string `json:"run_id,omitempty"`
	// Action is what the run waits with, as Run.Waiting gives it; empty: its start.
	Action string `json:"action,omitempty"`
	// ConfirmName is the migration's name, where it must be typed to approve.
	ConfirmName string `json:"confirm_name,omitempty"`
	Title       string `json:"title"`
	Why         string `json:"why"`
}

// Overview is everything about a migration at one time.
type Overview struct {
	Migration Migration    `json:"migration"`
	Plan      Plan         `json:"plan"`
	Routing   Routing      `json:"routing"`
	Checklist Checklist    `json:"criteria"`
	Steps     []StepStatus `json:"steps"`
	NextSteps []NextStep   `json:"next_steps" nullable:"true"`
	OpenRun   *Run         `json:"open_run,omitempty"`
	// Orders are all zero while the app's journal cannot be read: then nothing is known.
	Orders LedgerFacts `json:"orders"`
	// OrdersError says why there are no figures of orders; then Orders is zero and means nothing.
	OrdersError string `json:"orders_error,omitempty"`
	// Observed is how orders were really split since the stage was last changed.
	Observed Share `json:"observed"`
	// WayBack is the move that leads back now; nil: there is none.
	WayBack  *WayBack  `json:"way_back"`
	Workers  []Worker  `json:"workers" nullable:"true"`
	Phase    string    `json:"phase"` // in words, for people
	Headline Headline  `json:"headline"`
	At       time.Time `json:"at"`
	// Alerts are checks of the audit that were ok once and were a problem at AuditAt.
	Alerts []Alert `json:"alerts,omitempty"`
	// AuditAt is when the audit last looked, by itself or in a run; zero before it did.
	AuditAt time.Time `json:"audit_at,omitzero"`
	// AuditProblems counts the problems of the last look by severity; nil before an audit.
	AuditProblems map[string]int `json:"audit_problems,omitempty"`
}

// WayBack is the next move towards the source, and what a rehearsal has shown of it.
type WayBack struct {
	Move StageMove `json:"move"`
	// Rehearsal is the verdict on the newest rehearsal: it ages, and is void once something else
	// is there.
	Rehearsal Verdict `json:"rehearsal" enum:"met,unmet,stale,unknown"`
	// RehearsedAt is when it was made; nil: never.
	RehearsedAt *time.Time `json:"rehearsed_at"`
	// RehearsedFrom and RehearsedTo are the stages of the move that was rehearsed, which need not
	// be this one; empty: never.
	RehearsedFrom string `json:"rehearsed_from,omitempty"`
	RehearsedTo   string `json:"rehearsed_to,omitempty"`
	// TookMS is how long it took every live worker to switch back then; 0: not measured.
	TookMS int64 `json:"took_ms"`
}

// LedgerFacts is what the whole journal of the ingestion app says of its orders.
//
// It is the evidence of CheckLedger.
type LedgerFacts struct {
	Orders       int `json:"orders"`
	Acknowledged int `json:"acknowledged"`
	Fulfilled    int `json:"fulfilled"`
	// Pending are acknowledged, not yet applied, and still within their time.
	Pending int `json:"pending"`
	// PendingSource are those of the pending orders that were put on the source: they must be gone
	// before it is.
	PendingSource int `json:"pending_source"`
	// Held are those of the pending orders that wait in the app's durable intake.
	Held int `json:"held,omitempty"`
	// HeldLate are those of the held orders that have waited for longer than an order may take.
	HeldLate int `json:"held_late,omitempty"`
	// Future are acknowledged orders that by their times are yet to come.
	Future     int `json:"future,omitempty"`
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`
	// Mismatches are orders whose run and shadow run differ, in result or data.
	Mismatches int `json:"mismatches,omitempty"`
	// Contradicted are orders whose record cannot be true.
	Contradicted int `json:"contradicted,omitempty"`
	// Examples are ids of orders that are wrong.
	Examples []string `json:"examples,omitempty"`
	// Events is what both servers' events show of harm and nothing settles, in words.
	Events []string `json:"events,omitempty"`
}

// Alert is a check of the audit that was ok once and is a problem now.
type Alert struct {
	Node     string `json:"node"`
	Check    string `json:"check"`
	Title    string `json:"title"`
	Severity string `json:"severity" enum:"critical,high,medium,low,info"`
	Measured string `json:"measured"`
	// Run is the run of ours during which it became a problem.
	Run string `json:"run,omitempty"`
}

// Share is how many of some orders had the target as their authority.
type Share struct {
	Target int `json:"target"`
	Orders int `json:"orders"`
}

// Worker is a process that reads flags: one that attests, polls, or keeps a stream open.
type Worker struct {
	Instance string `json:"instance"`
	Service  string `json:"service"`
	Version  string `json:"version"`
	BullMQ   string `json:"bullmq"`
	Set      string `json:"set"` // the flag set it reads
	// Via is how it is heard of: attestation, poll, stream, sse. The first is what Revision
	// is taken from.
	Via []string `json:"via"`
	// Revision is the flag set's revision it holds. From an attestation: what everything in
	// flight uses. From polls: what it last said to hold. From a stream: what was last
	// sent. 0: it holds none, it asks each time.
	Revision int64  `json:"revision"`
	Key      string `json:"key"` // name of the key it reads with
	Address  string `json:"address,omitempty"`
	// Identified: it told its service and instance. Else readers of one key and address are
	// one line.
	Identified bool      `json:"identified"`
	SeenAt     time.Time `json:"seen_at"`
	// heard of lately; how lately depends on how often it speaks
	Live bool `json:"live"`
	// Attestation is what it said of itself last, as any JSON value.
	Attestation json.RawMessage `json:"attestation,omitempty"`
}

// AuditEntry is one line of the append-only audit log; Hash chains it to the one before.
type AuditEntry struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Detail  string    `json:"detail"`
	// Result of a request is ok or refused; of a run that ended, one of the others.
	Result string `json:"result" enum:"ok,refused,succeeded,failed,cancelled"`
	Hash   string `json:"hash"`
}
