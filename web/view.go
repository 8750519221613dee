package web

import (
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Who is the person looking at the page.
type Who struct {
	migration.Actor
	// CSRF is the token that every form of this session carries.
	CSRF string
}

// CanAct reports whether the person may start, approve, cancel and roll back.
func (w Who) CanAct() bool { return w.Role == migration.RoleEngineer }

// Frame is what surrounds a page.
type Frame struct {
	Title         string
	Section       string // entry of the navigation that is current
	Path          string // of this page with its query: where its fragment is fetched again
	Stream        string // address of the event stream; empty: the page is not live
	MigrationID   string
	MigrationName string
	Who           Who
	Theme         string // light, dark, or empty for the system's
	Version       string
	Now           time.Time
	Notice        *Notice
}

// Notice is an answer to what the person just tried.
type Notice struct {
	Title string
	Text  string
	Gates []migration.Gate // preconditions that do not hold
}

// Step is the page of one step.
type Step struct {
	MigrationID string
	Status      migration.StepStatus
	Params      migration.Params
	Plan        migration.StepPlan
	PlanError   string // why there is no plan; empty when there is one
	Runs        []migration.Run
	Open        *migration.Run // the run that holds the migration, of whichever step
	Proves      []migration.Item
	Cutover     *Cutover              // nil for every other step
	Audit       *workflows.RedisAudit // of the step audit; nil before there is one
	Now         time.Time
	Who         Who
}

// RedisAudit is the page of the last audit of the source.
type RedisAudit struct {
	MigrationID string
	Audit       workflows.RedisAudit
	Now         time.Time
}

// Cutover is what the page of the step cutover shows on top.
type Cutover struct {
	Routing migration.Routing
	Moves   []Move
	Share   *migration.Share // nil: not measured
}

// Move is one change of routing that is offered.
type Move struct {
	migration.StageMove
	Kind        string // forward, ramp, back
	Recommended bool
	Chosen      bool
}

// Run is the page of one run.
type Run struct {
	MigrationID   string
	MigrationName string
	StepTitle     string
	Run           migration.Run
	Log           []migration.LogLine
	LogSkipped    bool // earlier lines exist and are not shown
	RollbackPlan  *migration.StepPlan
	RollbackError string // why a rollback cannot be planned now
	Draft         Draft
	Now           time.Time
	Who           Who
}

// Draft is what the person typed before a refusal.
type Draft struct {
	Comment     string
	ConfirmName string
}

// Queues is the page of both sides' queues.
type Queues struct {
	MigrationID string
	At          time.Time
	Now         time.Time
	Sides       []QueueSide
}

// QueueSide is one server's queues.
type QueueSide struct {
	Side     string // source, target
	Endpoint string
	Address  string // without credentials
	Error    string // why it could not be read
	Queues   []Queue
	Looking  string // that there may be more, and how far the search is; "" when all are known
}

// Queue is the census of one queue.
type Queue struct {
	Name    string
	Version string     // of BullMQ; empty when it does not say
	Pending int64      // every job that is not completed
	Oldest  *time.Time // when the job next in line was added; nil when none waits
	States  []StateCount
	Paused  bool
}

// StateCount is the number of jobs in one state.
type StateCount struct {
	State string
	Jobs  int64
}

// FlagSetting is what every page about flags has around its content.
type FlagSetting struct {
	MigrationID string
	Tab         string // flags, history, schedules, workers, keys
	Sets        []migration.FlagSet
	View        migration.FlagSetView
	Now         time.Time
	Who         Who
}

// Flags is the list of the flags of a set.
type Flags struct {
	FlagSetting
	Search  string
	Workers []Worker
	// Routing and Share are of the migration's own set; nil for any other.
	Routing *migration.Routing
	Share   migration.Share
	NewSet  NewFlagSet
}

// NewFlagSet is what was typed into the form for a set.
type NewFlagSet struct{ ID, Name string }

// VariantRow is one line of the variants as it is typed.
type VariantRow struct{ Name, Value string }

// FlagDraft is a flag as it is being edited.
type FlagDraft struct {
	Key, State, Default, Targeting, Type, Owner, Description string
	Permanent                                                bool
	Variants                                                 []VariantRow
	Raw                                                      string // the whole definition; used when AsJSON
	AsJSON                                                   bool
	Definition                                               string // what the draft was made from, so that nothing the fields do not show is lost
	Base                                                     int64
	New                                                      bool
	Context                                                  string // for the preview, JSON
}

// FlagEditor is the page on which one flag is edited.
type FlagEditor struct {
	FlagSetting
	Draft   FlagDraft
	Managed string // by what; then it is shown and not edited
	Preview *FlagPreview
}

// FlagPreview is what a worker would get.
type FlagPreview struct{ Variant, Reason, Value, Error string }

// FlagReview is what a change would do, before it is saved.
type FlagReview struct {
	FlagSetting
	Check  migration.FlagCheck
	Edit   string // the change, as the form carries it on
	Key    string // of the one flag that is changed; empty: several
	Draft  string // its new definition; empty: it is deleted
	New    bool   // the flag is not there yet
	Reason string
	At     string
	// Context is what the draft was previewed with, kept for the way back.
	Context string
	Theirs  []migration.FlagSetRevision // saved by others since the change was begun, newest first
}

// FlagHistory is the page of a set's revisions.
type FlagHistory struct {
	FlagSetting
	Revisions []migration.FlagSetRevision
	Before    int64 // the page starts below this revision; 0: at the latest
	Older     int64 // revision to go on from; 0: none
	Import    string
	Reason    string
}

// FlagSchedules is the page of changes that are to happen by themselves.
type FlagSchedules struct {
	FlagSetting
	Schedules []migration.FlagSchedule
	Ramp      []RampRow
}

// RampRow is one line of a ramp plan as it is typed.
type RampRow struct{ At, Share string }

// FlagWorkers is the page of who holds what.
type FlagWorkers struct {
	FlagSetting
	Workers []Worker
}

// FlagKeys is the page of the keys.
type FlagKeys struct {
	FlagSetting
	Keys  []migration.APIKey
	Token string // of the key that was just made; shown on this one answer
	Name  string // of that key, or as it was typed
	Rate  string
}

// Worker is a process that reads the flags, as it last said of itself.
type Worker struct {
	migration.Worker
	LastKnownGood bool // it could not reach Switchyard and uses what it last knew
}

// Evidence is the page of one criterion.
type Evidence struct {
	MigrationID string
	Item        migration.Item
	Steps       []migration.PlanStep // that gather its evidence
	History     []Judged
	Now         time.Time
}

// Judged is a past observation with what it showed by itself, whatever its age.
type Judged struct {
	migration.Evidence
	Verdict  migration.Verdict
	Measured string
}

// Audit is a page of the audit log.
type Audit struct {
	MigrationID string
	Entries     []migration.AuditEntry
	Newest      bool  // no later entries exist
	Older       int64 // sequence number to go on from; 0: none
	Path        string
}

// Plan is the page of the plan.
type Plan struct {
	MigrationID string
	Plan        migration.Plan
	EventDate   time.Time
	Steps       []migration.StepStatus
	Now         time.Time
}

// SignIn is the sign-in page.
type SignIn struct {
	Name  string
	Next  string // local path to go on to
	Error string
}

// Failure is an error page.
type Failure struct {
	Status    int
	Title     string
	Text      string
	Gates     []migration.Gate
	RequestID string
}
