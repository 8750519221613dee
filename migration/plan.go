package migration

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Plan is the initiative as data: what must be true at the end (criteria), the way there
// (steps), when (milestones relative to the event), what it costs, what may go wrong and
// what was ruled out.
//
// It is read from YAML (package plan); a migration is created from one and keeps its own copy.
type Plan struct {
	Name  string `yaml:"name" json:"name"`
	Event string `yaml:"event" json:"event"`
	// Owner is who answers for the initiative.
	Owner string `yaml:"owner" json:"owner,omitempty"`
	// Freeze is the time around the event in which nothing is to be changed; nil: there is none.
	Freeze     *Freeze     `yaml:"freeze" json:"freeze,omitempty"`
	Summary    string      `yaml:"summary" json:"summary"`
	Criteria   []Criterion `yaml:"criteria" json:"criteria"`
	Steps      []PlanStep  `yaml:"steps" json:"steps"`
	Milestones []Milestone `yaml:"milestones" json:"milestones" nullable:"true"`
	Costs      []Cost      `yaml:"costs" json:"costs" nullable:"true"`
	Risks      []Risk      `yaml:"risks" json:"risks" nullable:"true"`
	Eliminated []Option    `yaml:"eliminated" json:"eliminated" nullable:"true"`
}

// Criterion is one entry of the completion checklist. It is met when every requirement is.
type Criterion struct {
	ID       string        `yaml:"id" json:"id"`
	Title    string        `yaml:"title" json:"title"`
	Why      string        `yaml:"why" json:"why"`
	Requires []Requirement `yaml:"requires" json:"requires"`
}

// Requirement binds a criterion to a check of the evidence.
type Requirement struct {
	// Check is the ID of a check of the evidence.
	Check string `yaml:"check" json:"check"`
	// MaxAge is how long an observation counts; older is stale. Zero means that it does not
	// age (a fact about the past).
	MaxAge time.Duration `yaml:"max_age" json:"max_age"`
	// MinCount is how many observations in a row must hold, each within MaxAge, the newest
	// last. 0 and 1: the newest alone decides.
	MinCount int `yaml:"min_count" json:"min_count,omitempty"`
	// Until names a criterion after whose meeting this observation no longer ages, because
	// its subject is gone.
	Until string `yaml:"until" json:"until,omitempty"`
}

// MaxMinCount bounds MinCount.
const MaxMinCount = 100

// Repeated lists the checks of which some criterion wants several observations in a row.
func (p Plan) Repeated() []string {
	var out []string
	for _, c := range p.Criteria {
		for _, r := range c.Requires {
			if r.MinCount > 1 && !slices.Contains(out, r.Check) {
				out = append(out, r.Check)
			}
		}
	}
	return out
}

// PlanStep is one step of the way.
type PlanStep struct {
	ID    string `yaml:"id" json:"id"` // id of a workflow
	Title string `yaml:"title" json:"title"`
	Why   string `yaml:"why" json:"why"`
	Week  string `yaml:"week" json:"week"` // when, in words of the initiative
	Cost  string `yaml:"cost" json:"cost"`
	// Needs lists the steps that must be done first.
	Needs []string `yaml:"needs" json:"needs" nullable:"true"`
	// Proves lists the criteria that this step gathers evidence for.
	Proves []string `yaml:"proves" json:"proves" nullable:"true"`
}

// Milestone is a date relative to the event.
type Milestone struct {
	Title string        `yaml:"title" json:"title"`
	At    time.Duration `yaml:"at" json:"at"` // relative to the event; negative is before
	Step  string        `yaml:"step" json:"step"`
	Owner string        `yaml:"owner" json:"owner,omitempty"` // empty: the plan's
}

// Freeze is a time relative to the event; negative is before it.
type Freeze struct {
	From  time.Duration `yaml:"from" json:"from"`
	Until time.Duration `yaml:"until" json:"until"`
	Why   string        `yaml:"why" json:"why,omitempty"`
}

// Cost is one line of the cost table, with where the figure is from.
type Cost struct {
	Item   string `yaml:"item" json:"item"`
	Amount string `yaml:"amount" json:"amount"`
	Source string `yaml:"source" json:"source"`
	Date   string `yaml:"date" json:"date"`
}

// Risk is one thing that may go wrong, and what is done about it.
type Risk struct {
	Title      string `yaml:"title" json:"title"`
	Severity   string `yaml:"severity" json:"severity"` // high, medium, low
	Mitigation string `yaml:"mitigation" json:"mitigation"`
}

// Option is a decision record of something that was ruled out.
type Option struct {
	Name        string `yaml:"name" json:"name"`
	Reason      string `yaml:"reason" json:"reason"`
	RevisitWhen string `yaml:"revisit_when" json:"revisit_when"`
}

// Validate reports every mistake of a plan at once: unknown checks, unknown or doubled ids,
// needs that name no step. workflows lists the ids that a step may have, checks the ids of
// the checks.
func (p Plan) Validate(workflows, checks []string) error {
	var bad []string
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if p.Name == "" {
		say("name is missing")
	}
	if len(p.Criteria) == 0 {
		say("criteria: at least one is needed")
	}
	criteria := map[string]bool{}
	for _, c := range p.Criteria {
		if c.ID == "" || criteria[c.ID] {
			say("criteria: id %q is missing or used twice", c.ID)
		}
		criteria[c.ID] = true
		if len(c.Requires) == 0 {
			say("criteria.%s.requires: a criterion without a check could never be proven", c.ID)
		}
		for _, r := range c.Requires {
			if !slices.Contains(checks, r.Check) {
				say("criteria.%s.requires: unknown check %q; known checks are %s",
					c.ID, r.Check, strings.Join(checks, ", "))
			}
			if r.MaxAge < 0 {
				say("criteria.%s.requires.%s.max_age: %s is negative", c.ID, r.Check, r.MaxAge)
			}
			if r.MinCount < 0 || r.MinCount > MaxMinCount {
				say(
					"criteria.%s.requires.%s.min_count: %d is not between 0 and %d",
					c.ID,
					r.Check,
					r.MinCount,
					MaxMinCount,
				)
			}
		}
	}
	steps := map[string]bool{}
	for _, s := range p.Steps {
		if steps[s.ID] {
			say("steps: id %q is used twice", s.ID)
		}
		if !slices.Contains(workflows, s.ID) {
			say("steps: unknown step %q; known steps are %s", s.ID, strings.Join(workflows, ", "))
		}
		for _, n := range s.Needs {
			if !steps[n] {
				say("steps.%s.needs: %q is not an earlier step", s.ID, n)
			}
		}
		for _, c := range s.Proves {
			if !criteria[c] {
				say("steps.%s.proves: %q is not a criterion of this plan", s.ID, c)
			}
		}
		steps[s.ID] = true
	}
	for _, c := range p.Criteria {
		for _, r := range c.Requires {
			if r.Until != "" && !criteria[r.Until] {
				say(
					"criteria.%s.requires.%s.until: %q is not a criterion of this plan",
					c.ID,
					r.Check,
					r.Until,
				)
			}
		}
	}
	if f := p.Freeze; f != nil && f.Until <= f.From {
		say("freeze: until %s is not after from %s", f.Until, f.From)
	}
	for _, m := range p.Milestones {
		if m.Step != "" && !steps[m.Step] {
			say("milestones: %q names the unknown step %q", m.Title, m.Step)
		}
	}
	if len(bad) > 0 {
		return Errorf(
			Invalid,
			"the plan has %d mistakes:\n- %s",
			len(bad),
			strings.Join(bad, "\n- "),
		)
	}
	return nil
}

// Step returns the plan's step of that id.
func (p Plan) Step(id string) (PlanStep, bool) {
	i := slices.IndexFunc(p.Steps, func(s PlanStep) bool { return s.ID == id })
	if i < 0 {
		return PlanStep{}, false
	}
	return p.Steps[i], true
}
