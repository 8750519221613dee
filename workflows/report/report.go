// Package report is where a migration stands, on one page for who answers for it: the closing
// report once every criterion is met, a status report until then. It is worked out from what was
// read; nothing here reads.
package report

import (
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
)

// Kinds of a report.
const (
	Closing = "closing"
	Status  = "status"
)

// Report is everything that is on the page. Redacted takes servers' addresses out.
type Report struct {
	Kind      string    `json:"kind" enum:"closing,status"`
	Migration string    `json:"migration"` // its id
	Name      string    `json:"name"`
	Event     string    `json:"event"`
	EventDate time.Time `json:"event_date"`
	Owner     string    `json:"owner,omitempty"`
	At        time.Time `json:"at"`
	// Since is when the migration was created.
	Since time.Time `json:"since"`
	Phase string    `json:"phase"` // in words
	Met   int       `json:"met"`
	Total int       `json:"total"`

	Criteria   []Criterion       `json:"criteria"`
	Orders     Orders            `json:"orders"`
	Stops      []Stop            `json:"stops"` // the longest first
	Rollbacks  []Rollback        `json:"rollbacks"`
	Costs      []costs.CostPhase `json:"costs"`
	Runs       []Run             `json:"runs"` // the oldest first
	Waivers    []Waiver          `json:"waivers"`
	Incidents  []Incident        `json:"incidents"` // open ones first, then the newest
	Next       []Next            `json:"next"`
	Forecast   forecast.Forecast `json:"forecast"`
	Milestones []Milestone       `json:"milestones"`
	Risks      []Risk            `json:"risks"`
	Versions   []Version         `json:"versions"`
	// PlanHash is the SHA-256 of the plan's canonical JSON.
	PlanHash string `json:"plan_hash"`
	// Left says what is not in the report for its length, such as runs that only read.
	Left []string `json:"left"`
	// Digest is the SHA-256 of the canonical JSON of everything else here. It is not a signature:
	// no key is involved.
	Digest string `json:"digest"`
}

// Criterion is one criterion of the plan as it stands.
type Criterion struct {
	ID      string            `json:"id"`
	Title   string            `json:"title"`
	Verdict migration.Verdict `json:"verdict"`
	// Level is the weakest proof behind it; empty: there is no evidence.
	Level      migration.Proof `json:"level,omitempty" enum:"observed,attested,documented"`
	ObservedAt *time.Time      `json:"observed_at,omitempty"` // the oldest that it rests on
	Why        string          `json:"why"`
	Next       string          `json:"next,omitempty"`
}

// Orders is what the order ledger says.
type Orders struct {
	Acknowledged int `json:"acknowledged"`
	Processed    int `json:"processed"`
	Pending      int `json:"pending"`
	Lost         int `json:"lost"`
	Twice        int `json:"twice"`
	// Source says what the figures rest on.
	Source string `json:"source"`
	// Unknown says why there are no figures; then the others are zero and mean nothing.
	Unknown string `json:"unknown,omitempty"`
}

// Stop is a time in which the queues took no order, as a run measured it.
type Stop struct {
	What string           `json:"what"`
	MS   migration.Figure `json:"ms"`
	Run  string           `json:"run,omitempty"`
	At   time.Time        `json:"at"`
	// Drill: it was made on purpose, to see what becomes of it.
	Drill bool `json:"drill"`
}

// Rollback is a way back that was taken.
type Rollback struct {
	What string           `json:"what"`
	MS   migration.Figure `json:"ms"`
	Run  string           `json:"run,omitempty"`
	At   time.Time        `json:"at"`
	By   string           `json:"by,omitempty"`
}

// Run is a run that changed something.
type Run struct {
	ID          string             `json:"id"`
	Title       string             `json:"title"`
	State       migration.RunState `json:"state"`
	RequestedBy string             `json:"requested_by"`
	// ApprovedBy are those who approved it; empty: it needed no approval, or got none.
	ApprovedBy []string   `json:"approved_by"`
	At         time.Time  `json:"at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	PlanHash   string     `json:"plan_hash"`
	RollbackOf string     `json:"rollback_of,omitempty"`
	// RolledBackBy is the run that took it back, and Lacks what keeps it from being done.
	RolledBackBy string `json:"rolled_back_by,omitempty"`
	Lacks        string `json:"lacks,omitempty"`
}

// Waiver is a decision to go on although something was unknown.
type Waiver struct {
	Member    string     `json:"member"`
	By        string     `json:"by"`
	Why       string     `json:"why"`
	At        time.Time  `json:"at"`
	Until     time.Time  `json:"until"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

// Counts reports whether the waiver counts at a time.
func (w Waiver) Counts(at time.Time) bool { return w.RevokedAt == nil && w.Until.After(at) }

// Incident is an alert.
type Incident struct {
	Title    string     `json:"title"`
	Severity string     `json:"severity" enum:"info,warning,error,critical"`
	Began    time.Time  `json:"began"`
	Ended    *time.Time `json:"ended,omitempty"` // absent: it is open
	// Acknowledged says who looked after it, and how.
	Acknowledged string `json:"acknowledged,omitempty"`
	Run          string `json:"run,omitempty"` // the run of ours during which it began
}

// Next is what can be done now.
type Next struct {
	Title string `json:"title"`
	Why   string `json:"why"`
}

// Milestone is a date of the plan.
type Milestone struct {
	Title string    `json:"title"`
	Due   time.Time `json:"due"`
	Owner string    `json:"owner,omitempty"`
	// DoneAt is when its step was done; absent where that is not known, or it is not done.
	DoneAt *time.Time `json:"done_at,omitempty"`
	Done   bool       `json:"done"`
}

// Risk is one of the plan.
type Risk struct {
	Title      string `json:"title"`
	Severity   string `json:"severity"`
	Mitigation string `json:"mitigation"`
}

// Version is what is in use.
type Version struct {
	What    string `json:"what"`
	Version string `json:"version"`
}
