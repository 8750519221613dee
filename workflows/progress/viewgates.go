package progress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// SourceThere is the gate that the source was not released.
func (v View) SourceThere() migration.Gate {
	return migration.Claim{
		ID:       "source",
		Title:    "Source is in use",
		Measured: string(v.Routing.Source),
		Limit:    "standalone or sentinel",
		Next: "the source was disconnected for decommissioning; there is nothing to move " +
			"back to",
		Asked: migration.Coverage{Found: "the flags"},
	}.About("flag", migration.FlagSource, v.Routing.Source != migration.SourceNone, nil)
}

// StageGate is the gate that the queue is at one of the stages, as limit says it.
func (v View) StageGate(title, limit, next string, stages ...migration.Stage) migration.Gate {
	c := migration.Claim{ID: "stage", Title: title, Limit: limit, Next: next,
		Asked: v.at(stages...)}
	if len(v.Queues) < 2 {
		c.Measured = v.Routing.String()
	}
	return c.Gate()
}

// at covers every routed queue: whether it is at one of the stages.
func (v View) at(stages ...migration.Stage) migration.Coverage {
	queues := v.Queues
	if len(queues) == 0 {
		queues = []QueueRouting{{Queue: "the routed queues", Routing: v.Routing}}
	}
	c := migration.Coverage{Of: "routed queue", Found: "the flags"}
	for _, q := range queues {
		c.Members = append(c.Members, migration.Member{Key: "queue:routed/" + q.Queue,
			Name: q.Queue, Verdict: migration.Truth(slices.Contains(stages, q.Routing.Stage)),
			Why: q.Routing.String()})
	}
	return c
}

// TogetherGate is the gate that every routed queue is where the first one is.
func (v View) TogetherGate() migration.Gate {
	c := migration.Claim{
		ID: "together", Title: "Every routed queue is at the same stage",
		Limit: v.Routing.String(),
		Asked: v.at(v.Routing.Stage),
	}
	least := v.Routing
	for i, q := range v.Queues {
		if q.Routing.Ramp != v.Routing.Ramp {
			c.Asked.Members[i].Verdict = migration.Unmet
		}
		if q.Routing.Forward(migration.StageMove{To: least.Stage, Ramp: least.Ramp}) {
			least = q.Routing
		}
	}
	c.Next = fmt.Sprintf("move back to %s: from there they go forward together", least)
	return c.Gate()
}

// SourceIs is the gate that the queues are on one of the sources.
func (v View) SourceIs(s migration.SourceEndpoint, title, next string) migration.Gate {
	return migration.Claim{
		ID: "source", Title: title, Measured: string(v.Routing.Source), Limit: string(s), Next: next,
		Asked: migration.Coverage{Found: "the flags"},
	}.About("flag", migration.FlagSource, v.Routing.Source == s, nil)
}

// CheckGate is the gate that the newest evidence of a check holds, is fresh and is about what
// is there now.
func (v View) CheckGate(check string) migration.Gate {
	c, _ := evidence.Of(check)
	f := v.Finding(check)
	return migration.Claim{
		ID:       "check:" + check,
		Title:    c.Title,
		Measured: strings.TrimPrefix(f.Measured, c.Title+": "),
		Limit:    c.Limit,
		Next:     c.Next,
		Asked:    about(f),
	}.Gate()
}

// CriterionGate is the gate that a criterion is met.
func (v View) CriterionGate(item migration.Item) migration.Gate {
	asked := migration.Coverage{Of: "check", Found: "the plan"}
	for _, f := range item.Findings {
		asked.Members = append(asked.Members, about(f).Members...)
	}
	if len(item.Findings) == 0 {
		asked.Members = []migration.Member{{Key: "criterion:" + item.Criterion.ID,
			Name: item.Criterion.Title, Verdict: item.Verdict}}
	}
	return migration.Claim{
		ID:       "criterion:" + item.Criterion.ID,
		Title:    item.Criterion.Title,
		Measured: item.Why,
		Limit:    "met",
		Next:     item.Next,
		Asked:    asked,
	}.Gate()
}

// EvidenceGates are the plan's criteria that ask for a check which must hold before a stage,
// whatever the plan calls them, and the checks without which no plan may enter it.
func (v View) EvidenceGates(to migration.Stage) []migration.Gate {
	var gates []migration.Gate
	asked := map[string]bool{}
	for _, item := range v.Checklist {
		needed := false
		for _, r := range item.Criterion.Requires {
			check, _ := evidence.Of(r.Check)
			needed = needed || check.Precedes(to)
			asked[r.Check] = true
		}
		if needed {
			gates = append(gates, v.CriterionGate(item))
		}
	}
	for _, check := range evidence.All() {
		if check.Always && check.Precedes(to) && !asked[check.ID] {
			gates = append(gates, v.CheckGate(check.ID))
		}
	}
	return gates
}

// OtherCriteria gives a gate for each criterion that is not a step's own to meet.
func (v View) OtherCriteria(step string) []migration.Gate {
	own, _ := v.Migration.Plan.Step(step)
	var gates []migration.Gate
	for _, i := range v.Checklist {
		if !slices.Contains(own.Proves, i.Criterion.ID) {
			gates = append(gates, v.CriterionGate(i))
		}
	}
	return gates
}

// blocking are the preconditions of a step that do not hold, as far as the view alone tells: a
// plan looks at servers too and may find more.
func (v View) blocking(step string) []migration.Gate {
	var gates []migration.Gate
	switch step {
	case migration.StepCutover:
		if move, _, ok := v.NextMove(); ok && v.Routing.Forward(move) {
			gates = v.EvidenceGates(move.To)
		}
	case migration.StepDecommission:
		gates = v.OtherCriteria(step)
	}
	if !possibleAt(step, v.Routing.Stage) {
		gates = append(gates, migration.Claim{ID: "stage", Title: "The stage allows it",
			Measured: v.Routing.String(),
			Asked: migration.One("stage", string(v.Routing.Stage), migration.Unmet,
				v.Routing.String())}.Gate())
	}
	return migration.Failing(v.Waive(gates))
}

// about covers a finding: one member that is its check.
func about(f migration.Finding) migration.Coverage {
	return migration.Coverage{Of: "check", Found: "the latest evidence",
		Members: []migration.Member{{Key: "check:" + f.Check, Name: f.Title, Verdict: f.Verdict,
			Why: f.Measured}}}
}

// GateCalm names the gate that no order is at risk before something disruptive is begun.
const GateCalm = "calm"

// disruptive are the steps that stop servers, reject orders or move them. The others are safe in
// an incident, and some are its remedy. A move back is never held up.
var disruptive = map[string]bool{
	migration.StepSentinelMove: true, migration.StepSentinelTest: true,
	migration.StepBreakerDrill: true, migration.StepWebhookRetry: true,
	migration.StepMoveQueues: true, migration.StepCutover: true,
	migration.StepDecommission: true,
}

// calm reports whether nothing is known to endanger orders now.
func (v View) calm() bool { return v.Headline == nil || len(v.Headline.AtRisk) == 0 }

// calmGate is the gate that no order is known to be at risk. What is not known does not fail it:
// what a step must know of orders is a gate of its own.
func (v View) calmGate() migration.Gate {
	h := v.Headline
	c := migration.Claim{ID: GateCalm, Title: "No order is at risk", Limit: "none known",
		Measured: "none known",
		Next:     "deal with this first: " + h.First,
		Asked:    migration.Coverage{Found: "alerts, outage clock and order ledger"}}
	if len(h.Unknown) > 0 {
		c.Measured += "; not asked: " + strings.Join(h.Unknown, "; ")
	}
	if h.Level != migration.Calm && h.Title != "" {
		c.Measured += "; open, and does not block this: " + h.Title
	}
	if !v.calm() {
		c.Measured = strings.Join(h.AtRisk, "; ")
	}
	return c.About("incident", "incident", v.calm(), nil)
}
