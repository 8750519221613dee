// Package digest is the status report in short, once a week: what is met and what changed, the
// forecast, what happened, what is next and who owns it. It is worked out from what was read;
// nothing here reads. What is not known is named as unknown.
package digest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

// Digest is a migration since the last digest.
type Digest struct {
	Migration string    `json:"migration"` // its id
	Name      string    `json:"name"`
	At        time.Time `json:"at"`
	// Since is when the last digest was made; of the first, a week before, or when the migration
	// was created.
	Since time.Time `json:"since"`
	// First: there was no digest before, so there is nothing to compare with.
	First bool `json:"first"`
	// Due is when it should have been sent, where it is sent late.
	Due *time.Time `json:"due,omitempty"`
	// By is who asked for it; empty: it is the weekly one.
	By string `json:"by,omitempty"`

	Met      int               `json:"met"`
	Total    int               `json:"total"`
	Criteria []Criterion       `json:"criteria"`
	Changed  []Change          `json:"changed"` // criteria, since the last digest
	Forecast forecast.Forecast `json:"forecast"`
	// Before is the forecast of the last digest.
	Before    forecast.State `json:"forecast_before,omitempty"`
	Runs      []Run          `json:"runs"`      // that changed something, the oldest first
	Decisions []Decision     `json:"decisions"` // the oldest first
	Alerts    Alerts         `json:"alerts"`
	Orders    Orders         `json:"orders"`
	Next      []Next         `json:"next"`
	// Unknown names what could not be told.
	Unknown []string `json:"unknown"`
	// Report is the address of the whole report; empty where no public address is configured.
	Report string `json:"report,omitempty"`
}

// Criterion is how one stands.
type Criterion struct {
	ID      string            `json:"id"`
	Title   string            `json:"title"`
	Verdict migration.Verdict `json:"verdict"`
}

// Change is a criterion that stands otherwise than in the last digest.
type Change struct {
	Title string            `json:"title"`
	From  migration.Verdict `json:"from"`
	To    migration.Verdict `json:"to"`
}

// Run is one that changed something and began or ended since the last digest.
type Run struct {
	ID    string             `json:"id"`
	Title string             `json:"title"`
	State migration.RunState `json:"state"`
	By    string             `json:"by"`
	At    time.Time          `json:"at"`
}

// Decision is what somebody decided.
type Decision struct {
	What string    `json:"what"` // with the verb: approved Cutover
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// Alerts are those of the time since the last digest.
type Alerts struct {
	Opened int `json:"opened"`
	Closed int `json:"closed"`
	// Open are those that are open now.
	Open []Alert `json:"open"`
	// Unknown says why they are not known; then the counts mean nothing.
	Unknown string `json:"unknown,omitempty"`
}

// Alert is one that is open.
type Alert struct {
	Title    string    `json:"title"`
	Severity string    `json:"severity" enum:"info,warning,error,critical"`
	Since    time.Time `json:"since"`
}

// Orders is what the ledger says, since the beginning and since the last digest.
type Orders struct {
	report.Orders
	// Week is the difference to the last digest; absent where it cannot be told.
	Week *Week `json:"week,omitempty"`
}

// Week is orders since the last digest.
type Week struct {
	Acknowledged int `json:"acknowledged"`
	Lost         int `json:"lost"`
	Twice        int `json:"twice"`
}

// Next is what can be done now, and who owns it.
type Next struct {
	Title string `json:"title"`
	Why   string `json:"why"`
	Owner string `json:"owner,omitempty"` // empty: the plan names none
}

// Input is what a digest is made of.
type Input struct {
	View   progress.View
	Report report.Report
	// Last is the digest before; nil: there was none.
	Last *Digest
	// Alerts are those that were open at any time since then.
	Alerts []report.Incident
	// Looked says why alerts are not known, such as that nobody has looked for them; empty: they
	// are.
	Looked string
}

// week is how far back the first digest looks.
const week = 7 * 24 * time.Hour

// Since is when the time begins that a digest made at a time tells of.
func Since(last *Digest, created, at time.Time) time.Time {
	if last != nil {
		return last.At
	}
	if since := at.Add(-week); since.After(created) {
		return since
	}
	return created
}

// Late gives the digest as one that should have been sent before.
func (d Digest) Late(due time.Time) Digest {
	d.Due = &due
	d.Unknown = append(slices.Clone(d.Unknown),
		"the time in which Switchyard did not run: nothing was looked at then")
	return d
}

// Build makes a digest. It names no servers, as it goes to people without an account.
func Build(in Input) Digest {
	r, m := report.Redacted(in.Report), in.View.Migration
	d := Digest{
		Migration: r.Migration, Name: r.Name, At: r.At, First: in.Last == nil,
		Since: Since(in.Last, m.CreatedAt, r.At), Met: r.Met, Total: r.Total,
		Forecast: r.Forecast, Criteria: []Criterion{}, Changed: []Change{}, Unknown: []string{},
	}
	for _, c := range r.Criteria {
		d.Criteria = append(d.Criteria, Criterion{c.ID, c.Title, c.Verdict})
	}
	if in.Last != nil {
		d.Before, d.Changed = in.Last.Forecast.State, changed(*in.Last, d.Criteria)
	}
	d.Runs = runs(r, d.Since)
	d.Decisions = decisions(in.View, r, d.Since)
	d.Alerts = alerts(in, d.Since)
	d.Orders = Orders{Orders: r.Orders, Week: since(in.Last, r.Orders)}
	d.Next = next(in.View)
	d.Unknown = d.unknown()
	return d
}

// changed compares how criteria stand. One that the last digest did not have was unknown to it.
func changed(last Digest, now []Criterion) []Change {
	was := map[string]migration.Verdict{}
	for _, c := range last.Criteria {
		was[c.ID] = c.Verdict
	}
	out := []Change{}
	for _, c := range now {
		if before := cmp.Or(was[c.ID], migration.Unknown); before != c.Verdict {
			out = append(out, Change{c.Title, before, c.Verdict})
		}
	}
	return out
}

func runs(r report.Report, since time.Time) []Run {
	out := []Run{}
	for _, x := range r.Runs {
		if x.At.After(since) || x.FinishedAt == nil || x.FinishedAt.After(since) {
			out = append(out, Run{x.ID, x.Title, x.State, x.RequestedBy, x.At})
		}
	}
	return out
}

// decisions are the answers that were given to runs, and what was waived.
func decisions(v progress.View, r report.Report, since time.Time) []Decision {
	out := []Decision{}
	add := func(verb, what, by string, at *time.Time) {
		if by != "" && at != nil && at.After(since) {
			out = append(out, Decision{verb + " " + what, by, *at})
		}
	}
	for _, run := range v.Runs {
		title := titleOf(v, run)
		if run.State == migration.RunRejected {
			add("rejected", title, run.DecidedBy, run.FinishedAt)
		} else {
			add("approved", title, run.DecidedBy, run.StartedAt)
		}
		add("cancelled", title, run.CancelledBy, run.FinishedAt)
		for _, c := range run.Approvals {
			verb := "rejected"
			if c.Approved {
				verb = "approved"
			}
			add(verb, "an action of "+title, c.By, &c.At)
		}
	}
	for i, w := range v.Waivers {
		member := w.Member
		if i < len(r.Waivers) { // without a server's address
			member = r.Waivers[i].Member
		}
		add("waived", member, w.By, &w.At)
		add("revoked the waiver of", member, w.RevokedBy, w.RevokedAt)
	}
	slices.SortStableFunc(out, func(a, b Decision) int { return a.At.Compare(b.At) })
	return out
}

func titleOf(v progress.View, r migration.Run) string {
	title := r.Step
	if s, ok := v.Migration.Plan.Step(r.Step); ok {
		title = s.Title
	}
	title += r.Params.Suffix()
	if r.Rollback != "" {
		title = "the rollback of " + title
	}
	return title
}

func alerts(in Input, since time.Time) Alerts {
	out := Alerts{Open: []Alert{}, Unknown: in.Looked}
	for _, a := range report.Redacted(report.Report{Incidents: in.Alerts}).Incidents {
		if a.Began.After(since) {
			out.Opened++
		}
		switch {
		case a.Ended == nil:
			out.Open = append(out.Open, Alert{a.Title, a.Severity, a.Began})
		case a.Ended.After(since):
			out.Closed++
		}
	}
	return out
}

// since is what the ledger has more than the last digest. One that has less was begun anew.
func since(last *Digest, now report.Orders) *Week {
	if last == nil || now.Unknown != "" || last.Orders.Unknown != "" {
		return nil
	}
	w := Week{now.Acknowledged - last.Orders.Acknowledged, now.Lost - last.Orders.Lost,
		now.Twice - last.Orders.Twice}
	if w.Acknowledged < 0 { // begun anew
		return nil
	}
	return &w
}

func next(v progress.View) []Next {
	out := []Next{}
	for _, n := range v.NextSteps() {
		owner := v.Migration.Plan.Owner
		for _, m := range v.Migration.Plan.Milestones {
			if m.Step == n.Step && m.Owner != "" {
				owner = m.Owner
			}
		}
		out = append(out, Next{n.Title, n.Why, owner})
	}
	return out[:min(len(out), 3)]
}

// unknown names what could not be told, so that nobody takes silence for well.
func (d Digest) unknown() []string {
	out := []string{}
	var open []string
	for _, c := range d.Criteria {
		if c.Verdict == migration.Unknown || c.Verdict == migration.Stale {
			open = append(open, c.Title+" ("+string(c.Verdict)+")")
		}
	}
	if len(open) > 0 {
		out = append(out, "criteria without current evidence: "+strings.Join(open, ", "))
	}
	if d.Orders.Unknown != "" {
		out = append(out, "orders: "+d.Orders.Unknown)
	}
	if d.Alerts.Unknown != "" {
		out = append(out, "alerts: "+d.Alerts.Unknown)
	}
	if d.Forecast.State == forecast.None {
		out = append(out, "forecast: "+strings.Join(d.Forecast.Reasons, "; "))
	}
	return out
}
