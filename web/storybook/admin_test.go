package storybook

import (
	"strings"
	"testing"

	"github.com/a-h/templ"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// storyNotifications is an outage of one provider while mail is down.
func storyNotifications() workflows.Notifications {
	ago := func(d time.Duration) *time.Time { t := storyTime.Add(-d); return &t }
	all := []string{"approval", "change", "alert"}
	outage := "Shopify: 12 orders were refused and have not come back; the first is lost at " +
		"14:30 UTC on 2026-11-26"
	return workflows.Notifications{At: storyTime,
		Channels: []workflows.NotificationChannel{
			{
				Name: "pager", Type: "pagerduty", Events: all, MinSeverity: "error",
				Sent: 41, SentAt: ago(2 * time.Minute),
			},
			{
				Name: "payments-channel", Type: "slack", Events: all, Digest: true,
				MinSeverity: "warning", Sent: 66, Failed: 1, SentAt: ago(2 * time.Minute),
				FailedAt: ago(26 * time.Hour),
				Error:    "it answered 429 Too Many Requests: it asks to be sent less",
			},
			{
				Name: "leads", Type: "email", Events: []string{"alert"}, Digest: true,
				MinSeverity: "critical", Sent: 3, Failed: 9, Waiting: 1,
				SentAt: ago(50 * time.Hour), FailedAt: ago(time.Minute),
				Error: "the mail server does not let this user in (535): look at username and " +
					"password",
			},
			{
				Name: "ticketing", Type: "webhook", Events: []string{"change"},
				MinSeverity: "warning",
			},
		},
		Alerts: []workflows.NotifiedAlert{
			{
				Key: "order-pipeline/outage/shopify", Severity: "critical", Title: outage,
				Text: "Orders: evt_1041, evt_1042, evt_1043, evt_1044, evt_1045, evt_1046, " +
					"evt_1047, evt_1048, evt_1049, evt_1050 and 2 more. Way back: Take in " +
					"orders by updated_at from before the outage through the Admin API.",
				Since: storyTime.Add(
					-70 * time.Minute,
				),
				Told: []workflows.AlertTold{
					{Channel: "pager", SentAt: ago(2 * time.Minute)},
					{Channel: "payments-channel", SentAt: ago(2 * time.Minute)},
					{Channel: "leads"},
				},
			},
			{
				Key: "order-pipeline/capacity/source/connections", Severity: "warning",
				Title: "The source needs 74 % of what Fixed 1 GB allows: connections",
				Since: storyTime.Add(-3 * 24 * time.Hour),
				Told: []workflows.AlertTold{
					{Channel: "payments-channel", SentAt: ago(3 * 24 * time.Hour)},
				},
				Acknowledged: &workflows.Acknowledgement{By: "linus",
					At: storyTime.Add(-26 * time.Hour), Comment: "plan is to be enlarged on Friday"},
			},
			{
				Key: "order-pipeline/audit/10.0.0.4:6379/errors", Severity: "error",
				Title: "Error replies on 10.0.0.4:6379: no longer OK, during Sentinel " +
					"failover test",
				Text: "It started during run 4b1f09c2aa of Sentinel failover test, which may be " +
					"the cause. If it is still open after that run has ended, look into it.",
				Since: storyTime.Add(-40 * time.Second), Run: "4b1f09c2aa",
				Told: []workflows.AlertTold{{Channel: "payments-channel",
					SentAt: ago(35 * time.Second)}},
			},
		},
		Digest: workflows.DigestPlan{When: "Fridays at 16:00 (Europe/Berlin)", Zone: "Europe/Berlin",
			Channels: []string{"payments-channel", "leads"}, LastAt: ago(71*time.Hour + 5*time.Minute),
			Next: ago(-97*time.Hour + 5*time.Minute)},
		Recent: []workflows.NotificationSent{
			{
				Channel: "leads", Kind: "alert", Severity: "critical", Title: outage,
				Created: storyTime.Add(-2 * time.Minute), Tries: 2,
				Error: "the mail server does not let this user in (535): look at username and " +
					"password",
			},
			{
				Channel: "pager", Kind: "alert", Severity: "critical", Title: outage,
				Created: storyTime.Add(-2 * time.Minute), Tries: 1,
				SentAt: ago(2 * time.Minute),
			},
			{
				Channel: "payments-channel", Kind: "resolve", Severity: "error",
				Title:   "noeviction was met and is unmet",
				Created: storyTime.Add(-5 * time.Hour), Tries: 1,
				SentAt: ago(5 * time.Hour),
			},
			{
				Channel: "ticketing", Kind: "change", Severity: "info",
				Title:   "Cutover to live 50 % started",
				Created: storyTime.Add(-26 * time.Hour), Tries: 110, GivenUp: true,
				Error: "it answered 410 Gone: look at the configured address and key",
			},
			{
				Channel: "payments-channel", Kind: "approval", Severity: "warning",
				Title:   "Cutover to live 50 % is waiting for approval",
				Created: storyTime.Add(-27 * time.Hour), Tries: 1,
				SentAt: ago(27 * time.Hour),
			},
		}}
}

// storyDigest is of a week in which something is not known.
func storyDigest(plan workflows.DigestPlan, who ui.Who) adminpages.Digest {
	v := adminpages.Digest{MigrationID: mid, Who: who}
	v.Preview = workflows.DigestPreview{Plan: plan,
		Title: "Weekly digest: 4 of 7 criteria met, at risk",
		Lead: "As of Monday 23 Nov 2026, 15:05 CET, since the last digest on Friday 20 Nov " +
			"2026, 16:00 CET.",
		Parts: []workflows.DigestPart{
			{Title: "Unknown", Lines: []string{
				"criteria without current evidence: Failover tested (stale)",
				"orders: the order ledger is not current"}},
			{Title: "Criteria", Lines: []string{"4 of 7 met", "Eviction policy: met, was unmet",
				"Failover tested: stale, was met"}},
			{Title: "Forecast", Lines: []string{
				"at risk, was on track, at the present pace done on 14 Dec 2026",
				"4 of 7 criteria in 17 d: at that pace the last is met on 14 Dec 2026"}},
			{Title: "Orders", Lines: []string{"unknown: the order ledger is not current"}},
			{Title: "Alerts", Lines: []string{"2 opened, 1 closed, 1 open now",
				"open since Mon 23 Nov 13:55, critical: Shopify: 12 orders were refused and have " +
					"not come back"}},
			{Title: "Runs", Lines: []string{
				"Sat 21 Nov 11:00, Cutover to live 50 %, done, started by ada"}},
			{Title: "Decisions", Lines: []string{"Sat 21 Nov 11:00, linus approved Cutover to live " +
				"50 %"}},
			{Title: "Next", Lines: []string{"Sentinel failover test (owner: Ada). Proves that a failover loses no order."}},
		},
	}
	v.Preview.Digest.Forecast.State = workflows.AtRisk
	return v
}

// alarmed is a frame of a time with alerts that nobody has acknowledged.
func alarmed(f ui.Frame) ui.Frame {
	open := storyNotifications().Alerts
	f.Alerts = 2 // one of them is acknowledged
	f.Headline = &migration.Headline{
		Level: migration.Incident, At: storyTime, Since: &open[0].Since, Title: open[0].Title,
		First: "Start the ingestion app again.", More: len(open) - 1,
	}
	return f
}

func adminStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	out["notifications"] = story{
		frame: alarmed(frame("Notifications", "alerts", "/m/order-pipeline/notifications",
			engineer)),
		page: adminpages.NotificationsPage(
			adminpages.Notifications{
				MigrationID: mid, Notifications: storyNotifications(),
				Now: storyTime, Who: engineer,
			},
		),
	}
	out["digest"] = story{
		frame: frame("Weekly digest", "alerts", "/m/order-pipeline/notifications/digest", engineer),
		page:  adminpages.DigestPage(storyDigest(storyNotifications().Digest, engineer)),
	}
	out["digest-none"] = story{
		frame: frame("Weekly digest", "alerts", "/m/order-pipeline/notifications/digest", viewer),
		page:  adminpages.DigestPage(storyDigest(workflows.DigestPlan{}, viewer)),
	}
	out["notifications-none"] = story{
		frame: frame("Notifications", "alerts", "/m/order-pipeline/notifications", viewer),
		page: adminpages.NotificationsPage(
			adminpages.Notifications{MigrationID: mid, Now: storyTime, Who: viewer},
		),
	}
	out["audit"] = story{
		frame: frame("Audit log", "audit", "/m/order-pipeline/audit", engineer),
		page: adminpages.AuditPage(
			adminpages.Audit{
				MigrationID: mid, Older: 40, ExportMost: 10_000, Steps: []string{"cutover", "audit"},
				Entries: []migration.AuditEntry{
					{
						Seq: 42, At: storyTime, Actor: "ada", Action: "start",
						Subject: "cutover to live at 50 %", Detail: "4b1f09c2aa",
						Result: "ok", Hash: strings.Repeat("ab12", 16),
					},
					{
						Seq: 41, At: storyTime.Add(-time.Minute), Actor: "grace",
						Action: "start", Subject: "audit",
						Detail: "grace is a viewer and may look but not act: sign in as an " +
							"engineer",
						Result: "refused", Hash: strings.Repeat("cd34", 16),
					},
				},
			},
		),
	}
	out["audit-nothing"] = story{
		frame: frame("Audit log", "audit", "/m/order-pipeline/audit?person=nobody", viewer),
		page: adminpages.AuditPage(adminpages.Audit{
			MigrationID: mid, Filter: workflows.AuditFilter{Actor: "nobody", Before: 40},
			Since: "2026-11-01",
		}),
	}
	out["sign-in"] = story{
		frame: ui.Frame{Title: "Sign in", Now: storyTime},
		page: adminpages.SignInPage(
			adminpages.SignIn{Name: "ada", Error: "wrong name or password"},
		),
		bare: true,
	}
	lost := frame("No answer from a server that Switchyard needs", "", "/m/order-pipeline", engineer)
	lost.Stream = ""
	out["failure-in-frame"] = story{
		frame: lost,
		page: ui.FailurePage(ui.Failure{
			Status: 503, Title: lost.Title, Text: "Timed out after 15 s.",
			Changed: "Nothing was changed: this request only reads.",
			Links: []ui.Link{
				{Label: "Try again", URL: lost.Path}, {Label: "Overview", URL: "/"},
			},
			RequestID: "b2f0",
		}),
	}
	overview := frame("Overview", "overview", "/m/order-pipeline", engineer)
	out["signed-out"] = story{
		frame: overview, page: templ.Join(
			ui.SignedOut(overview.Path), out["audit"].page), live: "out",
	}
	out["out-of-date"] = story{
		frame: overview, page: templ.Join(out["audit"].page, ui.HeldWhy(), ui.NotSent(), ui.DraftKept()),
		live: "stale",
	}
	out["failure"] = story{
		frame: ui.Frame{Title: "Blocked", Now: storyTime},
		page: ui.FailurePage(
			ui.Failure{
				Status: 412, Title: "Blocked",
				Text:  "cutover cannot start, 1 of 9 preconditions are not met",
				Gates: storyPlan().Gates[2:], RequestID: "b2f0",
			},
		),
		bare: true,
	}
	return out
}
