package digest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/digest"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

var noon = time.Date(2026, 9, 7, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time {
	t := noon.Add(-d)
	return &t
}

const day = 24 * time.Hour

// input is of a week in which everything happened.
func input(t *testing.T) digest.Input {
	t.Helper()
	changes := migration.StepPlan{Actions: []migration.ActionPlan{{ID: "a", Changes: "the primary"}}}
	plan := migration.Plan{Name: "Test", Owner: "Ada",
		Steps:      []migration.PlanStep{{ID: "sentinel-move", Title: "Move onto Sentinel"}},
		Milestones: []migration.Milestone{{Title: "Moved", Step: "sentinel-move", Owner: "Linus"}},
	}
	criterion := func(id, title string, v migration.Verdict) migration.Item {
		return migration.Item{Criterion: migration.Criterion{ID: id, Title: title}, Verdict: v}
	}
	v := progress.View{At: noon,
		Migration: migration.Migration{ID: "orders", Name: "Orders", Plan: plan,
			CreatedAt: noon.Add(-60 * day), EventDate: noon.Add(60 * day)},
		Checklist: migration.Checklist{
			criterion("a", "Eviction policy", migration.Met),
			criterion("b", "Failover tested", migration.Stale),
			criterion("c", "Rollback rehearsed", migration.Unmet),
		},
		Runs: []migration.Run{
			{ID: "r3", Step: "sentinel-move", Plan: changes, State: migration.RunAwaitingApproval,
				RequestedBy: "bob", CreatedAt: *ago(time.Hour)},
			{ID: "r2", Step: "sentinel-move", Plan: changes, State: migration.RunRejected,
				RequestedBy: "bob", DecidedBy: "carol", CreatedAt: *ago(2 * day), FinishedAt: ago(2 * day)},
			{ID: "r1", Step: "sentinel-move", Plan: changes, State: migration.RunFailed,
				RequestedBy: "bob", DecidedBy: "ada", CreatedAt: *ago(3 * day), StartedAt: ago(3 * day),
				FinishedAt: ago(3 * day), Approvals: []migration.Consent{{By: "eve", At: *ago(3 * day)}}},
			{ID: "r0", Step: "sentinel-move", Plan: changes, State: migration.RunSucceeded,
				RequestedBy: "bob", DecidedBy: "ada", CreatedAt: *ago(30 * day), StartedAt: ago(30 * day),
				FinishedAt: ago(30 * day)},
		},
		Waivers: []migration.Waiver{{Member: "worker:10.0.0.9:6379", By: "ada", At: *ago(day),
			Until: noon.Add(day)}},
	}
	v.Open = &v.Runs[0]
	r, err := report.Build(report.Input{View: v,
		Orders: report.Orders{Acknowledged: 900, Processed: 890, Pending: 9, Lost: 1}})
	if err != nil {
		t.Fatal(err)
	}
	last := digest.Digest{At: *ago(7 * day), Criteria: []digest.Criterion{
		{ID: "a", Verdict: migration.Unmet}, {ID: "b", Verdict: migration.Met},
		{ID: "c", Verdict: migration.Unmet}},
		Forecast: forecast.Forecast{State: forecast.OnTrack},
		Orders:   digest.Orders{Orders: report.Orders{Acknowledged: 700}}}
	return digest.Input{View: v, Report: r, Last: &last, Alerts: []report.Incident{
		{Title: "Late on 10.0.0.4:6379", Severity: "warning", Began: *ago(day)},
		{Title: "Lost", Severity: "critical", Began: *ago(9 * day), Ended: ago(day)}}}
}

func TestADigestSaysWhatChangedWhatHappenedAndWhoOwnsWhatIsNext(t *testing.T) {
	t.Parallel()
	text := digest.Build(input(t)).Text(time.UTC)
	for _, part := range []string{
		"since the last digest on Monday 31 Aug 2026, 12:00 UTC",
		"- 1 of 3 met\n- Eviction policy: met, was unmet\n- Failover tested: stale, was met",
		"900 acknowledged, 1 lost, 0 processed twice, 9 pending",
		"since the last digest: 200 acknowledged, 1 lost, 0 processed twice",
		"- 1 opened, 1 closed, 1 open now\n- open since Sun 6 Sep 12:00, warning: Late on (server)",
		"Fri 4 Sep 12:00, Move onto Sentinel, failed, started by bob",
		"waiting for approval, requested by bob",
		"carol rejected Move onto Sentinel",
		"ada approved Move onto Sentinel",
		"eve rejected an action of Move onto Sentinel",
		"ada waived worker:(server)",
		"Approve: Move onto Sentinel (owner: Linus).",
		"criteria without current evidence: Failover tested (stale)",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	for _, part := range []string{"10.0.0", "8 Aug", "Rollback rehearsed:"} {
		if strings.Contains(text, part) {
			t.Errorf("%q is in\n%s", part, text)
		}
	}
	if strings.Index(text, "UNKNOWN") > strings.Index(text, "CRITERIA") {
		t.Error("what is not known does not come first")
	}
}

func TestWhatADigestCannotKnowIsNamedAndIsNoZero(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		change func(in *digest.Input)
		want   []string
		not    string
	}{
		"a ledger that is not current has no figures": {func(in *digest.Input) {
			in.Report.Orders = report.Orders{Unknown: "the order ledger is not current"}
		}, []string{"ORDERS\n- unknown: the order ledger is not current",
			"UNKNOWN\n- criteria without", "- orders: the order ledger is not current"}, "0 lost"},
		"the last digest had none, so there is no difference": {func(in *digest.Input) {
			in.Last.Orders.Unknown = "not current"
		}, []string{"since the last digest: unknown", "900 acknowledged, 1 lost"}, ""},
		"a ledger that was begun anew": {func(in *digest.Input) {
			in.Last.Orders.Acknowledged = 5000
		}, []string{"since the last digest: unknown"}, "-4100"},
		"alerts that nobody looked for": {func(in *digest.Input) {
			in.Looked = "nobody has looked for them yet"
		}, []string{"ALERTS\n- unknown: nobody", "open since Sun 6 Sep 12:00"}, "0 opened"},
		"a forecast without a pace": {func(*digest.Input) {},
			[]string{"FORECAST\n- no forecast, was on track", "- forecast: fewer than 2 criteria"}, ""},
		"the first compares with nothing": {func(in *digest.Input) { in.Last = nil },
			[]string{"It is the first digest"}, ", was "},
		"a criterion that is new was unknown": {func(in *digest.Input) {
			in.Last.Criteria = in.Last.Criteria[1:]
		}, []string{"Eviction policy: met, was unknown"}, ""},
		"a next step that nobody owns": {func(in *digest.Input) {
			in.View.Migration.Plan.Owner, in.View.Migration.Plan.Milestones = "", nil
		}, []string{"Approve: Move onto Sentinel (no owner in the plan)"}, ""},
	} {
		in := input(t)
		c.change(&in)
		text := digest.Build(in).Text(time.UTC)
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is missing in\n%s", rule, w, text)
			}
		}
		if c.not != "" && strings.Contains(text, c.not) {
			t.Errorf("%s: %q is in\n%s", rule, c.not, text)
		}
	}
}

func TestALongWeekIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	in := input(t)
	for i := range 40 {
		in.View.Waivers = append(in.View.Waivers, migration.Waiver{Member: "worker:x", By: "ada",
			At: *ago(time.Duration(i) * time.Minute), Until: noon})
	}
	parts := digest.Build(in).Parts(time.UTC)
	i := slices.IndexFunc(parts, func(p digest.Part) bool { return p.Title == "Decisions" })
	if lines := parts[i].Lines; len(lines) != 6 || lines[0] != "39 earlier ones in the report" {
		t.Errorf("%q", lines)
	}
}

func TestALateDigestSaysWhenItWasDueInTheScheduleZone(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	d := digest.Build(input(t)).Late(noon.Add(-day))
	text := d.Text(zone)
	if !strings.Contains(text, "it was due on Sunday 6 Sep 2026, 14:00 CEST") ||
		!strings.Contains(text, "did not run: nothing was looked at") {
		t.Error(text)
	}
}
