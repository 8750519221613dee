package migration

import (
	"encoding/json"
	"time"
)

// Role is what an account may do.
type Role string

const (
	// RoleViewer may look at everything and change nothing.
	RoleViewer Role = "viewer"
	// RoleEngineer may start, approve, cancel and roll back steps.
	RoleEngineer Role = "engineer"
)

// Actor is who does something: a signed-in account, or "switchyard" itself.
type Actor struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
}

// RunState is where a run stands. A run is one attempt at a step.
type RunState string

const (
	// RunAwaitingApproval: planned, waiting for a person. Left by approve (queued), reject
	// or expiry (rejected), cancel (cancelled). Also before an action that needs an
	// approval of its own, see Run.Waiting: there approve, reject and cancel all lead to
	// queued, the latter two for taking back what was done.
	RunAwaitingApproval RunState = "awaiting_approval"
	// RunQueued: allowed to start; the engine picks it up at once, also after a restart.
	RunQueued RunState = "queued"
	// RunRunning: actions are being carried out. A killed process resumes it at the first
	// action not finished.
	RunRunning RunState = "running"
	// RunUndoing: an action failed or the run was cancelled; finished actions are being
	// undone in reverse.
	RunUndoing RunState = "undoing"
	// RunSucceeded: every action done. Final, until rolled back by another run.
	RunSucceeded RunState = "succeeded"
	// RunFailed: an action failed; what could be undone was. Final.
	RunFailed RunState = "failed"
	// RunCancelled: a person stopped it; what could be undone was. Final.
	RunCancelled RunState = "cancelled"
	// RunRejected: not approved. Final; nothing was done.
	RunRejected RunState = "rejected"
)

// Pausable reports whether the action under way can be held up.
func (r Run) Pausable() bool {
	if r.State != RunRunning || r.Rollback != "" || r.CancelledBy != "" {
		return false
	}
	for _, a := range r.Actions {
		if a.State == ActionRunning {
			return a.Pausable
		}
	}
	return false
}

// Copies reports whether an action of it copies many things, and so is measured.
func (r Run) Copies() bool {
	for _, a := range r.Plan.Actions {
		if a.Pausable {
			return true
		}
	}
	return false
}

// Disturbs reports whether a run of the step makes servers refuse or delay commands: by a
// failover, a frozen server, a fence.
func (r Run) Disturbs() bool {
	switch r.Step {
	case StepSentinelMove, StepSentinelTest, StepBreakerDrill, StepWebhookRetry, StepMoveQueues,
		StepDecommission:
		return r.StartedAt != nil
	}
	return false
}

// Open reports whether the run still needs somebody or something.
func (s RunState) Open() bool {
	switch s {
	case RunAwaitingApproval, RunQueued, RunRunning, RunUndoing:
		return true
	}
	return false
}

// Params are a step's parameters; only cutover takes any.
type Params struct {
	To Stage `json:"to,omitempty"`
	// Ramp is the percentage of order keys whose authority is the target; only with live.
	Ramp int `json:"ramp,omitempty" minimum:"1" maximum:"100"`
	// Limits are guardrails that are set for this move alone; only with a move forward.
	Limits Limits `json:"limits,omitzero"`
}

// ParamsOf gives the parameters of a stage move at the configured limits.
func ParamsOf(m StageMove) Params { return Params{To: m.To, Ramp: m.Ramp} }

// Move gives the parameters as a stage move.
func (p Params) Move() StageMove { return StageMove{To: p.To, Ramp: p.Ramp} }

// Suffix completes the name of a step by its parameters, for people: " to live at 10 %";
// empty where there are none.
func (p Params) Suffix() string {
	if p.To == "" {
		return ""
	}
	return " to " + p.Move().String()
}

// Approval is the kind of consent a step needs before it touches production.
type Approval string

const (
	// ApprovalNone: reads only, or touches nothing that serves orders.
	ApprovalNone Approval = "none"
	// ApprovalOne: an engineer, also the one who asked, confirms the plan that is shown.
	ApprovalOne Approval = "one"
	// ApprovalTwo: irreversible; an engineer other than the one who asked types the
	// migration's name.
	ApprovalTwo Approval = "two"
)

// ActionPlan is one line of what a run will do.
type ActionPlan struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Changes string `json:"changes,omitempty"` // what it changes in production; empty: reads only
	Undo    string `json:"undo,omitempty"`    // how it is taken back; empty with Changes: it is not
	// Pausable: it can be held up and let go on at any time.
	Pausable bool `json:"pausable,omitempty"`
	// Approval is what the run waits for before this action; empty: the run's own approval covers it.
	Approval Approval `json:"approval,omitempty" enum:"one,two"`
}

// Consent is an answer to a run that waited before one of its actions.
type Consent struct {
	Action   string    `json:"action"`
	Approved bool      `json:"approved"`
	By       string    `json:"by"`
	Comment  string    `json:"comment,omitempty"`
	At       time.Time `json:"at"`
}

// Waiting gives the action that the run waits with for an approval. A run that waits for
// its start waits with none.
func (r Run) Waiting() (ActionPlan, bool) {
	if r.State != RunAwaitingApproval || r.StartedAt == nil {
		return ActionPlan{}, false
	}
	left := len(r.Approvals)
	for _, a := range r.Plan.Actions {
		if a.Approval == "" {
			continue
		}
		if left == 0 {
			return a, true
		}
		left--
	}
	return ActionPlan{}, false
}

// Needs is the approval that the run waits for now.
func (r Run) Needs() Approval {
	if a, ok := r.Waiting(); ok {
		return a.Approval
	}
	return r.Plan.Approval
}

// Measure is how far an action is that copies many things.
type Measure struct {
	What string `json:"what"` // the queues
	// of a whole move: copy, pause, fence, settle, activate; "jobs": one by one
	Phase     string  `json:"phase"`
	Unit      string  `json:"unit"`                 // what is counted: keys, jobs
	Done      int64   `json:"done"`                 // copied and compared, or moved
	Total     int64   `json:"total,omitempty"`      // about how many there are; 0: not known
	PerSecond float64 `json:"per_second,omitempty"` // units
	// of the copy, at the present pace and the limits; 0: not known
	ETASeconds float64 `json:"eta_seconds,omitempty"`
	Changed    int     `json:"changed"` // keys that changed since they were copied
	// predicted: how long the queues would stand still if they did now
	FreezeMS  int64   `json:"freeze_ms"`
	LatencyMS float64 `json:"latency_ms,omitempty"` // of the source, p99; 0: not measured
	// rest before each batch, because the source answers slowly
	BackingOffMS float64 `json:"backing_off_ms"`
}

// StepPlan is what a step would do now: computed without changing anything, and bound by
// its hash to the approval given for it.
type StepPlan struct {
	Step    string `json:"step"`
	Params  Params `json:"params"`
	Summary string `json:"summary"`
	// what orders and people will notice, and for how long
	Impact       string       `json:"impact"`
	Approval     Approval     `json:"approval"`
	Irreversible bool         `json:"irreversible"`
	Gates        []Gate       `json:"gates" nullable:"true"`
	Actions      []ActionPlan `json:"actions" nullable:"true"`
	Observed     []Fact       `json:"observed,omitempty"` // what planning found
	// Settings are the servers' settings that it will change; they are part of what is approved.
	Settings []SettingChange `json:"settings,omitempty"`
	// ConfigVars are the apps' config vars that it will change; they are part of what is
	// approved. Values are never shown.
	ConfigVars []ConfigVarChange `json:"config_vars,omitempty"`
	// Guardrails take it back by themselves; they are part of what is approved.
	Guardrails []GuardrailRule `json:"guardrails,omitempty"`
	Hash       string          `json:"hash"` // of what is to be done, not of what was observed
}

// Waivers are those with which the plan was approved.
func (p StepPlan) Waivers() []Waiver {
	var out []Waiver
	for _, g := range p.Gates {
		for _, m := range g.Asked.Members {
			if m.Waiver != nil {
				out = append(out, *m.Waiver)
			}
		}
	}
	return out
}

// SettingChange is one setting of one server.
type SettingChange struct {
	Node  string `json:"node"`
	Name  string `json:"name"`
	From  string `json:"from"`
	To    string `json:"to"`
	Check string `json:"check"` // of the audit: which one asks for it
	Why   string `json:"why"`
	Risk  string `json:"risk"`
	// Survives: the server has a configuration file to write it to.
	Survives bool `json:"survives_restart"`
}

// ConfigVarChange is one config var of one app.
type ConfigVarChange struct {
	App    string `json:"app"`
	Name   string `json:"name"`
	Change string `json:"change" enum:"set,changed,unchanged,removed"`
	// Restarts: the app restarts with it.
	Restarts bool `json:"restarts"`
	// ByHand: a person does both.
	ByHand bool `json:"by_hand,omitempty"`
}

// Fact is a label with a value, for people.
type Fact struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// Run is one attempt at a step.
type Run struct {
	ID          string   `json:"id"`
	MigrationID string   `json:"migration_id"`
	Step        string   `json:"step"`
	Params      Params   `json:"params"`
	State       RunState `json:"state"`
	// Rollback is the id of the run that this one takes back; empty for a forward run.
	Rollback    string   `json:"rollback_of,omitempty"`
	Plan        StepPlan `json:"plan"`
	RequestedBy string   `json:"requested_by"`
	DecidedBy   string   `json:"decided_by,omitempty"`
	Comment     string   `json:"comment,omitempty"`
	CancelledBy string   `json:"cancelled_by,omitempty"`
	Error       string   `json:"error,omitempty"` // why it failed, in words for people
	// PausedBy is who holds the run up; empty while it goes on. What cannot be held up is
	// finished first.
	PausedBy string `json:"paused_by,omitempty"`
	Progress string `json:"progress,omitempty"`
	// Measure is the same in figures, where the action under way has any.
	Measure    *Measure   `json:"measure,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	// RolledBackBy is the run that took this one back; such a run no longer counts as done.
	RolledBackBy string `json:"rolled_back_by,omitempty"`
	// Approvals are the answers given before single actions, in order.
	Approvals []Consent   `json:"approvals,omitempty"`
	Actions   []RunAction `json:"actions,omitempty"`
	// Lacks says in a few words what keeps a run that succeeded from being done, as its result
	// does: "3 of 4 snapshots"; empty: nothing.
	Lacks string `json:"lacks,omitempty"`
	// Result is what it came to, once it is over and where one run is asked for.
	Result *RunResult `json:"result,omitempty"`
	// Guardrails are those that watch it, as they were judged last; where one run is asked for.
	Guardrails []Guardrail `json:"guardrails,omitempty"`
}

// ActionState is where one action of a run stands.
type ActionState string

const (
	ActionPending ActionState = "pending"
	ActionRunning ActionState = "running"
	ActionDone    ActionState = "done"
	ActionFailed  ActionState = "failed"
	ActionUndone  ActionState = "undone"
)

// RunAction is one action of a run as it went.
type RunAction struct {
	ActionPlan
	State  ActionState `json:"state"`
	Detail string      `json:"detail,omitempty"` // progress or error, in words
	// Output is what it told the actions after it, as any JSON value.
	Output     json.RawMessage `json:"output,omitempty"`
	StartedAt  *time.Time      `json:"started_at,omitempty"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
}

// Short says what an action that is done leaves to be desired, as its output has it under "short",
// such as "3 of 4 snapshots taken"; empty: nothing.
func (a RunAction) Short() string {
	var said struct {
		Short string `json:"short"`
	}
	if a.State == ActionDone && len(a.Output) > 0 {
		_ = json.Unmarshal(a.Output, &said) // an output of another form says nothing of it
	}
	return said.Short
}

// OutputOf reads what an action of a run gave; false: nothing, or of another form.
func OutputOf[T any](r Run, action string) (v T, ok bool) {
	for _, a := range r.Actions {
		if a.ID == action && len(a.Output) > 0 && string(a.Output) != "null" {
			return v, json.Unmarshal(a.Output, &v) == nil
		}
	}
	return v, false
}

// LogLine is one line of a run's log.
type LogLine struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Action  string    `json:"action"`
	Level   string    `json:"level" enum:"info,warn,error"`
	Message string    `json:"message"`
}
