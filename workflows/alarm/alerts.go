package alarm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Each of these looks says what is wrong now. They read what the monitor and the steps have
// found, and find nothing themselves.

// outageSeverity is what a severity of the outage clock is to people who are woken by it;
// "late" is no alert: the retries bring those orders.
var outageSeverity = map[webhooks.Severity]notify.Severity{
	webhooks.Warning:  notify.Warning,
	webhooks.Critical: notify.Error,
	webhooks.Losing:   notify.Critical,
}

func (n *Notifier) outage(_ context.Context, mig migration.Migration) (seen, error) {
	o, err := n.Outage.Read(0)
	if err != nil {
		return seen{}, err
	}
	var s seen
	if o.Unknown == "" {
		s.judged = []string{notify.Key(mig.ID, "outage")}
	}
	for _, p := range o.Providers {
		if p.Clock == nil {
			continue
		}
		severity, ok := outageSeverity[webhooks.Severity(p.Clock.Severity)]
		if !ok {
			continue
		}
		loss := p.Clock.FirstLoss.UTC().Format("15:04 UTC on 2006-01-02")
		title := fmt.Sprintf(
			"%s: %s rejected and %s not been redelivered; the first is lost at %s",
			p.Provider.Name,
			orders(p.Missing, "was", "were"),
			plural(p.Missing, "has", "have"),
			loss,
		)
		switch {
		case o.Unknown != "":
			title = fmt.Sprintf(
				"%s: orders may be rejected, number unknown; the first would be lost at %s",
				p.Provider.Name,
				loss,
			)
		case severity == notify.Critical:
			title = fmt.Sprintf(
				"%s has stopped retrying: of %d rejected orders not redelivered, %d %s lost",
				p.Provider.Name,
				p.Missing,
				p.Clock.Lost,
				plural(p.Clock.Lost, "is", "are"),
			)
		}
		text := named(p.Orders, p.Missing)
		if p.Provider.Recovery.Text != "" {
			text += " Recovery: " + p.Provider.Recovery.Text
		}
		s.alerts = append(
			s.alerts,
			notify.Event{
				Key:      notify.Key(mig.ID, "outage", p.Provider.ID),
				Severity: severity,
				Title:    title,
				Text:     strings.TrimSpace(text),
				URL:      n.link(mig.ID, "outage"),
			},
		)
	}
	return s, nil
}

const (
	// heldLong is how long an order may wait in a durable intake before somebody is told:
	// the intake hides an outage from providers, and would from people.
	heldLong = 2 * time.Minute
	// intakeFull and intakeFilling are the shares of an intake's room from which it is urgent.
	intakeFull, intakeFilling = 0.9, 0.5
)

// intake goes by what live apps attest of their durable intake. While none attests, what
// was wrong stays wrong.
func (n *Notifier) intake(_ context.Context, mig migration.Migration) (seen, error) {
	return judgeIntakes(n.Workers.Intakes(mig.ID), mig.ID, n.link(mig.ID, "outage")), nil
}

func judgeIntakes(facts evidence.IntakeFacts, mid, link string) seen {
	var s seen
	// an instance that is gone is no longer told of: the order ledger knows what it has
	// taken with it
	if len(facts.Instances) > 0 {
		s.judged = []string{notify.Key(mid, "intake")}
	}
	for _, i := range facts.Instances {
		if !i.Durable {
			continue
		}
		add := func(id string, severity notify.Severity, title string) {
			s.alerts = append(
				s.alerts,
				notify.Event{
					Key:      notify.Key(mid, "intake", id, i.Instance),
					Severity: severity,
					Title:    title,
					URL:      link,
				},
			)
		}
		waiting, used := time.Duration(i.OldestMS)*time.Millisecond, 0.0
		if i.MaxBytes > 0 {
			used = float64(i.Bytes) / float64(i.MaxBytes)
		}
		if i.Backlog > 0 && (waiting >= heldLong || used >= intakeFilling) {
			severity := notify.Warning
			switch {
			case used >= intakeFull:
				severity = notify.Critical
			case used >= intakeFilling:
				severity = notify.Error
			}
			add(
				"held",
				severity,
				fmt.Sprintf(
					"%s on the disk of %s and cannot be enqueued, the oldest for %s; %.0f %% of "+
						"the space is used",
					orders(i.Backlog, "waits", "wait"),
					i.Instance,
					migration.Words(waiting),
					100*used,
				),
			)
		}
		if i.Damaged > 0 {
			add(
				"damaged",
				notify.Critical,
				fmt.Sprintf(
					"%d %s of the durable intake of %s can no longer be read from disk: "+
						"acknowledged orders may be lost",
					i.Damaged,
					plural(int(i.Damaged), "line", "lines"),
					i.Instance,
				),
			)
		}
	}
	return s
}

// guardrails goes by what the guard has found of the target since orders go there.
func (n *Notifier) guardrails(_ context.Context, mig migration.Migration) (seen, error) {
	key := notify.Key(mig.ID, "guardrails")
	s := seen{judged: []string{key}}
	if fault, is := n.Vitals.Reported(mig.ID); is {
		s.alerts = append(s.alerts, notify.Event{
			Key:      key,
			Severity: notify.Critical,
			Title:    "A guardrail of the cutover is not kept: " + fault.Text,
			Text: "Shortly after a move forward the queue goes back by itself. Later somebody " +
				"has to decide; the way back is open.",
			URL: n.link(mig.ID, "steps", migration.StepCutover),
		})
	}
	return s, nil
}

// orders counts them, with the verb that goes with the count.
func orders(n int, one, many string) string {
	return fmt.Sprintf("%d %s %s", n, plural(n, "order", "orders"), plural(n, one, many))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// named names a few orders by their ids.
func named(ids []string, total int) string {
	if len(ids) == 0 {
		return ""
	}
	shown := ids[:min(len(ids), namedOrders)]
	text := "Orders: " + strings.Join(shown, ", ")
	if more := max(total, len(ids)) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + "."
}

var auditSeverity = map[string]notify.Severity{
	"critical": notify.Critical,
	"high":     notify.Error,
	"medium":   notify.Warning,
}

// audit goes by the last look at the servers' settings and counters; where they cannot be
// looked at, what was wrong stays wrong. What was measured is not told: it may name a key.
func (n *Notifier) audit(ctx context.Context, mig migration.Migration) (seen, error) {
	latest, err := n.Store.LatestEvidence(ctx, mig.ID)
	if err != nil {
		return seen{}, err
	}
	routing, err := n.Routing.Read(ctx, mig.ID)
	if err != nil {
		return seen{}, err
	}
	s := seen{judged: []string{notify.Key(mig.ID, "audit")}}
	facts, ok := environment.AuditFactsOf(latest)
	if !ok || !routing.HasSource() {
		return s, nil
	}
	for _, a := range facts.Alerts() {
		severity, ok := auditSeverity[a.Severity]
		if !ok {
			severity = notify.Info
		}
		s.alerts = append(
			s.alerts,
			notify.Event{
				Key:      notify.Key(mig.ID, "audit", a.Node, a.Check),
				Severity: severity,
				Title:    fmt.Sprintf("%s on %s: no longer OK", a.Title, a.Node),
				URL:      n.link(mig.ID, "redis-audit"),
				Run:      a.Run,
			},
		)
	}
	return s, nil
}

// orders goes by the order ledger: lost, doubled, different, late, broken by the streams,
// or not known for a while.
func (n *Notifier) orders(ctx context.Context, mig migration.Migration) (seen, error) {
	o, err := n.Streams.Overview(ctx, mig.ID)
	if err != nil {
		return seen{}, err
	}
	key := func(id string) string { return notify.Key(mig.ID, "ledger", id) }
	var s seen
	add := func(id string, severity notify.Severity, title, text string) {
		s.alerts = append(
			s.alerts,
			notify.Event{
				Key:      key(id),
				Severity: severity,
				Title:    title,
				Text:     text,
				URL:      n.link(mig.ID, "ledger"),
			},
		)
	}
	if j := o.Journal; j != nil {
		s.judged = append(s.judged, key("lost"), key("duplicated"), key("different"),
			key("contradicted"))
		if j.Lost > 0 {
			add(
				"lost",
				notify.Critical,
				orders(j.Lost, "was", "were")+" acknowledged but not completed in time",
				named(j.LostIDs, j.Lost),
			)
		}
		if j.Duplicated > 0 {
			add(
				"duplicated",
				notify.Critical,
				orders(j.Duplicated, "has", "have")+" been processed more than once",
				named(j.DuplicatedIDs, j.Duplicated),
			)
		}
		if j.Mismatches > 0 {
			add(
				"different",
				notify.Error,
				orders(
					j.Mismatches,
					"has",
					"have",
				)+" different results or data on the two sides",
				named(j.MismatchIDs, j.Mismatches),
			)
		}
		if j.Contradicted > 0 {
			add(
				"contradicted",
				notify.Error,
				orders(j.Contradicted, "has", "have")+" a record that cannot be true",
				named(j.ContradictedIDs, j.Contradicted),
			)
		}
	}
	s.judged = append(s.judged, key("late"), key("jobs"))
	if late := int(o.Late()); late > 0 {
		add("late", notify.Warning, orders(late, "is", "are")+" overdue", "")
	}
	clear := o.Journal == nil || o.Journal.Red() == 0
	// the application's record has not said it above
	if o.Verdict == environment.LedgerBroken && clear {
		add(
			"jobs",
			notify.Error,
			"Order ledger: according to the queues' events, jobs are lost, duplicated or "+
				"mismatched",
			"",
		)
	}
	if o.Verdict != environment.LedgerInconclusive {
		s.judged = append(s.judged, key("unknown"))
	}
	if n.doubted(mig.ID, o.Verdict == environment.LedgerInconclusive) >= doubtFor {
		add(
			"unknown",
			notify.Warning,
			"The order ledger has been inconclusive for "+migration.Words(
				doubtFor,
			)+" or more: a lost order would not be seen",
			"",
		)
	}
	return s, nil
}

// doubted gives for how long the ledger has been inconclusive.
func (n *Notifier) doubted(mid string, inconclusive bool) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !inconclusive {
		delete(n.doubtSince, mid)
		return 0
	}
	now := n.Now()
	if _, ok := n.doubtSince[mid]; !ok {
		n.doubtSince[mid] = now
	}
	return now.Sub(n.doubtSince[mid])
}

// metSetting is the prefix of what is remembered of a migration's criteria: those that were
// met once.
const metSetting = "criteria-met:"

func (n *Notifier) criteria(ctx context.Context, mig migration.Migration) (seen, error) {
	view, err := n.Views.Read(ctx, mig.ID)
	if err != nil {
		return seen{}, err
	}
	var met []string
	if _, err := n.Store.Setting(ctx, metSetting+mig.ID, &met); err != nil {
		return seen{}, err
	}
	s, more := seen{judged: []string{notify.Key(mig.ID, "criterion")}}, false
	for _, i := range view.Checklist {
		was := slices.Contains(met, i.Criterion.ID)
		switch {
		case i.Verdict == migration.Met && !was:
			met, more = append(met, i.Criterion.ID), true
			n.Log.Info(
				"criterion met for the first time",
				"migration",
				mig.ID,
				"criterion",
				i.Criterion.ID,
			)
		case i.Verdict != migration.Met && was:
			severity := notify.Warning // the evidence is old, or is gone
			if i.Verdict == migration.Unmet {
				severity = notify.Error
			}
			s.alerts = append(
				s.alerts,
				notify.Event{
					Key:      notify.Key(mig.ID, "criterion", i.Criterion.ID),
					Severity: severity,
					Title:    fmt.Sprintf("%s was met and is %s", i.Criterion.Title, i.Verdict),
					URL:      n.link(mig.ID, "evidence", i.Criterion.ID),
				},
			)
		}
	}
	if more {
		return s, n.Store.SetSetting(ctx, metSetting+mig.ID, met)
	}
	return s, nil
}

// limits goes by what each side was seen to need of the plan's limits.
func (n *Notifier) limits(ctx context.Context, mig migration.Migration) (seen, error) {
	n.mu.Lock()
	last, ok := n.capacity[mig.ID]
	n.mu.Unlock()
	now := n.Now()
	if ok && now.Sub(last.at) < capacityEvery {
		return last.seen, nil
	}
	var shown costs.Capacity
	// the other looks are not to wait for the managed service's API
	asked, cancel := context.WithTimeout(ctx, 3*time.Second)
	limits := n.Costs.PlanLimits(asked, &shown)
	cancel()
	var s seen
	for _, side := range environment.Sides {
		hours, err := n.Load.Hours(ctx, mig.ID, side, now.Add(-costs.LoadShown))
		if err != nil {
			return seen{}, err
		}
		for _, u := range capacity.Uses(hours, limits) {
			key := notify.Key(mig.ID, "capacity", side, u.ID)
			if u.State != capacity.Unknown {
				s.judged = append(s.judged, key)
			}
			severity, ok := capacitySeverity[u.State]
			if !ok {
				continue
			}
			needs := "needs"
			if u.ProjectedFrom != "" {
				needs = "is projected, from " + u.ProjectedFrom + " of data, to need"
			}
			title := fmt.Sprintf(
				"The %s %s %.0f %% of what %s allows: %s",
				side,
				needs,
				100*u.Share(),
				shown.Plan.Title,
				strings.ToLower(u.Title),
			)
			if u.Likely != nil {
				title += ", and all of it from about " + u.Likely.UTC().Format(time.DateOnly)
			}
			s.alerts = append(
				s.alerts,
				notify.Event{
					Key:      key,
					Severity: severity,
					Title:    title,
					URL:      n.link(mig.ID, "capacity"),
				},
			)
		}
	}
	n.mu.Lock()
	n.capacity[mig.ID] = capacityLook{now, s}
	n.mu.Unlock()
	return s, nil
}

var capacitySeverity = map[capacity.State]notify.Severity{
	capacity.Near: notify.Warning,
	capacity.Over: notify.Error,
}
