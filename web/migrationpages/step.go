package migrationpages

import (
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Step is the page of one step.
type Step struct {
	WayBack     *migration.WayBack // of the step cutover; nil: there is none
	MigrationID string
	Status      migration.StepStatus
	Params      migration.Params
	Plan        migration.StepPlan
	PlanError   string // why there is no plan; empty when there is one
	Runs        []migration.Run
	Open        *migration.Run       // the run that holds the migration, of whichever step
	Needs       []migration.PlanStep // what must be done before
	Proves      []migration.Item
	Cutover     *Cutover              // nil for every other step
	Audit       *workflows.RedisAudit // of the step audit; nil before there is one
	Exports     []string              // formats in which the plan can be had as a file
	Now         time.Time
	Who         ui.Who
	Others      []ui.Viewer // who else looks at it
}

// watch is what stays in sight of a cutover.
func (v Step) watch() Cockpit {
	c := Cockpit{Guardrails: v.Cutover.Guardrails, WayBack: v.WayBack}
	if v.Open != nil && v.Open.Step == migration.StepCutover {
		c.Open = v.Open
	}
	return c
}

// failingFirst puts what blocks on top.
func failingFirst(gates []migration.Gate) []migration.Gate {
	sorted := slices.Clone(gates)
	slices.SortStableFunc(sorted, func(a, b migration.Gate) int {
		switch {
		case a.OK == b.OK:
			return 0
		case b.OK:
			return -1
		}
		return 1
	})
	return sorted
}

// obstacle says why a step cannot be started now; empty when it can.
func obstacle(v Step) string {
	switch failing := migration.Failing(v.Plan.Gates); {
	case v.Open != nil:
		return "Another run is open: " + v.Open.Step + toMove(*v.Open) + ". Only one run can be open at a time."
	case v.PlanError != "":
		return "Cannot plan this step now: " + v.PlanError
	case len(failing) == 1:
		return "1 precondition is not met: " + failing[0].Title + "."
	case len(failing) > 1:
		return strconv.Itoa(
			len(failing),
		) + " preconditions are not met; the list below says what to do about each."
	case v.Status.State == migration.StepBlocked:
		return v.Status.Why
	}
	return ""
}

func approvalText(p migration.StepPlan) string {
	switch p.Approval {
	case migration.ApprovalNone:
		return "No approval needed. Starts immediately."
	case migration.ApprovalOne:
		text := "Needs approval. Any engineer, including you, can approve."
		if own := ownApprovals(p); own != "" {
			text += " Approved separately when the run reaches them: " + own + "."
		}
		return text
	case migration.ApprovalTwo:
		return "Needs approval from an engineer other than you, who must type the migration's name."
	}
	return "Approval: " + string(p.Approval)
}

func startLabel(v Step) string {
	label := "Start"
	if v.Plan.Approval == migration.ApprovalOne || v.Plan.Approval == migration.ApprovalTwo {
		label = "Request approval"
	}
	if v.Params.To != "" {
		label += ": " + v.Params.Move().String()
	}
	return label
}

// startName is the label for somebody who hears the button without the page around it.
func startName(v Step) string {
	if v.Params.To != "" {
		return startLabel(v)
	}
	return startLabel(v) + ": " + v.Status.PlanStep.Title
}

// hasRunbook reports whether there is one: a plan of one's own may have other steps.
func hasRunbook(id string) bool {
	_, known := runbooks.Find(id)
	return known
}
