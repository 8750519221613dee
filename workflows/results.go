package workflows

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// RunResult gives a run; of one that is over with what it came to, and, where it can be taken
// back, with what that would do.
func (c *Control) RunResult(
	ctx context.Context, id string,
) (migration.Run, *migration.StepPlan, error) {
	run, err := c.store.Run(ctx, id)
	if err != nil || run.State.Open() {
		return run, nil, err
	}
	v, err := c.view(ctx, run.MigrationID)
	if err != nil {
		return run, nil, err
	}
	out := c.cameTo(run)
	out.Now = standsNow(v, run)
	if next := v.NextSteps(); len(next) > 0 {
		out.Next = &next[0]
	}
	var back *migration.StepPlan
	if out.Undo, back, err = c.undo(ctx, v, run); err != nil {
		return run, nil, err
	}
	run.Result = &out
	if run.State == migration.RunSucceeded {
		run.Lacks = out.Lacks()
	}
	return run, back, nil
}

// lacks tells the steps that are done what keeps them from being well.
func (c *Control) lacks(
	ctx context.Context, v progress.View, steps []migration.StepStatus,
) error {
	for i, s := range steps {
		last := v.LatestRun(s.PlanStep.ID)
		if s.State != migration.StepDone || last == nil {
			continue
		}
		one := []migration.Run{*last}
		if err := c.outcomes(ctx, one); err != nil {
			return err
		}
		result := c.resultOf(last.ID)
		steps[i].Short = result.Lacks()
		if e, seen := v.Latest[evidence.Audit]; seen && s.PlanStep.ID == migration.StepAudit {
			facts, _ := environment.AuditFactsOf(v.Latest)
			steps[i].Short, steps[i].AsOf = grave(result, facts), &e.ObservedAt
		}
	}
	return nil
}

// outcomes tells of listed runs that succeeded what keeps them from being done, in the words of
// their results. What a run came to does not change, so each is read once, and all that were not
// with one query.
func (c *Control) outcomes(ctx context.Context, runs []migration.Run) error {
	var unread []migration.Run
	for _, r := range runs {
		if _, known := c.results.Load(r.ID); !known && r.State == migration.RunSucceeded {
			unread = append(unread, r)
		}
	}
	if len(unread) > 0 {
		if err := c.store.ReadActions(ctx, unread); err != nil {
			return err
		}
	}
	for _, r := range unread {
		c.results.Store(r.ID, c.cameTo(r))
	}
	for i, r := range runs {
		if r.State == migration.RunSucceeded {
			result := c.resultOf(r.ID)
			runs[i].Lacks = result.Lacks()
		}
	}
	return nil
}

// resultOf gives what a run came to that outcomes has read.
func (c *Control) resultOf(id string) migration.RunResult {
	known, _ := c.results.Load(id)
	result, _ := known.(migration.RunResult)
	return result
}

// grave counts the critical findings, or else the high ones, of an audit as of the last look: what
// was looked at again since counts as it was then.
func grave(result migration.RunResult, now evidence.AuditFacts) string {
	count := map[string]int{}
	again := map[[2]string]bool{}
	for _, n := range now.Nodes {
		for _, f := range n.Findings {
			again[[2]string{f.Title, n.Node}] = true
			if f.State == "problem" {
				count[f.Severity]++
			}
		}
	}
	for _, l := range result.Lists {
		for _, r := range l.Rows {
			if !again[[2]string{r.Cells[0], r.Cells[1]}] {
				count[r.Cells[2]]++
			}
		}
	}
	for _, severity := range []string{"critical", "high"} {
		if n := count[severity]; n > 0 {
			return migration.Count(n, severity+" finding")
		}
	}
	return ""
}

// cameTo is what a run's own outputs say.
func (c *Control) cameTo(run migration.Run) migration.RunResult {
	out := migration.RunResult{}
	if s, ok := c.steps[run.Step]; ok && s.Result != nil && run.Rollback == "" {
		out = s.Result(run)
	}
	switch run.State {
	case migration.RunRejected:
		return migration.RunResult{Said: "Not approved. Nothing was done."}
	case migration.RunFailed, migration.RunCancelled:
		out.Said, out.Short = stopped(run), ""
	case migration.RunSucceeded:
		if run.Rollback != "" {
			return migration.RunResult{Said: fmt.Sprintf("Run %s is rolled back: %s undone.",
				run.Rollback, migration.Count(len(run.Actions), "action"))}
		}
		if out.Said == "" {
			out.Said = "Every action is done."
		}
	}
	return out
}

// stopped says how far a run came that did not succeed, and whether anything of it stays.
func stopped(run migration.Run) string {
	undone, stays, begun := 0, []string{}, false
	for _, a := range run.Actions {
		begun = begun || a.State != migration.ActionPending
		switch {
		case a.State == migration.ActionUndone:
			undone++
		case a.Changes != "" && a.State != migration.ActionPending:
			stays = append(stays, a.Title)
		}
	}
	word := "Failed"
	if run.State == migration.RunCancelled {
		word = "Cancelled"
	}
	switch {
	case !begun:
		return word + " before anything was done."
	case len(stays) > 0:
		return fmt.Sprintf("%s. %s undone; not undone: %s.", word,
			migration.Count(undone, "action was", "actions were"), strings.Join(stays, "; "))
	case undone > 0:
		return fmt.Sprintf("%s. %s undone; nothing of it stays.", word,
			migration.Count(undone, "action was", "actions were"))
	}
	return word + ". It had changed nothing."
}

// standsNow is how what the run was about stands at this moment, which may be another than
// when it ended.
func standsNow(v progress.View, run migration.Run) []migration.Fact {
	var out []migration.Fact
	tell := func(label, value string) {
		out = append(out, migration.Fact{Label: label, Value: value})
	}
	if run.RolledBackBy != "" {
		tell("This run", "rolled back by run "+run.RolledBackBy)
	}
	newest := v.LatestRun(run.Step)
	if newest != nil && newest.ID != run.ID && newest.CreatedAt.After(run.CreatedAt) {
		tell("A newer run of this step", newest.ID)
	}
	tell("Cutover stage", v.Routing.String())
	tell("Source", sourceWords[v.Routing.Source])
	step, _ := v.Migration.Plan.Step(run.Step)
	for _, id := range step.Proves {
		for _, i := range v.Checklist {
			if i.Criterion.ID == id {
				tell(i.Criterion.Title, verdictWords(i))
			}
		}
	}
	if e, ok := v.Latest[evidence.Audit]; ok && run.Step == migration.StepAudit {
		f := v.Finding(evidence.Audit)
		tell("Audit as of "+e.ObservedAt.UTC().Format("15:04:05 UTC"), f.Measured)
	}
	return out
}

var sourceWords = map[migration.SourceEndpoint]string{
	migration.SourceStandalone: "single Redis",
	migration.SourceSentinel:   "Sentinel",
	migration.SourceNone:       "disconnected",
}

func verdictWords(i migration.Item) string {
	switch i.Verdict {
	case migration.Met:
		return "met"
	case migration.Stale:
		return "stale: " + i.Why
	case migration.Unmet:
		return "not met: " + i.Why
	}
	return "unknown: " + i.Why
}

// undo says how a run is taken back, and gives the plan of that where there is one.
func (c *Control) undo(
	ctx context.Context, v progress.View, run migration.Run,
) (migration.ResultUndo, *migration.StepPlan, error) {
	no := func(why string) (migration.ResultUndo, *migration.StepPlan, error) {
		return migration.ResultUndo{How: why}, nil, nil
	}
	switch {
	case run.State != migration.RunSucceeded:
		return no("Nothing to roll back: the run did not succeed.")
	case run.Rollback != "":
		return migration.ResultUndo{How: "This run was a roll back. To go forward again, start " +
			"the step again.", Forward: &run.Params,
			Command: migration.StartCommand(run.Step, run.Params)}, nil, nil
	case run.RolledBackBy != "":
		return no("Already rolled back by run " + run.RolledBackBy + ".")
	case run.Plan.Irreversible:
		return no("This step cannot be undone.")
	case leavesNothing(run.Step):
		return no("Nothing to roll back: the test left nothing behind.")
	case readsOnly(run.Plan):
		return no("Nothing to roll back: this step only reads.")
	}
	if p, back := c.movedBack(run); back {
		return migration.ResultUndo{How: fmt.Sprintf("This run moved back. To go forward again, "+
			"move to %s: a move of its own, with its preconditions and approval.", p.Move()),
			Forward: &p, Command: migration.StartCommand(run.Step, p)}, nil, nil
	}
	plan, err := c.rollbackPlan(ctx, v, run)
	switch {
	case migration.KindOf(err) == migration.Internal && err != nil:
		return migration.ResultUndo{}, nil, err
	case err != nil:
		return no(capital(err.Error()) + ".")
	}
	if failing := migration.Failing(plan.Gates); len(failing) > 0 {
		return migration.ResultUndo{How: fmt.Sprintf("Not now: %s (%s).", failing[0].Title,
			failing[0].Measured)}, &plan, nil
	}
	how := plan.Summary
	if plan.Impact != "" {
		how += " " + plan.Impact
	}
	return migration.ResultUndo{Possible: true, How: how, Until: until(v, run.Step),
		Command: migration.RunCommand("rollback", run.ID)}, &plan, nil
}

// movedBack gives where a run of the cutover came from, when it moved towards the source.
func (c *Control) movedBack(run migration.Run) (migration.Params, bool) {
	s := c.steps[run.Step]
	if s.Reverse == nil {
		return migration.Params{}, false
	}
	former, err := s.Reverse(run)
	from := migration.Routing{Stage: former.To, Ramp: former.Ramp}
	return former, err == nil && !from.Forward(run.Params.Move())
}

// until is what ends the way back.
func until(v progress.View, step string) string {
	if step == migration.StepCutover {
		return "until the source is disconnected for decommissioning"
	}
	var ends []string
	for _, id := range v.Dependants(step) {
		if s, ok := v.Migration.Plan.Step(id); ok && id != migration.StepCutover {
			ends = append(ends, s.Title+" is done")
		}
	}
	return "until " + strings.Join(append(ends, "the cutover begins"), ", or ")
}

// leavesNothing reports whether a step only tries something out: what it does ends with it.
func leavesNothing(step string) bool {
	return step == migration.StepBreakerDrill || step == migration.StepWebhookRetry ||
		step == migration.StepSentinelTest
}

// readsOnly reports whether a plan changes nothing.
func readsOnly(p migration.StepPlan) bool {
	for _, a := range p.Actions {
		if a.Changes != "" {
			return false
		}
	}
	return p.Step != migration.StepCutover
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
