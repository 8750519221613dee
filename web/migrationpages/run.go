package migrationpages

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// Run is the page of one run.
type Run struct {
	MigrationID   string
	MigrationName string
	StepTitle     string
	Run           migration.Run
	Log           []migration.LogLine
	LogSkipped    bool                // earlier lines exist and are not shown
	RollbackPlan  *migration.StepPlan // nil: it cannot be taken back, as its result says
	Draft         Draft
	Now           time.Time
	Who           ui.Who
	Others        []ui.Viewer // who else looks at it
	// WayBack is the next move back of the cutover; nil: there is none.
	WayBack *migration.WayBack
	Flow    *Flow // of orders during a cutover; nil: not measured
}

// watch is what stays in sight of a cutover's run.
func (v Run) watch() Cockpit {
	c := Cockpit{Guardrails: v.Run.Guardrails, WayBack: v.WayBack}
	if v.Run.State.Open() {
		c.Open = &v.Run
	} else {
		c.Over = true
	}
	return c
}

// Draft is what the person typed before a refusal.
type Draft struct {
	Comment     string
	ConfirmName string
}

// done counts the actions that are carried out.
func done(r migration.Run) (n int) {
	for _, a := range r.Actions {
		if a.State == migration.ActionDone {
			n++
		}
	}
	return n
}

// saysNow is one line that is there from the start of a run to its end, so that nothing moves
// when there is more to say.
func saysNow(r migration.Run) string {
	switch a, midway := r.Waiting(); {
	case midway:
		return fmt.Sprintf("%d of %d actions are done. Waiting for approval of the next one: %s.",
			done(r), len(r.Actions), a.Title)
	case r.State == migration.RunAwaitingApproval:
		return "Nothing happens until somebody approves it."
	case r.State.Open() && r.Progress != "" && r.Measure == nil:
		return ui.Title(r.Progress)
	case r.State == migration.RunQueued:
		return "It starts in a moment."
	case r.State == migration.RunUndoing:
		return "Completed actions are being undone."
	case r.State.Open():
		for _, a := range r.Actions {
			if a.State == migration.ActionRunning {
				return a.Title
			}
		}
		return "Started."
	case r.Result == nil:
		return "Ended."
	}
	return r.Result.Said
}

// decidedBy is who decided on a run, as far as somebody has.
func decidedBy(r migration.Run) string {
	if r.DecidedBy == "" && r.State == migration.RunAwaitingApproval {
		return "nobody yet"
	}
	return r.DecidedBy
}

func duration(r migration.Run, now time.Time) string {
	if r.StartedAt == nil {
		return "not started"
	}
	return migration.Words(worked(r, now))
}

func happening(r migration.Run) string {
	switch s := r.State; {
	case r.State == migration.RunAwaitingApproval && r.StartedAt == nil:
		return "What will happen"
	case s.Open():
		return "What is happening"
	case s == migration.RunRejected:
		return "What would have happened"
	}
	return "What happened"
}

func errorTitle(r migration.Run) string {
	switch r.State {
	case migration.RunCancelled:
		return "Stopped"
	case migration.RunRejected:
		return "Not approved"
	case migration.RunUndoing:
		return "Failed; undoing completed actions"
	}
	return "Failed"
}

// decidedWord is what whoever decided on a run has done.
func decidedWord(r migration.Run) string {
	if r.State == migration.RunRejected {
		return "Rejected by"
	}
	return "Approved by"
}

// mayApprove says why this person cannot approve; empty when they can.
func mayApprove(v Run) string {
	switch {
	case !v.Who.CanAct():
		return "You are signed in as a viewer. Only engineers can do this."
	case v.Run.Needs() == migration.ApprovalTwo && v.Run.RequestedBy == v.Who.Name:
		return "You requested this run, and it cannot be undone. Another engineer must approve it."
	}
	return ""
}

// decides is what this person can do about a run that waits for approval.
func (v Run) decides() string {
	switch {
	case !v.Who.CanAct():
		return "See what is decided"
	case mayApprove(v) != "":
		return "Reject, or see who can approve"
	}
	return "Approve or reject"
}

// measurePhase says what a copy is doing.
func measurePhase(m migration.Measure, pausedBy string) string {
	if pausedBy != "" {
		return "Paused by " + pausedBy + "."
	}
	switch m.Phase {
	case "jobs":
		return "Moving the remaining jobs one at a time: each leaves the source once the target " +
			"has it."
	case "copy":
		return "Copying while the queues keep working. Each copied key is compared on both sides."
	case "pause":
		return "Workers on the source take no more jobs and finish the ones in progress."
	case "fence", "settle", "activate":
		return "The queues are stopped while the final difference is copied."
	case "sweep":
		return "Copying what was added on the source in the meantime."
	}
	return ui.Title(m.Phase)
}

func measureFacts(m migration.Measure, pausedBy string) []migration.Fact {
	var l ui.Facts
	did := "Copied and compared"
	if m.Phase == "jobs" {
		did = "Moved"
	}
	switch {
	case m.Total == 0:
		l.Add(did, true, "%s %s", ui.Number(m.Done), m.Unit)
	case m.Done >= m.Total:
		l.Add(did, true, "all %s %s, at least once", ui.Number(m.Done), m.Unit)
	default:
		l.Add(did, true, "%s of about %s %s", ui.Number(m.Done), ui.Number(m.Total), m.Unit)
	}
	moving := pausedBy == ""
	l.Add(
		"Speed",
		moving && m.PerSecond > 0,
		"%s %s per second",
		ui.Number(int64(m.PerSecond)),
		m.Unit,
	)
	left := fmt.Sprintf("%.0f s", max(m.ETASeconds, 1))
	if m.ETASeconds >= 60 {
		left = migration.Words(time.Duration(m.ETASeconds) * time.Second)
	}
	l.Add("Time left", moving && m.ETASeconds > 0, "about %s at this speed", left)
	l.Add("Changed since copied", m.Phase != "jobs", "%s keys", ui.Number(int64(m.Changed)))
	l.Add(
		"Expected stop",
		m.FreezeMS > 0,
		"about %s ms if it happened now",
		ui.Number(m.FreezeMS),
	)
	l.Add("Source answers in", m.LatencyMS > 0, "%.1f ms (p99)", m.LatencyMS)
	l.Add(
		"Throttled",
		m.BackingOffMS > 0,
		"%.0f ms before each batch, because the source responds slowly",
		m.BackingOffMS,
	)
	return l
}

// waited is how long a run waited for a person, and worked how long it then took; both up
// to now while they last.
func waited(r migration.Run, now time.Time) time.Duration {
	if r.StartedAt != nil {
		return r.StartedAt.Sub(r.CreatedAt)
	}
	if r.FinishedAt != nil {
		return r.FinishedAt.Sub(r.CreatedAt)
	}
	return now.Sub(r.CreatedAt)
}

func worked(r migration.Run, now time.Time) time.Duration {
	switch {
	case r.StartedAt == nil:
		return 0
	case r.FinishedAt != nil:
		return r.FinishedAt.Sub(*r.StartedAt)
	}
	return now.Sub(*r.StartedAt)
}

func took(a migration.RunAction, now time.Time) string {
	switch {
	case a.StartedAt == nil:
		return ""
	case a.FinishedAt != nil:
		return migration.Words(a.FinishedAt.Sub(*a.StartedAt))
	}
	return migration.Words(now.Sub(*a.StartedAt))
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// plainlyDone: nothing more is to be said of an action.
func plainlyDone(a migration.RunAction) bool {
	return a.State == migration.ActionDone && a.Short() == ""
}

// passed counts the finished actions that a phone folds: where somebody has to decide on the next,
// or where the result says what they came to. While a run goes on, its rows keep their places.
func passed(r migration.Run) int {
	if r.State != migration.RunAwaitingApproval && r.Result == nil {
		return 0
	}
	n := 0
	for _, a := range r.Actions {
		if plainlyDone(a) {
			n++
		}
	}
	return n
}

// outputOf reads what an action of a run gave so far; false: nothing yet.
func outputOf[T any](r migration.Run, action string) (T, migration.RunAction, bool) {
	var v T
	for _, a := range r.Actions {
		if a.ID == action && a.Output != nil {
			return v, a, json.Unmarshal(a.Output, &v) == nil
		}
	}
	return v, migration.RunAction{}, false
}

func waitsWith(r migration.Run) string {
	a, _ := r.Waiting()
	return a.ID
}

func decideTitle(r migration.Run) string {
	if a, ok := r.Waiting(); ok {
		return "Approve or reject: " + a.Title
	}
	return "Approve or reject"
}

// ownApprovals lists the actions that an approval of the plan does not cover.
func ownApprovals(p migration.StepPlan) string {
	var l []string
	for _, a := range p.Actions {
		if a.Approval != "" {
			title := a.Title
			if a.Approval == migration.ApprovalTwo {
				title += " (by another engineer, who types the migration's name)"
			}
			l = append(l, title)
		}
	}
	return strings.Join(l, "; ")
}

// approvalWords says who has approved an action, or who may.
func approvalWords(a migration.ActionPlan, r migration.Run) string {
	for _, c := range r.Approvals {
		if c.Action != a.ID {
			continue
		}
		said := "Approved by "
		if !c.Approved {
			said = "Rejected by "
		}
		said += c.By
		if c.Comment != "" {
			said += ": " + c.Comment
		}
		return said
	}
	if a.Approval == migration.ApprovalTwo {
		return "Needs separate approval from somebody other than the requester, who must type " +
			"the migration's name"
	}
	return "Needs separate approval"
}
