package alarm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/outage"
)

// observedSetting is the prefix of when everything that is an alert was looked at last.
const observedSetting = "observed-at:"

// looksMissed is how many intervals of the monitor may pass without a whole look before the
// alerts count as not known: one look may take longer while servers are slow.
const looksMissed = 4

// heard is everything that a headline is made of, with why it is not known where it is not.
type heard struct {
	now    time.Time
	alerts []store.OpenAlert
	looked time.Time // when the alerts were looked for last; zero: never
	every  time.Duration
	clock  outage.Outage
	late   int64 // orders that are overdue now
	grave  int   // critical findings of the audit's last look, also those that were never OK
	blind  []string
}

// Headline gives the state of a migration in one sentence: from the alerts that are open, the
// outage clock and the order ledger, as they are now. It fails with nothing: what cannot be read
// is named as unknown.
func (n *Notifier) Headline(ctx context.Context, mid string) migration.Headline {
	h := heard{now: n.Now(), every: n.Config.Migration.MonitorInterval}
	unread := func(what string, err error) {
		if err != nil {
			h.blind = append(h.blind, what+": "+environment.InWords(err))
		}
	}
	var err error
	h.alerts, err = n.Store.OpenAlerts(ctx, mid)
	unread("alerts", err)
	if err == nil {
		_, err = n.Store.Setting(ctx, observedSetting+mid, &h.looked)
		unread("alerts", err)
	}
	h.clock, err = n.Outage.Read(0)
	unread("rejected orders", err)
	o, err := n.Streams.Overview(ctx, mid)
	unread("order ledger", err)
	h.late = o.Late()
	h.grave, err = n.criticalFindings(ctx, mid)
	unread("Redis audit", err)
	return h.headline()
}

// criticalFindings counts those of the audit while the source is in use. Only what became worse is
// an alert; what was so from the start loses jobs all the same.
func (n *Notifier) criticalFindings(ctx context.Context, mid string) (int, error) {
	routing, err := n.Routing.Read(ctx, mid)
	if err != nil || !routing.HasSource() {
		return 0, err
	}
	latest, err := n.Store.LatestEvidence(ctx, mid)
	if err != nil {
		return 0, err
	}
	facts, _ := environment.AuditFactsOf(latest)
	return facts.Problems()["critical"], nil
}

// urgent is the order in which kinds of alerts are told, where they are equally severe.
var urgent = []string{
	"outage", "ledger", "guardrails", "intake", "still", "stranded", "left", "audit",
}

// harms are the alerts that say that orders are, or soon will be, lost or done twice. What they
// are about must be over before anything disruptive is begun. A client or a queue that a move left
// behind is none: somebody may have accepted that in writing, and the gates of moves ask about it.
var harms = []string{"ledger/lost", "guardrails", "intake/damaged"}

// kind gives what an alert is about: its key without the migration.
func kind(key string) string {
	_, rest, _ := strings.Cut(key, "/")
	return rest
}

func is(key string, kinds ...string) bool {
	return slices.ContainsFunc(kinds, func(k string) bool {
		return kind(key) == k || strings.HasPrefix(kind(key), k+"/")
	})
}

func (h heard) headline() migration.Headline {
	out := migration.Headline{Level: migration.Calm, At: h.now, Unknown: h.unknown()}
	loss, severity, missing := h.clockNow()
	out.FirstLoss = loss
	told := h.told()
	if len(told) > 0 {
		first := told[0]
		out.Level, out.Title, out.About, out.Since = migration.Attention, first.Title, first.Key,
			&first.At
		out.First, out.Acknowledged = firstOf(first.Key), h.acknowledged(first.Key)
		if first.Severity == notify.Critical {
			out.Level = migration.Incident
		}
		out.More = len(told) - 1
	}
	if severity == webhooks.Critical || severity == webhooks.Losing {
		out.Level = migration.Incident
	}
	switch {
	case out.Title != "":
	case missing > 0:
		out.Level = migration.Attention
		out.Title = fmt.Sprintf("%s rejected and %s not been redelivered yet",
			orders(missing, "was", "were"), plural(missing, "has", "have"))
		out.First = "Wait for the provider's next retry; find out why they were rejected."
		out.About = "/outage"
	case h.late > 0:
		out.Level = migration.Attention
		out.Title = orders(int(h.late), "is", "are") + " overdue"
		out.First, out.About = firstOf("/ledger/late"), "/ledger/late"
	case h.grave > 0:
		out.Level, out.About = migration.Attention, "/audit"
		out.Title = fmt.Sprintf("The Redis audit has %d critical %s", h.grave,
			plural(h.grave, "finding", "findings"))
		out.First = "Open the audit and fix what it found: jobs can be lost until then."
	case len(out.Unknown) > 0:
		out.Level = migration.Attention
		out.Title = "No known incident, but not everything is being watched"
		out.First = "Look into what is not known: " + strings.Join(out.Unknown, "; ") + "."
	default:
		out.Title = "No incident, and no order is known to be at risk"
	}
	if out.About != "" {
		out.Runbook = runbooks.OfAlert(out.About)
	}
	out.AtRisk = h.atRisk(severity, missing)
	return out
}

// told gives the open alerts of warning and above, what matters most first.
func (h heard) told() []notify.Event {
	var all []notify.Event
	for _, a := range h.alerts {
		var e notify.Event
		if json.Unmarshal(a.Event, &e) != nil || e.Title == "" {
			e.Title = "An alert that cannot be read: " + a.Key
		}
		e.Key, e.Severity, e.At = a.Key, notify.Severity(a.Severity), a.OpenedAt
		if e.Severity != notify.Info {
			all = append(all, e)
		}
	}
	rank := func(e notify.Event) int {
		for i, k := range urgent {
			if is(e.Key, k) {
				return i
			}
		}
		return len(urgent)
	}
	slices.SortStableFunc(all, func(a, b notify.Event) int {
		switch {
		case a.Severity.Less(b.Severity):
			return 1
		case b.Severity.Less(a.Severity):
			return -1
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.At.Compare(b.At))
	})
	return all
}

// acknowledged says who looks after an open alert; empty: nobody.
func (h heard) acknowledged(key string) string {
	for _, a := range h.alerts {
		if a.Key == key && a.Ack.At != nil {
			return a.Ack.By + ": " + a.Ack.Comment
		}
	}
	return ""
}

// clockNow gives when the first order is lost, how urgent the worst provider is, and how many
// orders are missing. Where it is not known whether orders are rejected, the clock runs from
// when it was known last: that is no count, and no order that is missing.
func (h heard) clockNow() (loss *time.Time, worst webhooks.Severity, missing int) {
	order := []webhooks.Severity{
		webhooks.Late, webhooks.Warning, webhooks.Critical, webhooks.Losing,
	}
	for _, p := range h.clock.Providers {
		if p.Clock == nil {
			continue
		}
		missing += p.Missing
		if loss == nil || p.Clock.FirstLoss.Before(*loss) {
			loss = &p.Clock.FirstLoss
		}
		s := webhooks.Severity(p.Clock.Severity)
		if slices.Index(order, s) > slices.Index(order, worst) {
			worst = s
		}
	}
	return loss, worst, missing
}

func (h heard) unknown() []string {
	all := slices.Clone(h.blind)
	if h.clock.Unknown != "" {
		all = append(all, "whether orders are rejected: "+h.clock.Unknown)
	}
	switch since := h.now.Sub(h.looked); {
	case h.looked.IsZero():
		all = append(all, "alerts: not looked for yet")
	case since > looksMissed*h.every:
		all = append(all, "alerts: last looked for "+migration.Words(since.Round(time.Second))+
			" ago, every "+migration.Words(h.every)+" is usual")
	}
	return all
}

func (h heard) atRisk(severity webhooks.Severity, missing int) []string {
	var all []string
	if severity == webhooks.Critical || severity == webhooks.Losing {
		all = append(all, orders(missing, "was", "were")+" rejected and "+
			plural(missing, "has", "have")+" not been redelivered")
	}
	if h.late > 0 {
		all = append(all, orders(int(h.late), "is", "are")+" overdue")
	}
	for _, e := range h.told() {
		if is(e.Key, harms...) {
			all = append(all, e.Title)
		}
	}
	return all
}

// firstOf says what to do first about an alert. The page that it leads to has the rest.
func firstOf(key string) string {
	for _, f := range []struct{ kind, do string }{
		{"outage", "Get the app to accept orders again before the providers stop retrying."},
		{"ledger/lost", "Look up the lost orders and have them redelivered."},
		{"ledger/duplicated", "Look up the orders that were processed twice and refund them."},
		{"ledger", "Look up the affected orders."},
		{"guardrails", "Decide whether the queue goes back; the way back is open."},
		{"intake", "Get Redis to accept jobs again before the disk is full."},
		{"still", "Connect a worker of this queue to the primary, or move back."},
		{"stranded", "Point this client to the primary, or move back."},
		{"left", "Find out whether the run that left it is still going; lift it if not."},
		{"audit", "Find out what changed on the server, and fix it."},
		{"criterion", "Check the evidence, then run its step again."},
		{"capacity", "Check the usage, and consider the next larger plan."},
	} {
		if is(key, f.kind) {
			return f.do
		}
	}
	return "Open the alert."
}
