// Package progress says where a migration stands and what can be done next. It is worked
// out from what was read; nothing here reads.
package progress

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// GateResidue names the gate that nothing may be left on the source before it is decommissioned.
const GateResidue = "residue"

// View is everything that decides what may be done next, read at one time.
type View struct {
	Migration migration.Migration
	Routing   migration.Routing // of the first routed queue
	// Queues is what the flags say of each routed queue.
	Queues []QueueRouting
	// StageSince is when the stage was last changed.
	StageSince time.Time
	// Latest is the newest evidence of each check.
	Latest    map[string]migration.Evidence
	Checklist migration.Checklist
	// World is what is there now, as far as somebody looked.
	World migration.World
	// Waivers are those of people for who is unknown.
	Waivers []migration.Waiver
	Runs    []migration.Run // newest first
	Open    *migration.Run  // the one that is not over; nil: none
	Ramp    []int           // the shares of the live stage, in percent
	// Headline is whether somebody has to do something else first; nil: nobody looked.
	Headline *migration.Headline
	At       time.Time
}

// QueueRouting is what the flags say of one queue.
type QueueRouting struct {
	Queue   string
	Routing migration.Routing
}

// Basis is what verdicts on a check rest on.
func (v View) Basis() evidence.Basis {
	b := evidence.Basis{
		At:      v.At,
		Latest:  v.Latest,
		World:   v.World,
		Waivers: v.Waivers,
		Undone:  map[string]bool{},

		Complete: v.at(migration.StageComplete).Verdict() == migration.Met,
	}
	for _, r := range v.Runs {
		b.Undone[r.ID] = r.RolledBackBy != "" ||
			r.State == migration.RunFailed || r.State == migration.RunCancelled
	}
	return b
}

// Required is what the plan's criteria say of a check; false when none asks for it.
func (v View) Required(check string) (migration.Finding, bool) {
	for _, i := range v.Checklist {
		for _, f := range i.Findings {
			if f.Check == check {
				return f, true
			}
		}
	}
	return migration.Finding{}, false
}

// Finding is a check judged: by the plan's limits, or by its own where no criterion asks for it.
func (v View) Finding(check string) migration.Finding {
	if f, ok := v.Required(check); ok {
		return f
	}
	return evidence.Find(check, v.Basis())
}

// Waive gives gates with the waivers of people that count now.
func (v View) Waive(gates []migration.Gate) []migration.Gate {
	out := make([]migration.Gate, len(gates))
	for i, g := range gates {
		out[i] = g.Waive(v.Waivers, v.At)
	}
	return out
}

func (v View) StepIDs() []string {
	var ids []string
	for _, s := range v.Migration.Plan.Steps {
		ids = append(ids, s.ID)
	}
	return ids
}

// LatestRun is the newest forward run of a step that succeeded and was not taken back.
func (v View) LatestRun(step string) *migration.Run {
	for i, r := range v.Runs {
		if r.Step == step && r.Rollback == "" && r.State == migration.RunSucceeded &&
			r.RolledBackBy == "" {
			return &v.Runs[i]
		}
	}
	return nil
}

// Settling gives the newest cutover run, where it moved the queue forward to where it stands
// and ended less than a time ago: what goes wrong now may be its doing. former says where a
// run came from.
func (v View) Settling(
	within time.Duration, former func(migration.Run) (migration.Params, error),
) (migration.Run, bool) {
	for _, r := range v.Runs {
		if r.Step != migration.StepCutover || r.State == migration.RunRejected {
			continue
		}
		from, err := former(r)
		at := migration.StageMove{To: v.Routing.Stage, Ramp: v.Routing.Ramp}
		ok := err == nil && r.State == migration.RunSucceeded && r.Params.Move() == at &&
			r.FinishedAt != nil && v.At.Sub(*r.FinishedAt) <= within &&
			migration.Routing{Stage: from.To, Ramp: from.Ramp}.Forward(at)
		return r, ok
	}
	return migration.Run{}, false
}

func (v View) Dependants(step string) []string {
	var ids []string
	for _, s := range v.Migration.Plan.Steps {
		if slices.Contains(s.Needs, step) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Met reports whether a check's latest evidence holds, is fresh, and is about what is there
// now, by the plan's own limits.
func (v View) Met(check string) bool { return v.Finding(check).Verdict == migration.Met }

// Done reports whether a step need not be done (any more).
func (v View) Done(step string) bool {
	switch step {
	case migration.StepFixPolicy:
		// Not a matter of having been run: the policy itself counts, and it may be set back
		// behind our back.
		return v.LatestRun(migration.StepAudit) != nil && v.Met(evidence.Policy)
	case migration.StepCutover:
		return v.Routing.Stage == migration.StageComplete
	case migration.StepDualWrite:
		return v.Met(evidence.DualWrite)
	case migration.StepMoveResidue:
		if GateRemoved(GateResidue) {
			return true
		}
	}
	// A run that proved something counts as long as the proof does.
	if check := proofOf[step]; check != "" && !v.Met(check) {
		return false
	}
	return v.LatestRun(step) != nil
}

// proofOf names the check that a step exists to satisfy.
var proofOf = map[string]string{
	migration.StepSentinelTest: evidence.Failover,
	migration.StepBreakerDrill: evidence.Drill,
	migration.StepWebhookRetry: evidence.Retries,
	migration.StepProvision:    evidence.TargetPlan,
}

// Back reports whether a step with these parameters takes the queue back towards the source.
func (v View) Back(step string, p migration.Params) bool {
	return step == migration.StepCutover && v.Routing.Check(p.Move()) == nil &&
		!v.Routing.Forward(p.Move())
}

// WayBack gives the next move towards the source; false where the queue is at off, or the
// source was released. It hangs on nothing else.
func (v View) WayBack() (migration.StageMove, bool) {
	if !v.Routing.HasSource() {
		return migration.StageMove{}, false
	}
	return v.Routing.Before()
}

// Needs gives one gate for each step that must be done before a step of these parameters. A
// move back needs none: whatever became of what once was shown is a reason to go back.
func (v View) Needs(step string, p migration.Params) []migration.Gate {
	if v.Back(step, p) {
		return nil
	}
	s, _ := v.Migration.Plan.Step(step)
	var gates []migration.Gate
	if v.Headline != nil && disruptive[step] {
		gates = append(gates, v.calmGate())
	}
	for _, id := range s.Needs {
		need, _ := v.Migration.Plan.Step(id)
		says, next := "not done", "run the step "+need.Title
		if v.Done(id) {
			says = "done"
		} else if check := proofOf[id]; check != "" && v.LatestRun(id) != nil {
			// it was run, and what it showed is not so any more
			c, _ := evidence.Of(check)
			says, next = v.Finding(check).Measured, c.Again()
		}
		gates = append(gates, migration.Claim{
			ID:       "step:" + id,
			Title:    need.Title,
			Limit:    "done",
			Measured: says,
			Next:     next,
			Asked:    migration.One("step", id, migration.Truth(v.Done(id)), says),
		}.Gate())
	}
	return gates
}

func (v View) Steps() []migration.StepStatus {
	var out []migration.StepStatus
	for _, s := range v.Migration.Plan.Steps {
		st := migration.StepStatus{PlanStep: s, State: migration.StepTodo}
		for i, r := range v.Runs {
			if r.Step == s.ID {
				st.LastRun = &v.Runs[i]
				break
			}
		}
		for _, m := range v.Migration.Plan.Milestones {
			if m.Step == s.ID {
				due := v.Migration.EventDate.Add(m.At)
				st.Due = &due
			}
		}
		failing := migration.Failing(v.Needs(s.ID, migration.Params{}))
		switch {
		case v.Open != nil && v.Open.Step == s.ID:
			st.State = migration.StepActive
		case v.Done(s.ID):
			st.State = migration.StepDone
			if s.ID == migration.StepFixPolicy && st.LastRun == nil {
				st.State, st.Why = migration.StepSkipped, "the policy is already noeviction"
			}
		case s.ID == migration.StepCutover && v.Routing.Stage != migration.StageOff:
			st.State, st.Why = migration.StepActive, "Stage: "+v.Routing.String()
		case len(failing) > 0:
			st.State, st.Why = migration.StepBlocked, "Blocked by: "+failing[0].Title
		case st.LastRun != nil && (st.LastRun.State == migration.RunFailed ||
			st.LastRun.State == migration.RunCancelled):
			st.State, st.Why = migration.StepFailed, st.LastRun.Error
		}
		switch st.State {
		case migration.StepTodo:
			st.Blocking = len(v.blocking(s.ID))
		case migration.StepDone:
			if r := v.LatestRun(s.ID); r != nil {
				st.DoneAt = r.FinishedAt
			}
		}
		out = append(out, st)
	}
	return out
}

// NextSteps lists what a person can do now, the recommended thing first.
func (v View) NextSteps() []migration.NextStep {
	if r := v.Open; r != nil {
		s, _ := v.Migration.Plan.Step(r.Step)
		if r.State == migration.RunAwaitingApproval {
			next := migration.NextStep{
				Verb: migration.VerbApprove, Step: r.Step, Params: r.Params, RunID: r.ID,
				Title: "Approve: " + s.Title + r.Params.Suffix(),
				Why:   "Review the plan, then approve or reject.",
			}
			if r.Needs() == migration.ApprovalTwo {
				next.ConfirmName = v.Migration.Name
				next.Why = fmt.Sprintf(
					"Irreversible: an engineer other than %s must approve it.", r.RequestedBy)
			}
			if a, ok := r.Waiting(); ok {
				next.Action = a.ID
				next.Title += ": " + a.Title
			}
			return []migration.NextStep{next}
		}
		return []migration.NextStep{
			{
				Verb:   migration.VerbWatch,
				Step:   r.Step,
				Params: r.Params,
				RunID:  r.ID,
				Title:  "Watch: " + s.Title + r.Params.Suffix(),
				Why:    "In progress.",
			},
		}
	}
	var out []migration.NextStep
	if f, ok := v.Required(evidence.Scan); ok && f.Verdict != migration.Met &&
		v.Latest[evidence.Drill].Check != "" {
		out = append(
			out,
			migration.NextStep{
				Verb:  migration.VerbScan,
				Step:  migration.StepBreakerDrill,
				Title: "Scan the app's source code",
				Why: f.Measured + ". The drill only covers some queues; the source code shows " +
					"every producer.",
			},
		)
	}
	for _, s := range v.Steps() {
		switch s.State {
		case migration.StepDone, migration.StepSkipped, migration.StepBlocked:
			continue
		}
		if s.PlanStep.ID == migration.StepCutover {
			if move, why, ok := v.NextMove(); ok && (v.calm() || v.Back(s.PlanStep.ID,
				migration.ParamsOf(move))) {
				out = append(
					out,
					migration.NextStep{
						Verb:   "start",
						Step:   migration.StepCutover,
						Params: migration.ParamsOf(move),
						Title:  "Cutover: move to " + move.String(),
						Why:    why,
					},
				)
			}
			continue
		}
		if !possibleAt(s.PlanStep.ID, v.Routing.Stage) {
			continue
		}
		out = append(
			out,
			migration.NextStep{
				Verb:  "start",
				Step:  s.PlanStep.ID,
				Title: s.PlanStep.Title,
				Why:   s.PlanStep.Why,
			},
		)
	}
	if move, ok := v.WayBack(); ok && !slices.ContainsFunc(out, func(n migration.NextStep) bool {
		return n.Step == migration.StepCutover && n.Params.Move() == move
	}) {
		out = append(out, migration.NextStep{
			Verb:   migration.VerbStart,
			Step:   migration.StepCutover,
			Params: migration.ParamsOf(move),
			Title:  "Cutover: move back to " + move.String(),
			Why:    "The way back is always open and needs no approval.",
		})
	}
	return out
}

// possibleAt reports whether a step can do its work while the queue is at a stage; the steps'
// own gates say why it cannot.
func possibleAt(step string, s migration.Stage) bool {
	switch step {
	case migration.StepSentinelMove, migration.StepProvision:
		return s == migration.StageOff
	case migration.StepBreakerDrill, migration.StepWebhookRetry:
		return s.Index() <= migration.StageShadow.Index()
	case migration.StepDualWrite: // it compares what the shadow stage runs
		return s == migration.StageShadow
	}
	return true
}

// NextMove gives the stage move that leads on, if any is due.
func (v View) NextMove() (migration.StageMove, string, bool) {
	switch r := v.Routing; r.Stage {
	case migration.StageOff:
		return migration.StageMove{
			To: migration.StageDualWrite,
		}, "Orders stay on the source; the target stores a copy of each.", true
	case migration.StageDualWrite:
		return migration.StageMove{
			To: migration.StageShadow,
		}, "The target runs the copies without side effects, and results are compared.", true
	case migration.StageShadow:
		if !v.Met(evidence.Rollback) && v.Routing.HasSource() {
			return migration.StageMove{
				To: migration.StageDualWrite,
			}, "Rehearse a rollback once before the target becomes primary.", true
		}
		if !v.Met(evidence.DualWrite) {
			return migration.StageMove{}, "", false // the validation is next
		}
		return migration.StageMove{
				To:   migration.StageLive,
				Ramp: v.Ramp[0],
			}, fmt.Sprintf(
				"The target becomes primary for %d %% of orders.",
				v.Ramp[0],
			), true
	case migration.StageLive:
		for _, p := range v.Ramp {
			if p > r.Ramp {
				return migration.StageMove{
						To:   migration.StageLive,
						Ramp: p,
					}, fmt.Sprintf(
						"The target becomes primary for %d %% of orders.",
						p,
					), true
			}
		}
		return migration.StageMove{
				To: migration.StageRampDown,
			}, "All orders run on the target; the source stores a copy of each, so a rollback " +
				"loses " +
				"nothing.", true
	case migration.StageRampDown:
		return migration.StageMove{
			To: migration.StageComplete,
		}, "Orders only use the target; the source drains.", true
	}
	return migration.StageMove{}, "", false
}

func (v View) Phase() string {
	switch {
	case v.Checklist.MetCount() == len(v.Checklist):
		return "Complete: all criteria are met"
	case v.LatestRun(migration.StepDecommission) != nil:
		return "Decommissioned"
	case v.Routing.Stage == migration.StageComplete:
		return "Cut over; the old Redis still has to be decommissioned"
	case v.Routing.Stage != migration.StageOff:
		return "Cutting over: " + v.Routing.String()
	case v.Routing.Source == migration.SourceSentinel:
		return "On Sentinel"
	case v.LatestRun(migration.StepAudit) != nil:
		return "On the single Redis, audited"
	}
	return "Not started: on the single Redis"
}
