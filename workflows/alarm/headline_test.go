package alarm

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/outage"
)

func TestTheHeadlineSaysWhatMattersMost(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	loss := now.Add(4 * time.Minute)
	alert := func(key string, s notify.Severity, title string) store.OpenAlert {
		raw, err := json.Marshal(notify.Event{Title: title})
		if err != nil {
			t.Fatal(err)
		}
		return store.OpenAlert{Key: "m/" + key, Severity: string(s), Event: raw,
			OpenedAt: now.Add(-time.Minute)}
	}
	clock := func(severity string, missing int) outage.Outage {
		return outage.Outage{Providers: []outage.ProviderOutage{
			{Clock: &outage.OutageClock{FirstLoss: loss.Add(time.Hour), Severity: "late"}},
			{Missing: missing, Clock: &outage.OutageClock{FirstLoss: loss, Severity: severity}},
		}}
	}
	for _, c := range []struct {
		rule   string
		change func(*heard)
		level  migration.HeadlineLevel
		title  string
		atRisk int
	}{
		{"everything was looked at and nothing is wrong: calm", func(*heard) {},
			migration.Calm, "No incident, and no order is known to be at risk", 0},
		{"alerts that were never looked for are not calm", func(h *heard) {
			h.looked = time.Time{}
		}, migration.Attention, "No known incident, but not everything is being watched", 0},
		{"a monitor that has stopped looking is not calm", func(h *heard) {
			h.looked = now.Add(-2 * time.Minute)
		}, migration.Attention, "No known incident, but not everything is being watched", 0},
		{"rejected orders that nobody knows of are not calm", func(h *heard) {
			h.clock.Unknown = "the journal cannot be read"
		}, migration.Attention, "No known incident, but not everything is being watched", 0},
		{"what cannot be read is not calm", func(h *heard) {
			h.blind = []string{"order ledger: cannot be read"}
		}, migration.Attention, "No known incident, but not everything is being watched", 0},
		{"information is no news", func(h *heard) {
			h.alerts = append(h.alerts, alert("audit/x", notify.Info, "new version"))
		}, migration.Calm, "No incident, and no order is known to be at risk", 0},
		{"an order that waits for its retry is told", func(h *heard) {
			h.clock = clock("late", 1)
		}, migration.Attention, "1 order was rejected and has not been redelivered yet", 0},
		{"an outage that eats half the time to the first loss is an incident",
			func(h *heard) {
				h.clock = clock("critical", 27)
				h.alerts = append(h.alerts, alert("outage/stripe", notify.Error, "27 rejected"))
			}, migration.Incident, "27 rejected", 1},
		{"a critical finding that was there from the start is not calm", func(h *heard) {
			h.grave = 2
		}, migration.Attention, "The Redis audit has 2 critical findings", 0},
		{"overdue orders need attention, and are at risk", func(h *heard) { h.late = 27 },
			migration.Attention, "27 orders are overdue", 1},
		{"a critical alert is an incident", func(h *heard) {
			h.alerts = append(h.alerts, alert("audit/a/policy", notify.Critical, "evicts"))
		}, migration.Incident, "evicts", 0},
		{"lost orders come before everything that is as bad", func(h *heard) {
			h.alerts = append(h.alerts, alert("audit/a/policy", notify.Critical, "evicts"),
				alert("ledger/lost", notify.Critical, "2 orders lost"))
		}, migration.Incident, "2 orders lost", 1},
		{"what is worse comes first, whatever it is about", func(h *heard) {
			h.alerts = append(h.alerts, alert("outage/stripe", notify.Warning, "1 rejected"),
				alert("capacity/x", notify.Error, "too small"))
		}, migration.Attention, "too small", 0},
		{"an alert that cannot be read is one", func(h *heard) {
			h.alerts = append(h.alerts, store.OpenAlert{Key: "m/still/q", Severity: "critical",
				Event: []byte("{")})
		}, migration.Incident, "An alert that cannot be read: m/still/q", 0},
		{"whom a move left behind holds nothing else up", func(h *heard) {
			h.alerts = append(h.alerts, alert("stranded/10.0.0.9", notify.Critical, "left"))
		}, migration.Incident, "left", 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			h := heard{now: now, looked: now.Add(-5 * time.Second), every: 15 * time.Second}
			c.change(&h)
			got := h.headline()
			if got.Level != c.level || got.Title != c.title || len(got.AtRisk) != c.atRisk {
				t.Errorf("%s %q, at risk %q", got.Level, got.Title, got.AtRisk)
			}
			if got.Level != migration.Calm && got.First == "" {
				t.Error("it does not say what to do first")
			}
			if len(h.clock.Providers) > 0 && !got.FirstLoss.Equal(loss) {
				t.Errorf("the first order is lost at %s, not %s", got.FirstLoss, loss)
			}
			if got.Level == migration.Calm && len(got.Unknown) > 0 {
				t.Errorf("calm without knowing %q", got.Unknown)
			}
		})
	}
}

func TestEveryKindOfAlertHasAFirstThingToDo(t *testing.T) {
	t.Parallel()
	for _, k := range slices.Concat(urgent, harms, []string{"criterion/x", "capacity/target/y"}) {
		if firstOf("m/"+k) == firstOf("m/of no kind") {
			t.Errorf("%s: nothing to do", k)
		}
	}
	if strings.TrimSpace(firstOf("m/of no kind")) == "" {
		t.Error("an unknown kind says nothing")
	}
}
