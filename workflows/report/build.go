package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Input is what a report is made of.
type Input struct {
	View   progress.View
	Orders Orders
	Costs  []costs.CostPhase
	// Actions are the runs of View with their actions, where those measured a stop.
	Actions    map[string][]migration.RunAction
	Failovers  []migration.Evidence
	Rehearsals []migration.Evidence
	Incidents  []Incident
	Versions   []Version
	// Lapsed are criteria that were met once and are not.
	Lapsed []string
}

// shown bounds the lists of a report, so that it stays one or two pages.
const shown = 40

// Build makes the report.
func Build(in Input) (Report, error) {
	v := in.View
	p := v.Migration.Plan
	hash, err := Hash(p)
	if err != nil {
		return Report{}, err
	}
	out := Report{
		Kind: Status, Migration: v.Migration.ID, Name: v.Migration.Name,
		Event: cmp.Or(p.Event, "Event"), EventDate: v.Migration.EventDate, Owner: p.Owner,
		At: v.At, Since: v.Migration.CreatedAt, Phase: v.Phase(),
		Met: v.Checklist.MetCount(), Total: len(v.Checklist),
		Criteria: criteria(v.Checklist), Orders: in.Orders, Costs: list(in.Costs),
		Stops: stops(in), Rollbacks: rollbacks(in), Waivers: Waivers(v.Waivers),
		Next: []Next{}, Milestones: milestones(v), Risks: []Risk{},
		Versions: list(in.Versions), PlanHash: hash, Left: []string{},
	}
	if Complete(v) {
		out.Kind = Closing
	}
	out.Runs, out.Left = runs(v, out.Left)
	out.Incidents = list(in.Incidents)
	if more := len(out.Incidents) - shown; more > 0 {
		out.Incidents = out.Incidents[:shown]
		out.Left = append(out.Left, fmt.Sprintf("%d older incidents", more))
	}
	for _, n := range v.NextSteps() {
		if len(out.Next) < 3 && !v.Back(n.Step, n.Params) { // the way back is open, and is not next
			out.Next = append(out.Next, Next{n.Title, n.Why})
		}
	}
	for _, r := range p.Risks {
		out.Risks = append(out.Risks, Risk(r))
	}
	out.Forecast = Forecast(v, in.Lapsed)
	return out.sealed()
}

// Complete reports whether every criterion is met and nothing is left to do.
func Complete(v progress.View) bool {
	return len(v.Checklist) > 0 && v.Checklist.MetCount() == len(v.Checklist) &&
		len(v.NextSteps()) == 0
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func criteria(c migration.Checklist) []Criterion {
	out := []Criterion{}
	for _, i := range c {
		x := Criterion{ID: i.Criterion.ID, Title: i.Criterion.Title, Verdict: i.Verdict,
			Level: i.Proof(), Why: i.Why}
		if i.Verdict != migration.Met {
			x.Next = i.Next
		}
		if at := i.ObservedAt(); !at.IsZero() {
			x.ObservedAt = &at
		}
		out = append(out, x)
	}
	return out
}

// stops are what runs measured of how long nothing was taken, the longest first.
func stops(in Input) []Stop {
	out := []Stop{}
	for _, r := range in.View.Runs {
		for _, a := range in.Actions[r.ID] {
			ms, ok := frozen(a.Output)
			if !ok {
				continue
			}
			out = append(out, Stop{What: title(in.View.Migration.Plan, r) + ": writes blocked",
				MS: migration.Measured(ms), Run: r.ID, At: when(r)})
		}
	}
	for _, e := range in.Failovers {
		var f evidence.FailoverFacts
		if json.Unmarshal(e.Facts, &f) != nil {
			continue
		}
		what, ms := "writes blocked", f.BlockedMS
		// The app finds the new primary some time after it takes writes.
		if a := f.FirstAddMS; !a.IsZero() && (ms.IsZero() || longest(a) > longest(ms)) {
			what, ms = "until the app's first add through BullMQ, attested", f.FirstAddMS
		}
		if ms.IsZero() {
			continue
		}
		out = append(out, Stop{What: "Failover test (" + f.Kind + "): " + what,
			MS: ms, Run: e.RunID, At: e.ObservedAt, Drill: true})
	}
	slices.SortStableFunc(out, func(a, b Stop) int {
		return cmp.Compare(longest(b.MS), longest(a.MS))
	})
	return out
}

// longest orders figures; one that was not seen to end is longer than any that was.
func longest(f migration.Figure) int64 {
	if n, ok := f.Value(); ok {
		return n
	}
	return 1 << 62
}

// frozen finds how long writes were blocked in what an action told.
func frozen(output json.RawMessage) (int64, bool) {
	var told struct {
		FreezeMS *int64 `json:"freeze_ms"`
		Report   struct {
			FreezeMS *int64 `json:"freeze_ms"`
		} `json:"report"`
	}
	if len(output) == 0 || json.Unmarshal(output, &told) != nil {
		return 0, false
	}
	for _, ms := range []*int64{told.FreezeMS, told.Report.FreezeMS} {
		if ms != nil && *ms > 0 {
			return *ms, true
		}
	}
	return 0, false
}

// rollbacks are the ways back that were taken: of stages, and of runs.
func rollbacks(in Input) []Rollback {
	out, by := []Rollback{}, map[string]string{}
	for _, r := range in.View.Runs {
		by[r.ID] = r.RequestedBy
	}
	seen := map[string]bool{}
	for _, e := range in.Rehearsals {
		var f evidence.RollbackFacts
		if json.Unmarshal(e.Facts, &f) != nil || f.RollbackMS <= 0 {
			continue
		}
		seen[e.RunID] = true
		out = append(out, Rollback{What: f.From + " back to " + f.To,
			MS: migration.Measured(f.RollbackMS), Run: e.RunID, At: e.ObservedAt, By: by[e.RunID]})
	}
	for _, r := range in.View.Runs {
		if r.Rollback == "" || r.State != migration.RunSucceeded || seen[r.ID] {
			continue
		}
		b := Rollback{What: title(in.View.Migration.Plan, r), Run: r.ID, At: when(r),
			By: r.RequestedBy}
		if r.StartedAt != nil && r.FinishedAt != nil {
			b.MS = migration.Measured(r.FinishedAt.Sub(*r.StartedAt).Milliseconds())
		}
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(a, b Rollback) int { return a.At.Compare(b.At) })
	return out
}

func title(p migration.Plan, r migration.Run) string {
	name := r.Step
	if s, ok := p.Step(r.Step); ok {
		name = s.Title
	}
	name += r.Params.Suffix()
	if r.Rollback != "" {
		name = "Rollback of " + name
	}
	return name
}

func when(r migration.Run) time.Time {
	if r.StartedAt != nil {
		return *r.StartedAt
	}
	return r.CreatedAt
}

// runs are those that changed something, the oldest first.
func runs(v progress.View, left []string) ([]Run, []string) {
	out, reading, early := []Run{}, 0, 0
	for _, r := range v.Runs {
		changes := slices.ContainsFunc(r.Plan.Actions,
			func(a migration.ActionPlan) bool { return a.Changes != "" })
		if !changes || r.State == migration.RunRejected {
			reading++
			continue
		}
		if len(out) == shown {
			early++
			continue
		}
		x := Run{ID: r.ID, Title: title(v.Migration.Plan, r), State: r.State,
			RequestedBy: r.RequestedBy, ApprovedBy: []string{}, At: when(r),
			FinishedAt: r.FinishedAt, PlanHash: r.Plan.Hash, RollbackOf: r.Rollback,
			RolledBackBy: r.RolledBackBy, Lacks: r.Lacks}
		if r.DecidedBy != "" {
			x.ApprovedBy = append(x.ApprovedBy, r.DecidedBy)
		}
		for _, c := range r.Approvals {
			if c.Approved && !slices.Contains(x.ApprovedBy, c.By) {
				x.ApprovedBy = append(x.ApprovedBy, c.By)
			}
		}
		out = append(out, x)
	}
	slices.Reverse(out)
	if reading > 0 {
		left = append(left, migration.Count(reading, "run")+" that changed nothing")
	}
	if early > 0 {
		left = append(left, migration.Count(early, "earlier run"))
	}
	return out, left
}

// Waivers are those of a migration as a report lists them.
func Waivers(all []migration.Waiver) []Waiver {
	out := []Waiver{}
	for _, w := range all {
		out = append(out, Waiver{Member: w.Member, By: w.By, Why: w.Why, At: w.At, Until: w.Until,
			RevokedAt: w.RevokedAt})
	}
	return out
}

func milestones(v progress.View) []Milestone {
	out := []Milestone{}
	for _, m := range v.Migration.Plan.Milestones {
		x := Milestone{Title: m.Title, Due: v.Migration.EventDate.Add(m.At),
			Owner: cmp.Or(m.Owner, v.Migration.Plan.Owner), Done: m.Step != "" && v.Done(m.Step)}
		if r := v.LatestRun(m.Step); x.Done && r != nil {
			x.DoneAt = r.FinishedAt
		}
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b Milestone) int { return a.Due.Compare(b.Due) })
	return out
}

// Forecast says whether the plan's dates are kept; lapsed are criteria that were met once.
func Forecast(v progress.View, lapsed []string) forecast.Forecast {
	in := forecast.Input{At: v.At, Proven: v.Checklist.MetCount(), Total: len(v.Checklist),
		Lapsed: lapsed}
	for _, m := range v.Migration.Plan.Milestones {
		if m.Step != "" { // of the others nobody knows whether they are done
			in.Milestones = append(in.Milestones, forecast.Milestone{Title: m.Title,
				Due: v.Migration.EventDate.Add(m.At), Done: v.Done(m.Step)})
		}
	}
	for _, run := range v.Runs { // the newest first
		if run.StartedAt != nil {
			in.Start = *run.StartedAt
		}
	}
	if f := v.Migration.Plan.Freeze; f != nil {
		in.FreezeFrom = v.Migration.EventDate.Add(f.From)
		in.FreezeUntil = v.Migration.EventDate.Add(f.Until)
	}
	if !Complete(v) && len(v.NextSteps()) == 0 {
		for _, s := range v.Steps() {
			if s.State == migration.StepBlocked {
				in.Blocked = strings.TrimPrefix(s.Why, "Blocked by: ")
				break
			}
		}
	}
	return forecast.Of(in)
}
