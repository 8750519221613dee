package migrationpages

import (
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func runStatus(r migration.Run) ui.Status {
	if r.RolledBackBy != "" {
		return ui.Idle("Rolled back").As("undo-2")
	}
	switch r.State {
	case migration.RunAwaitingApproval:
		return ui.Waiting("Waiting for approval").As("hand")
	case migration.RunQueued:
		return ui.Running("Queued").As("clock")
	case migration.RunRunning:
		if r.PausedBy != "" {
			return ui.Waiting("Paused").As("circle-pause")
		}
		return ui.Running("In progress")
	case migration.RunUndoing:
		return ui.Warn("Undoing").As("undo-2")
	case migration.RunSucceeded:
		if r.Result != nil {
			return doneStatus(r.Result.Lacks())
		}
		return doneStatus(r.Lacks) // of a list
	case migration.RunFailed:
		return ui.Bad("Failed")
	case migration.RunCancelled:
		return ui.Idle("Cancelled").As("ban")
	case migration.RunRejected:
		return ui.Idle("Rejected").As("circle-x")
	}
	return ui.Unknown("Unknown: " + string(r.State))
}

func stepStatus(s migration.StepStatus) ui.Status {
	switch s.State {
	case migration.StepTodo:
		if s.Blocking > 0 {
			return blockedBy(s.Blocking)
		}
		return ui.Ready("Ready").As("circle-dot")
	case migration.StepBlocked:
		return ui.Idle("Blocked").As("ban")
	case migration.StepActive:
		if s.LastRun != nil && s.LastRun.State == migration.RunAwaitingApproval {
			return ui.Waiting("Waiting for approval").As("hand")
		}
		return ui.Running("In progress")
	case migration.StepDone:
		return doneStatus(s.Short)
	case migration.StepFailed:
		if s.LastRun != nil && s.LastRun.State == migration.RunCancelled {
			return ui.Idle("Cancelled").As("ban")
		}
		return ui.Bad("Failed")
	case migration.StepSkipped:
		return ui.Idle("Skipped")
	}
	return ui.Unknown("Unknown: " + string(s.State))
}

func blockedBy(n int) ui.Status {
	return ui.Idle("Blocked by " + ui.Count(n, "precondition")).As("ban")
}

// plannedStatus is stepStatus of a step whose plan is known, and so all of its preconditions.
func plannedStatus(v Step) ui.Status {
	startable := v.Status.State == migration.StepTodo || v.Status.State == migration.StepFailed
	if n := len(migration.Failing(v.Plan.Gates)); startable && v.PlanError == "" && n > 0 {
		return blockedBy(n)
	}
	if v.PlanError != "" && v.Status.State == migration.StepTodo {
		return ui.Idle("Cannot be planned now").As("ban")
	}
	return stepStatus(v.Status)
}

// checkStatus shows the verdict on a check; one that nothing was measured for is not started.
func checkStatus(f migration.Finding) ui.Status {
	if f.Verdict == migration.Unmet && f.Evidence == nil {
		return ui.Idle("Not started")
	}
	return ui.VerdictStatus(f.Verdict)
}

func actionStatus(a migration.RunAction) ui.Status {
	switch a.State {
	case migration.ActionPending:
		return ui.Idle("Not started")
	case migration.ActionRunning:
		return ui.Running("In progress")
	case migration.ActionDone:
		if short := a.Short(); short != "" {
			return ui.Warn("Done, " + short)
		}
		return ui.OK("Done")
	case migration.ActionFailed:
		return ui.Bad("Failed")
	case migration.ActionUndone:
		return ui.Idle("Undone").As("undo-2")
	}
	return ui.Unknown("Unknown: " + string(a.State))
}

// milestoneStatus says whether a milestone was kept, is near, or was missed. A milestone
// without a step has only a date.
func milestoneStatus(
	m migration.Milestone,
	event time.Time,
	steps []migration.StepStatus,
	now time.Time,
) ui.Status {
	at := event.Add(m.At)
	for _, s := range steps {
		if s.PlanStep.ID != m.Step {
			continue
		}
		if s.State == migration.StepDone || s.State == migration.StepSkipped {
			return stepStatus(s)
		}
		if now.After(at.Add(24 * time.Hour)) {
			return ui.Warn("Overdue")
		}
		if upcoming(s, steps) {
			return ui.Idle("Upcoming").As("clock")
		}
		return stepStatus(s)
	}
	if now.After(at) {
		return ui.Idle("Past").As("circle-check")
	}
	return ui.Idle("Later")
}

// upcoming: a step was never begun, and only an earlier one is in the way.
func upcoming(s migration.StepStatus, steps []migration.StepStatus) bool {
	earlier, blocked := strings.CutPrefix(s.Why, "Blocked by: ")
	return s.State == migration.StepBlocked && s.LastRun == nil && blocked &&
		slices.ContainsFunc(steps, func(o migration.StepStatus) bool {
			return o.PlanStep.Title == earlier && slices.Contains(s.PlanStep.Needs, o.PlanStep.ID)
		})
}

// reached is when a milestone was, or, of one that is ahead, when it is planned for. One of which
// nobody knows when it was reached is not in the future all the same.
func reached(
	m migration.Milestone, event time.Time, steps []migration.StepStatus, now time.Time,
) time.Time {
	at := event.Add(m.At)
	for _, s := range steps {
		switch {
		case s.PlanStep.ID != m.Step:
		case s.State == migration.StepDone && s.DoneAt != nil:
			return *s.DoneAt
		case (s.State == migration.StepDone || s.State == migration.StepSkipped) && at.After(now):
			return now
		}
	}
	return at
}

// byDate are the milestones in the order in which they were reached, then that of the plan's dates.
func byDate(
	all []migration.Milestone, event time.Time, steps []migration.StepStatus, now time.Time,
) []migration.Milestone {
	return slices.SortedStableFunc(slices.Values(all), func(a, b migration.Milestone) int {
		return reached(a, event, steps, now).Compare(reached(b, event, steps, now))
	})
}

// milestoneWhen says when a milestone is, or, of one that is reached, when it was: a date ahead
// is nothing to wait for any more.
func milestoneWhen(
	m migration.Milestone, event time.Time, steps []migration.StepStatus, now time.Time,
) string {
	at := event.Add(m.At)
	for _, s := range steps {
		if s.PlanStep.ID != m.Step {
			continue
		}
		switch {
		case s.State == migration.StepSkipped:
			return "Not needed; planned for " + ui.Day(at)
		case s.State == migration.StepDone && s.DoneAt == nil:
			return "Done; planned for " + ui.Day(at)
		case s.State == migration.StepDone:
			return "Done " + ui.Day(*s.DoneAt) + ", " + ui.Age(now, *s.DoneAt) + "; planned for " +
				ui.Day(at)
		}
	}
	return ui.Day(at) + ", " + countdown(now, at)
}
