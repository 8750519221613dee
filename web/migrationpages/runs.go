package migrationpages

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Runs is the list of the runs of all steps.
type Runs struct {
	MigrationID string
	Plan        migration.Plan
	Filter      workflows.RunFilter
	Runs        []migration.Run
	More        bool // there are older ones
	Now         time.Time
}

// choice is an entry of a list to choose from.
type choice struct{ value, word string }

func runStateChoices() []choice {
	return []choice{
		{"", "Any"}, {"open", "Open"},
		{string(migration.RunAwaitingApproval), "Waiting for approval"},
		{string(migration.RunSucceeded), "Done"}, {string(migration.RunFailed), "Failed"},
		{string(migration.RunCancelled), "Cancelled"}, {string(migration.RunRejected), "Rejected"},
	}
}

func runStepChoices(p migration.Plan) []choice {
	all := []choice{{"", "Any"}}
	for _, s := range p.Steps {
		all = append(all, choice{s.ID, s.Title})
	}
	return all
}

func (v Runs) filtered() bool {
	return v.Filter.Step != "" || v.Filter.State != "" || v.Filter.Person != ""
}

// page is the address of the part of the list that begins after a run; "": of its begin.
func (v Runs) page(before string) string {
	q := url.Values{}
	for name, value := range map[string]string{
		"step": v.Filter.Step, "state": v.Filter.State, "person": v.Filter.Person, "before": before,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	u := ui.URL(v.MigrationID, "runs")
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

// command is the same list on the command line.
func (v Runs) command() string {
	return migration.RunListCommand([2]string{"step", v.Filter.Step},
		[2]string{"state", v.Filter.State}, [2]string{"person", v.Filter.Person},
		[2]string{"before", v.Filter.Before})
}

// reviewedBy says who decided on a run, and when that is who asked for it.
func reviewedBy(r migration.Run) string {
	if r.DecidedBy != "" && r.DecidedBy == r.RequestedBy {
		return r.DecidedBy + " (own request)"
	}
	return r.DecidedBy
}

// approvedBy says who approved a run of a report, and when one of them is who asked for it.
func approvedBy(requestedBy string, by []string) string {
	names := slices.Clone(by)
	for i, n := range names {
		if n == requestedBy {
			names[i] += " (own request)"
		}
	}
	return strings.Join(names, ", ")
}
