package migrationpages

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// outcome is what some guardrails have in common: what happens by itself where one fails.
type outcome[T any] struct {
	onFail string
	of     []T
}

// outcomes puts together what ends the same way, in the order given: rows keep their places
// whatever is observed.
func outcomes[T any](all []T, onFail func(T) string) (out []outcome[T]) {
next:
	for _, g := range all {
		for i := range out {
			if out[i].onFail == onFail(g) {
				out[i].of = append(out[i].of, g)
				continue next
			}
		}
		out = append(out, outcome[T]{onFail(g), []T{g}})
	}
	return out
}

func ruleFails(g migration.GuardrailRule) string { return g.OnFail }
func railFails(g migration.Guardrail) string     { return g.OnFail }

// railStatus shows how a guardrail was found; over: it is not looked at any more.
func railStatus(g migration.Guardrail, over bool) ui.Status {
	switch {
	case !migration.Watched([]migration.Guardrail{g}):
		return ui.Idle("Not started")
	case g.State == migration.GuardrailFails:
		return ui.Bad("Fails")
	case g.State != migration.GuardrailHolds:
		return ui.Unknown("Unknown")
	case over:
		return ui.Past("Held")
	}
	return ui.OK("Holds")
}

// railsStatus is the verdict on all of them.
func railsStatus(all []migration.Guardrail, over bool) ui.Status {
	fails, unknown := 0, 0
	for _, g := range all {
		switch g.State {
		case migration.GuardrailFails:
			fails++
		case migration.GuardrailHolds:
		case migration.GuardrailUnknown:
			unknown++
		}
	}
	n := len(all)
	switch {
	case !migration.Watched(all):
		return ui.Idle("Guardrails not watched yet")
	case fails > 0:
		return ui.Bad(fmt.Sprintf("%d of %d guardrails %s", fails, n,
			migration.Noun(fails, "fails", "fail")))
	case unknown == n:
		return ui.Unknown("Guardrails: none known")
	case unknown > 0:
		return ui.Unknown(fmt.Sprintf("%d of %d guardrails unknown", unknown, n))
	case over:
		return ui.Past(fmt.Sprintf("All %d guardrails held", n))
	}
	return ui.OK(fmt.Sprintf("All %d guardrails hold", n))
}

// quiet reports whether nothing of some guardrails wants to be read: all hold, or none is watched.
func quiet(some []migration.Guardrail) bool {
	return !slices.ContainsFunc(some, func(g migration.Guardrail) bool {
		return migration.Watched([]migration.Guardrail{g}) && g.State != migration.GuardrailHolds
	})
}

// lasted is for how long a guardrail has been as it is.
func lasted(g migration.Guardrail, now time.Time) string {
	return migration.Words(max(now.Sub(g.Since).Round(time.Second), 0))
}

// Cockpit is what stays in sight while orders move: whether something would take them back by
// itself, and the way back by hand.
type Cockpit struct {
	Guardrails []migration.Guardrail
	WayBack    *migration.WayBack // nil: there is none
	Open       *migration.Run     // the cutover that is under way
	// Over: nobody looks at the guardrails any more; they are as of the end of the run.
	Over bool
}

// backURL leads to what takes the orders back.
func (c Cockpit) backURL(mid string) string {
	if c.Open != nil {
		return ui.URL(mid, "runs", c.Open.ID) + "#cancel-title"
	}
	return ui.StepURL(mid, migration.StepCutover, migration.ParamsOf(c.WayBack.Move)) +
		"#start-title"
}

// limitsOf says what is set for the move alone.
func limitsOf(v Step) string {
	var set []string
	for _, b := range v.Cutover.Bounds {
		if n := limitSet(v.Params.Limits, b.Key); n != "" {
			set = append(set, fmt.Sprintf("%s: %s %s", b.Title, n, b.Unit))
		}
	}
	if len(set) == 0 {
		return ""
	}
	return "For this move only: " + strings.Join(set, "; ")
}

func limitsLabel(l migration.Limits) string {
	if l != (migration.Limits{}) {
		return "Change limits for this move"
	}
	return "Set limits for this move"
}

// limitSet is the limit that is set for a key; "": as configured.
func limitSet(l migration.Limits, key string) string {
	if n := *l.Of(key); n != 0 {
		return fmt.Sprint(n)
	}
	return ""
}
