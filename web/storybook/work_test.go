package storybook

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

func storyAt(ago time.Duration) *time.Time { t := storyTime.Add(-ago); return &t }

// storyRuns are runs of several steps and of every kind of end.
func storyRuns() []migration.Run {
	run := func(id, step string, state migration.RunState, ago time.Duration) migration.Run {
		r := migration.Run{
			ID: id, MigrationID: mid, Step: step, State: state, RequestedBy: "ada",
			DecidedBy: "linus", CreatedAt: storyTime.Add(-ago), StartedAt: storyAt(ago - time.Minute),
		}
		if !state.Open() {
			r.FinishedAt = storyAt(ago - 3*time.Minute)
		}
		return r
	}
	cutover := run("4b1f09c2aa", migration.StepCutover, migration.RunRunning, 4*time.Minute)
	cutover.Params = migration.Params{To: migration.StageLive, Ramp: 50}
	failed := run("c1c4837b60", migration.StepSentinelMove, migration.RunFailed, 5*time.Hour)
	failed.Error = "10.0.0.7:6379 did not catch up within 5 min: 1 204 bytes behind"
	back := run("90aa12bc34", migration.StepBreakerDrill, migration.RunSucceeded, 26*time.Hour)
	back.RolledBackBy = "11aa12bc34"
	short := run("5ce09d7712", migration.StepSentinelTest, migration.RunSucceeded, 6*time.Hour)
	short.Lacks = "not all observed"
	return []migration.Run{
		cutover, run("7d02f1e4c9", migration.StepAudit, migration.RunSucceeded, 2*time.Hour),
		failed, short, back, run("0f13e4c988", migration.StepFixPolicy, migration.RunRejected, 50*time.Hour),
	}
}

// storyFound is a search that one source did not answer.
func storyFound() workflows.SearchAnswer {
	return workflows.SearchAnswer{
		Query: "audit",
		Found: []workflows.Found{
			{
				Kind: workflows.FoundRun, ID: "7d02f1e4c9", Title: "Audit the source 7d02f1e4c9",
				Detail: "succeeded, requested by ada on 23 Nov 2026, 12:05 UTC",
			},
			{Kind: workflows.FoundStep, ID: "audit", Title: "Audit the source", Detail: "This week"},
			{
				Kind: workflows.FoundQueue, ID: "audit-events", Title: "audit-events",
				Detail: "queue on the source and the target",
			},
			{
				Kind: workflows.FoundFlag, ID: "audit-trail", In: "set-b",
				Title: "audit-trail <script>alert(1)</script>", Detail: "flag in Checkout",
			},
			{
				Kind: workflows.FoundPerson, ID: "auditor", Title: "auditor",
				Detail: "last in the audit log on 23 Nov 2026, 12:05 UTC",
			},
		},
		Sources: []workflows.Searched{
			{Source: "runs", More: true},
			{Source: "jobs", Error: "no answer within 5 s"},
		},
	}
}

func workStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	plan := migration.Plan{Steps: []migration.PlanStep{
		{ID: migration.StepAudit, Title: "Audit the source"},
		{ID: migration.StepCutover, Title: "Cutover"},
		{ID: migration.StepSentinelMove, Title: "Move to Sentinel"},
		{ID: migration.StepBreakerDrill, Title: "Circuit-breaker drill"},
	}}
	runs := func(v migrationpages.Runs) story {
		v.MigrationID, v.Plan, v.Now = mid, plan, storyTime
		return story{
			frame: frame("Runs", "runs", "/m/order-pipeline/runs", engineer),
			page:  migrationpages.RunsPage(v),
		}
	}
	out["runs"] = runs(migrationpages.Runs{Runs: storyRuns(), More: true})
	out["runs-none"] = runs(migrationpages.Runs{})
	out["runs-filter"] = runs(migrationpages.Runs{Filter: workflows.RunFilter{
		State: "failed", Person: "Grace O'Hara", Before: "7d02f1e4c9",
	}})
	search := func(query string, r workflows.SearchAnswer) story {
		return story{
			frame: frame("Search", "search", "/m/order-pipeline/search", viewer),
			page: adminpages.SearchPage(
				adminpages.Search{MigrationID: mid, Query: query, Result: r}),
		}
	}
	out["search"] = search("audit", storyFound())
	out["search-empty"] = search("", workflows.SearchAnswer{})
	out["search-nothing"] = search("evt_404", workflows.SearchAnswer{Query: "evt_404"})
	n := storyNotifications()
	past := func(
		about, severity, title string, began, ended time.Duration,
	) (p workflows.PastAlert) {
		p.Key, p.Severity, p.Title = mid+"/"+about, severity, title
		p.Began, p.Ended = *storyAt(began), storyAt(ended)
		return p
	}
	late := past("ledger/late", "warning", "3 orders are overdue", 298*time.Minute,
		280*time.Minute)
	late.Run = "c1c4837b60"
	alerts := func(v adminpages.Alerts) story {
		v.MigrationID, v.Now, v.Who = mid, storyTime, engineer
		f := frame("Alerts", "alerts", "/m/order-pipeline/alerts", engineer)
		if len(v.Open) > 0 {
			f = alarmed(f)
		}
		return story{frame: f, page: adminpages.AlertsPage(v)}
	}
	out["alerts"] = alerts(adminpages.Alerts{
		Open: n.Alerts, Channels: len(n.Channels),
		Orders: &migration.LedgerFacts{Acknowledged: 8617, Fulfilled: 8611, Pending: 6},
		Past: []workflows.PastAlert{
			late,
			past("criterion/noeviction", "error", "noeviction was met and is unmet", 31*time.Hour,
				30*time.Hour),
		},
	})
	out["alerts-none"] = alerts(adminpages.Alerts{})
	out["people"] = story{
		frame: frame("People and keys", "people", "/m/order-pipeline/people", viewer),
		page: adminpages.PeoplePage(adminpages.People{
			MigrationID: mid, Now: storyTime,
			Accounts: []workflows.Account{
				{
					Actor: engineer.Actor, CreatedAt: *storyAt(400 * time.Hour),
					SignedIn: storyAt(3 * time.Hour), Seen: storyAt(time.Minute),
				},
				{Actor: viewer.Actor, CreatedAt: *storyAt(400 * time.Hour)},
			},
			Keys: []migration.APIKey{{
				ID: "k1", Name: "checkout service", Set: "checkout", Prefix: "swy_ab12",
				CreatedBy: "ada", CreatedAt: *storyAt(30 * time.Hour),
			}},
		}),
	}
	out["people-no-keys"] = story{
		frame: frame("People and keys", "people", "/m/order-pipeline/people", engineer),
		page: adminpages.PeoplePage(
			adminpages.People{MigrationID: mid, Now: storyTime}),
	}
	settings := frame("Settings", "settings", "/m/order-pipeline/settings", viewer)
	settings.Density, settings.Times, settings.NoKeys = "compact", "utc", true
	out["settings"] = story{frame: settings, page: adminpages.SettingsPage(adminpages.Settings{
		MigrationID: mid, Theme: "auto", Density: "compact", Times: "utc", Keys: "off", Who: viewer,
	})}
	return out
}

func TestWhatASearchFindsIsEscapedAndWhatItMissedIsNamed(t *testing.T) {
	t.Parallel()
	p := page(t, "search")
	if p.Find("main script").Length() > 0 {
		t.Error("a flag's key became a script")
	}
	if said := text(p.Find("[data-not-searched]")); !strings.Contains(said, "Not searched: jobs") ||
		!strings.Contains(said, "No answer within 5 s") {
		t.Errorf("says %q", said)
	}
	for title, url := range map[string]string{
		"Review and start: Audit the source": "/m/order-pipeline/steps/audit",
		"audit-events":                       "/m/order-pipeline/queues/audit-events",
		"auditor":                            "/m/order-pipeline/audit?person=auditor",
	} {
		if p.Find(`main a[href="`+url+`"]`).FilterFunction(func(_ int, a *goquery.Selection) bool {
			return text(a) == title
		}).Length() == 0 {
			t.Errorf("%q does not lead to %s", title, url)
		}
	}
}

func TestThePaletteListsOptionsInNamedGroups(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	groups, said := adminpages.Suggestions(mid, "audit", storyFound())
	if err := ui.Options(groups, said).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	doc, err := goquery.NewDocumentFromReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	list := doc.Find(`#palette-list[role="listbox"][aria-label]`)
	options := list.Find(`[role="group"] > a[role="option"][id][href]`)
	if options.Length() < 5 || options.Length() != list.Find("a").Length() {
		t.Errorf("%d options of %d links", options.Length(), list.Find("a").Length())
	}
	if !strings.Contains(list.AttrOr("data-said", ""), "Not searched: jobs") {
		t.Errorf("says %q", list.AttrOr("data-said", ""))
	}
}

func TestEveryPlaceOfTheNavigationHasItsOwnKey(t *testing.T) {
	t.Parallel()
	p := page(t, "runs")
	keys := map[string]bool{}
	p.Find(".wide [data-go]").Each(func(_ int, a *goquery.Selection) {
		key := a.AttrOr("data-go", "")
		if len(key) != 1 || keys[key] {
			t.Errorf("%s has the key %q", text(a), key)
		}
		keys[key] = true
		if !strings.Contains(p.Find("#shortcuts").Text(), text(a)) {
			t.Errorf("the list of shortcuts does not name %s", text(a))
		}
	})
	if len(keys) < 12 {
		t.Errorf("%d places", len(keys))
	}
	if current := text(p.Find(`.wide [aria-current="page"]`)); current != "Runs" {
		t.Errorf("current is %q", current)
	}
}

func TestAnAlertNamesTheRunThatItBeganDuring(t *testing.T) {
	t.Parallel()
	p := page(t, "alerts")
	past := p.Find(`[data-past="order-pipeline/ledger/late"]`)
	if n := past.Find(`[data-during] a[href$="/runs/c1c4837b60"]`).Length(); n != 1 {
		t.Errorf("says %q", text(past))
	}
	other := p.Find(`[data-past="order-pipeline/criterion/noeviction"]`)
	if other.Length() != 1 || other.Find("[data-during]").Length() > 0 {
		t.Errorf("of an alert that no run had to do with it says %q", text(other))
	}
}

func TestLinesOfTheAuditLogStayInUTCAndLeadToTheirRun(t *testing.T) {
	t.Parallel()
	p := page(t, "audit")
	if n := p.Find("#audit tbody time:not([data-exact])").Length(); n > 0 {
		t.Errorf("%d times of the log would be shown in local time", n)
	}
	if p.Find(`#audit a[href="/m/order-pipeline/runs/4b1f09c2aa"]`).Length() != 1 {
		t.Error("the start does not lead to its run")
	}
}
