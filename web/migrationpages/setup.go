package migrationpages

import (
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Setup is the page of what the configuration names.
type Setup struct {
	MigrationID string
	Setup       workflows.Setup
	Now         time.Time
	Who         ui.Who
}

// setupGroup is parts that belong together.
type setupGroup struct {
	name  string
	parts []workflows.SetupPart
}

// columns of the table of parts.
func (v Setup) columns() string {
	if v.Who.CanAct() {
		return "5"
	}
	return "4"
}

// groups are in the order in which they are asked.
func (v Setup) groups() []setupGroup {
	var out []setupGroup
	at := map[string]int{}
	for _, p := range v.Setup.Parts {
		i, known := at[p.Group]
		if !known {
			i = len(out)
			at[p.Group] = i
			out = append(out, setupGroup{name: p.Group})
		}
		out[i].parts = append(out[i].parts, p)
	}
	return out
}

// count gives how many findings are of each state, without what is absent and no criterion needs,
// and how many parts nobody asked yet.
func (v Setup) count() (states map[workflows.SetupState]int, unasked int) {
	states = map[workflows.SetupState]int{}
	for _, p := range v.Setup.Parts {
		if p.AskedAt.IsZero() {
			unasked++
		}
		for _, f := range p.Findings {
			if f.State != workflows.SetupAbsent || len(f.Criteria) > 0 {
				states[f.State]++
			}
		}
	}
	return states, unasked
}

// status is that of the whole set-up.
func (v Setup) status() ui.Status {
	states, unasked := v.count()
	switch {
	case v.Setup.Test != nil:
		return ui.Running("Testing")
	case unasked == len(v.Setup.Parts):
		return ui.Idle("Not tested yet")
	case states[workflows.SetupFails] > 0:
		return ui.Bad(ui.Count(states[workflows.SetupFails], "failure"))
	case unasked > 0:
		return ui.Idle(ui.Count(unasked, "part") + " not tested yet")
	case states[workflows.SetupUnknown] > 0:
		return ui.Unknown(ui.Count(states[workflows.SetupUnknown], "unknown", "unknown"))
	case states[workflows.SetupAbsent] > 0:
		return ui.Idle(ui.Number(states[workflows.SetupAbsent]) + " not configured")
	}
	return ui.OK("Nothing missing")
}

// loud says whether a part is shown on a phone at once: one that is tested and lacks nothing that a
// criterion needs is not.
func (v Setup) loud(p workflows.SetupPart) bool {
	if p.AskedAt.IsZero() || v.Setup.Test != nil && v.Setup.Test.Part == p.ID {
		return true
	}
	for _, f := range p.Findings {
		optional := f.State == workflows.SetupAbsent && len(f.Criteria) == 0
		if f.State != workflows.SetupOK && !optional {
			return true
		}
	}
	return false
}

// quietParts counts those that a phone folds.
func (v Setup) quietParts() int {
	n := 0
	for _, p := range v.Setup.Parts {
		if !v.loud(p) {
			n++
		}
	}
	return n
}

// partStatus is the worst of a part's findings.
func (v Setup) partStatus(p workflows.SetupPart) ui.Status {
	if v.Setup.Test != nil && v.Setup.Test.Part == p.ID {
		return ui.Running("Testing")
	}
	if p.AskedAt.IsZero() {
		return ui.Idle("Not tested yet")
	}
	for _, s := range []workflows.SetupState{
		workflows.SetupFails, workflows.SetupUnknown, workflows.SetupAbsent,
	} {
		for _, f := range p.Findings {
			if f.State == s {
				return setupStatus(s)
			}
		}
	}
	return setupStatus(workflows.SetupOK)
}

func setupStatus(s workflows.SetupState) ui.Status {
	switch s {
	case workflows.SetupOK:
		return ui.OK("OK")
	case workflows.SetupFails:
		return ui.Bad("Fails")
	case workflows.SetupAbsent:
		return ui.Idle("Not configured")
	case workflows.SetupUnknown:
	}
	return ui.Unknown("Unknown")
}

// criterionSetup says what is known of what a criterion needs.
func (v Setup) criterionSetup(c workflows.SetupCriterion) ui.Status {
	_, unasked := v.count()
	switch {
	case len(c.Missing) > 0:
		return ui.Bad(ui.Count(len(c.Missing), "thing") + " missing")
	case unasked > 0:
		return ui.Idle("Not tested yet")
	}
	return ui.OK("Nothing missing")
}

func lacksNothing(c workflows.SetupCriterion) bool { return len(c.Missing) == 0 }

// partOf gives the id of the part that a key belongs to.
func (v Setup) partOf(key string) string {
	for _, p := range v.Setup.Parts {
		for _, f := range p.Findings {
			if f.Key == key {
				return p.ID
			}
		}
	}
	return ""
}

// neededFor names the criteria that a finding stands in the way of.
func (v Setup) neededFor(f workflows.SetupFinding) string {
	if len(f.Criteria) == 0 {
		return ""
	}
	if n := len(f.Criteria); n > 1 && n == len(v.Setup.Criteria) {
		return "Needed for every criterion"
	}
	var titles []string
	for _, c := range v.Setup.Criteria {
		for _, id := range f.Criteria {
			if c.ID == id {
				titles = append(titles, c.Title)
			}
		}
	}
	return "Needed for: " + strings.Join(titles, ", ")
}

// addressWords name what an address is asked.
var addressWords = map[string]string{
	"reachable": "Reachable", "tls": "TLS", "version": "Version", "role": "Role",
	"eviction_policy": "Eviction policy", "rights": "Rights",
}

// secretWords counts the secrets.
func (v Setup) secretWords() string {
	set := 0
	for _, k := range v.Setup.Secrets {
		if k.Set {
			set++
		}
	}
	return ui.Number(set) + " set, " + ui.Number(len(v.Setup.Secrets)-set) + " not set"
}

func secretStatus(k workflows.SecretKey) string {
	switch {
	case !k.Set:
		return "not set"
	case k.From == "":
		return "set (in the configuration file)"
	}
	return "set (" + k.From + ")"
}

// longest is how long a test of everything may take.
var longest = migration.Words(workflows.SetupLimit)
