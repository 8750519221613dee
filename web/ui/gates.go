package ui

import (
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// gatesApart gives the gates that fail, and those that hold.
func gatesApart(gs []migration.Gate) (failing, holding []migration.Gate) {
	for _, g := range gs {
		if g.OK {
			holding = append(holding, g)
		} else {
			failing = append(failing, g)
		}
	}
	return failing, holding
}

// GatesWords is the verdict on gates in one sentence.
func GatesWords(gs []migration.Gate) string {
	failing, holding := gatesApart(gs)
	switch {
	case len(gs) == 0:
		return "No preconditions."
	case len(failing) > 0:
		return fmt.Sprintf("%d of %s hold: %d %s.", len(holding),
			Count(len(gs), "precondition", "preconditions"), len(failing),
			migration.Noun(len(failing), "blocks", "block"))
	case len(gs) == 1:
		return "The only precondition holds."
	}
	return fmt.Sprintf("All %d preconditions hold.", len(gs))
}

// remedies are the pages on which what a gate names is mended or looked into.
var remedies = map[string][]string{
	"calm": {"alerts"}, "ledger": {"ledger"}, "orders": {"ledger"},
	"ledger-closed": {"ledger"}, "streams": {"ledger"}, "workers": {"flags", "workers"},
	"attest": {"flags", "workers"}, "clients": {"setup"}, "connections": {"setup"},
	"reachable": {"setup"}, "source": {"steps", migration.StepCutover},
	"stage": {"steps", migration.StepCutover}, "together": {"steps", migration.StepCutover},
	"residue": {"steps", migration.StepMoveResidue}, "guardrails": {"ledger"},
	"queues": {"queues"}, "headroom": {"capacity"}, "size": {"capacity"},
	"noeviction": {"steps", migration.StepFixPolicy},
}

// remedyURL is the page to go to about a gate; "": there is none that does better than the words.
func remedyURL(mid string, g migration.Gate) string {
	if mid == "" {
		return ""
	}
	kind, rest, _ := strings.Cut(g.ID, ":")
	switch kind {
	case "step":
		return URL(mid, "steps", rest)
	case "criterion":
		return URL(mid, "evidence", rest)
	}
	if path, ok := remedies[kind]; ok {
		return URL(mid, path...)
	}
	return ""
}
