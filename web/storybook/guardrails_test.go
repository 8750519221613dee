package storybook

import (
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/switchyard-dev/switchyard/migration"
)

func storyWayBack() *migration.WayBack {
	at := storyTime.Add(-7 * time.Minute)
	return &migration.WayBack{Move: migration.StageMove{To: migration.StageShadow},
		Rehearsal: migration.Met, RehearsedAt: &at, TookMS: 480,
		RehearsedFrom: "shadow", RehearsedTo: "dual write"}
}

func storyRules() []migration.GuardrailRule {
	const (
		atOnce = "The queue goes back to live at 25 % by itself at once."
		lasted = "The queue goes back to live at 25 % by itself once this has lasted 10 s."
		source = "The watch begins again; the queue does not go back to a side that fails."
	)
	return []migration.GuardrailRule{
		{ID: "orders", Title: "Orders lost, processed twice or different",
			Limit: "none, by either ledger", OnFail: atOnce},
		{ID: "answers-target", Title: "Time to add a job to the target", Side: "target",
			Limit: "at most 300 ms", OnFail: lasted,
			Set: "limit set for this move, stricter than the configured 1 s"},
		{ID: "events-target", Title: "Events of the target", Side: "target",
			Limit: "all up to date", OnFail: lasted},
		{ID: "adds-target", Title: "Failed adds to the target", Side: "target",
			Limit: "at most 10 within 2 min", OnFail: atOnce},
		{ID: "answers-source", Title: "Response time of the source", Side: "source",
			Limit: "at most 300 ms", OnFail: source,
			Set: "limit set for this move, stricter than the configured 1 s"},
		{ID: "events-source", Title: "Events of the source", Side: "source",
			Limit: "all up to date", OnFail: source},
		{ID: "adds-source", Title: "Failed adds to the source", Side: "source",
			Limit: "at most 10 within 2 min", OnFail: source},
		{ID: "refused", Title: "Refused webhooks", Limit: "at most 10 within 2 min",
			OnFail: atOnce},
		{ID: "held", Title: "Orders waiting in the app's durable intake",
			Limit: "the oldest at most 1 min", OnFail: atOnce},
	}
}

// storyRails are guardrails of which one fails; the events of the source were never read.
func storyRails(fails string) []migration.Guardrail {
	values := map[string]string{"orders": "0 lost, 0 twice, 0 different of 18,391 orders",
		"answers-target": "3 ms", "events-target": "2 of 2 streams up to date",
		"adds-target": "0 within 2 min", "answers-source": "1 ms", "adds-source": "0 within 2 min",
		"refused": "0 within 2 min", "held": "none"}
	at := storyTime.Add(-time.Second)
	var out []migration.Guardrail
	for _, rule := range storyRules() {
		g := migration.Guardrail{GuardrailRule: rule, Value: values[rule.ID], At: &at,
			State: migration.GuardrailHolds, Since: storyTime.Add(-95 * time.Second)}
		switch rule.ID {
		case fails:
			old := storyTime.Add(-6 * time.Second)
			g.State, g.At, g.Since = migration.GuardrailFails, &old, storyTime.Add(-4*time.Second)
			g.Why = "an add on the target took at least 1.3 s (limit 300 ms)"
			if fails == "orders" {
				g.Value = "0 lost, 1 twice, 0 different of 18,391 orders"
				g.Why = "the ledger shows 0 lost, 1 processed twice, 0 different results"
			}
		case "events-source":
			g.State, g.Value, g.At = migration.GuardrailUnknown, "", nil
			g.Why = "no events of the source are read yet"
		}
		out = append(out, g)
	}
	return out
}

func TestAGuardrailShowsWhatWasObservedAndNeverALimitInItsPlace(t *testing.T) {
	t.Parallel()
	doc := page(t, "run-guardrail-fails")
	row := func(id string) *goquery.Selection { return doc.Find(`[data-rail="` + id + `"]`) }
	for id, want := range map[string]string{"orders": "Holds", "answers-target": "Fails",
		"events-source": "Unknown"} {
		if got := text(row(id).Find(".chip").First()); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if got := text(row("events-source").Find(".rail-value")); got != "not observed yet" {
		t.Errorf("a value of what nobody observed: %q", got)
	}
	if row("answers-target").Find(".rail-value time[data-age]").Length() != 1 {
		t.Error("a value without its age")
	}
	if got := text(doc.Find("#cockpit .chip").First()); got != "1 of 9 guardrails fails" {
		t.Errorf("the verdict in sight: %s", got)
	}
	if doc.Find("#main > #cockpit #way-back").Length() != 1 {
		t.Error("the way back is not in sight")
	}
	if got := text(doc.Find("#way-back")); !strings.Contains(got,
		"rehearsed from shadow to dual write in 480 ms") {
		t.Errorf("another move's rehearsal is taken for this one's: %s", got)
	}
	if got := text(doc.Find("#way-back .chip")); got != "This move not rehearsed" {
		t.Errorf("another move's rehearsal counts for this one: %s", got)
	}
}
